"""Twenty usual mistakes of task 3, and words of the hint for each (None: it only must be caught)."""

MISTAKES = [
    ("dy @ W.T", "np.dot(dy, W)", "transpose is missing in dx"),
    ("dy @ W.T", "np.dot(W, dy.T)", "dx is transposed"),
    ("dy @ W.T", "np.multiply(dy, W.T)", "product of matrices"),
    ("dy @ W.T", "x @ W @ W.T", None),
    ("dy @ W.T", "(-dy).dot(W.T)", "sign"),
    ("dy @ W.T", "dy @ W.T / x.shape[0]", "mean in place of a sum"),
    ("    dx = dy @ W.T", "    W *= 2\n    dx = dy @ W.T / 2", "overwrites"),
    ("    dx = dy @ W.T", "    dx = x\n    dx[...] = dy @ W.T", "overwrites"),
    ("x.T @ dy", "np.transpose(dy) @ x", "dW is transposed"),
    ("x.T @ dy", "np.dot(x, dy)", "transpose is missing in dW"),
    ("x.T @ dy", "np.einsum('ri,ru->iu', x, dy) / x.shape[0]", "dW is a mean"),
    ("x.T @ dy", "np.mean(x[:, :, None] * dy[:, None, :], axis=0)", "dW is a mean"),
    ("    dW = x.T @ dy", "    for i in range(len(x)):\n        dW = np.outer(x[i], dy[i])", "last row only"),
    ("    dW = x.T @ dy", "    dW = np.zeros_like(W)\n    for i in range(len(x) - 1):\n"
     "        dW += np.outer(x[i], dy[i])", None),
    ("np.sum(dy, axis=0)", "dy.sum(axis=-1)", "wrong axis"),
    ("np.sum(dy, axis=0)", "dy.sum()", "needs an axis"),
    ("np.sum(dy, axis=0)", "dy.mean(0)", "db is a mean"),
    ("np.sum(dy, axis=0)", "dy.sum(0)[None, :]", "keeps an axis"),
    ("np.sum(dy, axis=0)", "np.ones(W.shape[1])", "chain rule"),
    ("return dx, dW, db", "return dx, dW", None),
]  # fmt: skip
