"""Twenty usual mistakes of task 12, and words of the hint for each (None: it only must be caught)."""

ORDER = "        order = rng.permutation(rows)\n"
STARTS = "for start in range(0, rows, batch_size):"
BATCH = "batch = order[start : start + batch_size]"
DATA = "xb, yb = x[batch], y[batch]"
TOTAL = "total += np.sum((p - yb) ** 2)"
DP = "dp = 2 * (p - yb) / p.size"
APPEND = "losses.append(total / y.size)"
COPIES = "W, b = W.copy(), b.copy()"

MISTAKES = [
    (ORDER, "        order = list(range(rows))\n", "not shuffled"),
    (ORDER, "        rng = np.random.default_rng(seed)\n        order = rng.permutation(rows)\n",
     "the same order"),
    (ORDER, "        order = rng.choice(rows, rows)\n", "repetition"),
    (DATA, "xb, yb = x[batch], y[start : start + len(batch)]", "y is not"),
    (ORDER, "        x = x[rng.permutation(rows)]\n"
     "        y = y[rng.permutation(rows)]\n        order = np.arange(rows)\n",
     "separately"),
    (STARTS, "for start in np.arange(rows // batch_size) * batch_size:", "left out"),
    (BATCH, "batch = order[start : start + batch_size - 1]", "misses its last row"),
    (BATCH, "batch = order[:batch_size]", "same batch"),
    (DATA, "xb, yb = x, y", "uses all rows"),
    (DP, "dp = (p - yb) / p.size", "factor 2"),
    (DP, "dp = 2 / batch_size * (p - yb) / yb.shape[1]", "last batch is smaller"),
    (DP, "dp = 2 * (p - yb) / len(xb)", "rows only"),
    (DP, "dp = 2 * (p - yb)", "not divided"),
    ("dW = xb.T @ dp", "dW = np.dot(xb.T, dp) / len(batch)", "twice"),
    ("db = dp.sum(axis=0)", "db = np.mean(dp, axis=0)", "is a mean"),
    (COPIES, "pass", "overwrites"),
    ("            b -= learning_rate * db\n", "", "never changed"),
    ("W -= learning_rate * dW", "W = W + learning_rate * dW", "uphill"),
    (TOTAL, "total = np.mean((p - yb) ** 2) * y.size", "last batch alone"),
    (APPEND, "losses.append(np.mean((x @ W + b - y) ** 2))", "after its last step"),
]  # fmt: skip
