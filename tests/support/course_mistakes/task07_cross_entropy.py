"""Twenty usual mistakes of task 7, and words of the hint for each (None: it only must be caught)."""

LOG_P = "shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))"
SHIFTED = "shifted = z - np.max(z, axis=1, keepdims=True)"
LOSS = "loss = -np.mean(right)"
DZ = "dz = (np.exp(log_p) - y) / len(z)"

MISTAKES = [
    (LOG_P, "np.log(np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True))", "log 0"),
    (LOG_P, "np.log(np.exp(shifted) / np.exp(shifted).sum(1)[:, None] + 1e-7)", None),
    (LOG_P, "np.log(np.maximum(np.exp(shifted) / np.exp(shifted).sum(1)[:, None], 1e-12))", "clipped"),
    (LOG_P, "z - np.log(np.exp(z).sum(axis=1, keepdims=True))", "subtract the largest"),
    (LOG_P, "shifted - np.log(np.exp(shifted).sum(0))", "wrong axis"),
    (LOG_P, "shifted - np.log(np.exp(shifted).sum(axis=1))", "lost its axis"),
    (LOG_P, "z - np.log(np.exp(z - z.max(axis=1)[:, None]).sum(axis=1)[:, None])", "from z too"),
    (SHIFTED, "z -= z.max(axis=1)[:, None]\n    shifted = z", "overwrites"),
    (LOSS, "loss = -np.sum(log_p * np.eye(z.shape[1])[labels])", "sum over the rows"),
    (LOSS, "loss = -np.mean(log_p * np.eye(z.shape[1])[labels])", "divided by all numbers"),
    (LOSS, "loss = np.average(right)", "minus is missing"),
    (LOSS, "loss = -np.mean(np.exp(right))", "logarithm is missing"),
    ("right = log_p[rows, labels]", "right = np.array([log_p[i].max() for i in rows])", "most probable"),
    ("right = log_p[rows, labels]", "right = np.array([log_p[0, k] for k in labels])", None),
    (DZ, "dz = np.exp(log_p)\n    dz[rows, labels] -= 1", "not divided by the rows"),
    (DZ, "dz = np.exp(log_p)\n    dz[rows, labels] -= 1\n    dz /= dz.size", "divided by all numbers"),
    (DZ, "dz = np.exp(log_p)\n    dz[:, labels] -= 1\n    dz = dz / len(dz)", "mark one class"),
    (DZ, "dz = np.exp(log_p) / len(z)\n    dz[rows, labels] -= 1", "Only p is divided"),
    (DZ, "dz = (y - np.exp(log_p)) / z.shape[0]", "sign"),
    ("return loss, dz", "return loss", "Return all results"),
]  # fmt: skip
