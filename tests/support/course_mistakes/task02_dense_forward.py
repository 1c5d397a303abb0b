"""Twenty usual mistakes of task 2, and words of the hint for each (None: it only must be caught)."""

Y = "    y = product + b"
LOOPS = "    y = {}\n    for i in range(len(x)):\n        for k in range(W.shape[1]):\n            {}"

MISTAKES = [
    ("y = product + b", "y = np.dot(x, W)", "bias b is missing"),
    ("y = product + b", "y = product + b.reshape(-1, 1)", "wrong axis"),
    ("y = product + b", "y = product + b.sum()", "sum of all biases"),
    ("y = product + b", "y = np.matmul(x, W + b)", "outside"),
    (Y, "    y = product\n    y += b\n    y = y + b", "twice"),
    ("product = x @ W", "product = np.dot(x, W.T)", "needs no transpose"),
    ("product = x @ W", "product = np.dot(W, x)", "wrong order"),
    ("product = x @ W", "product = np.multiply(x, W)", "number by number"),
    ("product = x @ W", "product = np.dot(W.T, x.T)", "transposed"),
    ("product = x @ W", "product = np.mean(x[:, :, None] * W, axis=1)", "averaged"),
    ("product = x @ W", "product = np.sum(x[:, :, None] * W, axis=0)", None),
    ("product = x @ W", "product = np.einsum('ri,iu->ur', x, W)", "transposed"),
    (Y, LOOPS.format("np.zeros_like(product)", "y[i, k] += np.sum(x[i] * W[:, k] + b[k])"),
     "once for each input"),
    (Y, LOOPS.format("np.zeros(product.shape, x.dtype)", "y[i, k] = x[i] @ W[:, k] + b[k]"),
     "whole numbers"),
    (Y, LOOPS.format("np.zeros_like(product)", "y[i] = x[i] @ W[:, k] + b[k]"), None),
    (Y, "    for row in x:\n        y = row @ W + b", "last row only"),
    (Y, "    W += 0.1\n    y = product + b", "overwrites"),
    ("return y", "return y.squeeze()", "squeeze"),
    ("return y", "return 1 / (1 + np.exp(-y))", "activation"),
    ("return y", "y.T", "return missing"),
]  # fmt: skip
