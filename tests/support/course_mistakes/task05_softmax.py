"""Twenty usual mistakes of task 5, and words of the hint for each (None: it only must be caught)."""

SHIFTED = "shifted = z - np.max(z, axis=1, keepdims=True)"
SUM = "p = e / np.sum(e, axis=1, keepdims=True)"
S = "s = np.sum(p * dp, axis=1, keepdims=True)"

MISTAKES = [
    (SHIFTED, "shifted = 1.0 * z", "inf / inf"),
    (SHIFTED, "shifted = z - z.max()", "whole batch"),
    (SHIFTED, "shifted = z - z.max(axis=0)", "each column"),
    (SHIFTED, "shifted = z - z.max(axis=1)", "lost its axis"),
    (SHIFTED, "z = z * 1.0\n    z -= z.max(axis=1, keepdims=True)\n    shifted = z / 2", None),
    (SHIFTED, "shifted = z.astype(float)\n    z -= z.max(axis=1, keepdims=True)", "overwrites"),
    (SUM, "p = e / e.sum(axis=0)", "wrong axis"),
    (SUM, "p = np.divide(e, e.sum())", "whole batch"),
    (SUM, "p = e / e.sum(1)", "lost its axis"),
    (SUM, "p = np.exp(z) / np.sum(np.exp(z), axis=1)[:, None]", "inf / inf"),
    (SUM, "p = e / np.sum(np.exp(z), axis=1, keepdims=True)", None),
    (SUM, "p = np.zeros_like(z)\n    p[...] = e / e.sum(axis=1, keepdims=True)", "whole numbers"),
    (SUM, "p = np.array([row / row.sum() for row in e.T]).T", "wrong axis"),
    ("return p", "return p.argmax(-1)", "largest class"),
    (S, "s = (p * dp).sum(-1)", "lost its axis"),
    (S, "s = np.sum(p * dp, axis=0)", "wrong axis"),
    ("    dz = p * (dp - s)", "    dz = np.zeros_like(p)\n    for i in range(len(p)):\n"
     "        dz[i] = np.diag(p[i]) @ dp[i]", "also depends on the other"),
    ("    dz = p * (dp - s)", "    dz = dp.copy()\n    for i in range(len(p)):\n"
     "        dz[i] = (np.diag(p[i]) + np.outer(p[i], p[i])) @ dp[i]", "must be a minus"),
    ("dz = p * (dp - s)", "dz = p * dp * (1 - p)", "right for the sigmoid"),
    ("dz = p * (dp - s)", "dp -= s\n    dz = p * dp", "overwrites"),
]  # fmt: skip
