"""Twenty usual mistakes of task 6, and words of the hint for each (None: it only must be caught)."""

CLIP = "p = np.clip(y_pred, 1e-7, 1 - 1e-7)"
SLOPE = "slope = (p - y_true) / (p * (1 - p))"

MISTAKES = [
    ("loss = np.mean(error**2)", "loss = (error * error).sum()", "must be a mean"),
    ("loss = np.mean(error**2)", "loss = 0.5 * np.mean(np.square(error))", "half"),
    ("loss = np.mean(error**2)", "loss = np.sum(error**2) / error.shape[0]", "number of rows"),
    ("loss = np.mean(error**2)", "loss = np.linalg.norm(error)", None),
    ("loss = np.mean(error**2)", "loss = np.square(error).mean(-1)", "each row"),
    ("loss = np.mean(error**2)", "loss = abs(error).mean()", "not squared"),
    ("dp = 2 * error / error.size", "dp = error * (1 / error.size)", "factor 2"),
    ("dp = 2 * error / error.size", "dp = error * 2", "not divided by n"),
    ("dp = 2 * error / error.size", "dp = 2 / len(error) * error", "number of rows"),
    ("error = y_pred - y_true", "error = np.subtract(y_true, y_pred)", "sign"),
    ("    error = y_pred - y_true", "    y_pred -= y_true\n    error = y_pred", "overwrites"),
    ("mean = -np.mean(yes + no)", "mean = np.mean(yes + no)", "minus before the sum"),
    ("mean = -np.mean(yes + no)", "mean = -np.average(y_true * np.log(p))", "part for y = 0"),
    ("mean = -np.mean(yes + no)", "mean = -np.sum(yes + no)", "must be a mean"),
    ("no = (1 - y_true) * np.log(1 - p)", "no = (1 - y_true) * np.log2(1 - p)", None),
    (CLIP, "p = y_pred * 1.0", "log 0"),
    (CLIP, "p = y_pred + 1e-7", None),
    (SLOPE, "slope = p - y_true", "sigmoid's input"),
    (SLOPE, "slope = -y_true / p - (1 - y_true) / (1 - p)", "wrong sign"),
    (SLOPE, "slope = (p - y_true) / p * (1 - p)", "Brackets"),
]  # fmt: skip
