"""Twenty usual mistakes of task 13, and words of the hint for each (None: it only must be caught)."""

CODE = "code = np.tanh(x @ W1 + b1)"
P = "p = 1 / (1 + np.exp(-z))"
ENTROPY = "entropy = -x * np.log(p) - (1 - x) * np.log(1 - p)"
DZ2 = "dz2 = (p - x) / x.size"
DZ1 = "dz1 = dcode * (1 - code**2)"

MISTAKES = [
    (CODE, "code = np.dot(x, W1) + b1", "no tanh"),
    (CODE, "code = np.tanh(x @ W1) + b1", "after the tanh"),
    (P, "p = z", "no sigmoid"),
    (P, "p = np.exp(-z) / (1 + np.exp(-z))", "e^−z"),
    ("z = code @ W2 + b2", "z = np.dot(code, W2)", "b₂ is missing"),
    (ENTROPY, "entropy = x * np.log(p) + (1 - x) * np.log(1 - p)", "sign"),
    (ENTROPY, "entropy = -x * np.log(p)", "second term"),
    (ENTROPY, "entropy = np.square(x - p)", "squared error"),
    ("return entropy.mean()", "return entropy.sum() / len(x)", "only the rows are averaged"),
    (DZ2, "dz2 = (x - p) / x.size", "sign of dz₂"),
    (DZ2, "dz2 = (p - x) / len(x)", "rows only"),
    (DZ2, "dz2 = (p - x) * p * (1 - p) / p.size", "once too often"),
    (DZ2, "dz2 = p - x", "not divided"),
    ("dW2 = code.T @ dz2", "dW2 = np.outer(code[0], dz2[0])", None),
    ("db2 = dz2.sum(axis=0)", "db2 = np.average(dz2, axis=0)", "is a mean"),
    ("dcode = dz2 @ W2.T", "dcode = dz2 @ W2", "no transpose"),
    (DZ1, "dz1 = dcode", "slope of tanh is missing"),
    (DZ1, "dz1 = dcode * (1 - np.tanh(code) ** 2)", "tanh already"),
    (DZ1, "dz1 = dcode * code * (1 - code)", "slope of the sigmoid"),
    ("dW1 = x.T @ dz1", "dW1 = (dz1.T @ x)", "transposed"),
]  # fmt: skip
