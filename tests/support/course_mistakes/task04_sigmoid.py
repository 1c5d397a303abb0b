"""Twenty usual mistakes of task 4, and words of the hint for each (None: it only must be caught)."""

Y = "y = np.where(z >= 0, 1, e) / (1 + e)"

MISTAKES = [
    (Y, "y = np.where(z >= 0, 1 / (1 + e), 0)", None),
    (Y, "y = np.divide(np.exp(z), np.exp(z) + 1)", "inf / inf"),
    (Y, "y = (1 + np.exp(z)) ** -1.0", "exponent"),
    (Y, "y = 1 / 1 + np.exp(-z)", "Brackets"),
    (Y, "y = (1 - np.exp(-z)) ** -1.0", "minus in the denominator"),
    (Y, "y = np.tanh(z / 2)", None),
    (Y, "y = np.sinh(np.clip(z, -700, 700)) / np.cosh(np.clip(z, -700, 700))", "tanh"),
    (Y, "y = 1 / (1 + np.e ** -abs(z))", "two forms"),
    (Y, "y = 1 / (1 + 2.718 ** -np.minimum(np.maximum(z, -700), 700))", "not e"),
    (Y, "y = np.zeros_like(z)\n    y[...] = 1 / (1 + np.exp(-z))", "whole numbers"),
    (Y, "y = np.log(1 + np.exp(np.minimum(z, 700)))", None),
    (Y, "z = np.asarray(z)\n    z *= -1\n    y = 1 / (1 + np.exp(z))", "overwrites"),
    ("return y", "return y > 0.5", "rounded"),
    ("return y", "np.asarray(y)", "return missing"),
    ("slope = y * (1 - y)", "s = 1 / (1 + np.exp(-y))\n    slope = s * (1 - s)", "already the output"),
    ("slope = y * (1 - y)", "slope = y * (y - 1)", "sign"),
    ("slope = y * (1 - y)", "slope = 1 - y * y", "tanh"),
    ("dz = dy * slope", "dz = slope", "dy is missing"),
    ("dz = dy * slope", "dz = np.dot(dy, slope)", "product of matrices"),
    ("dz = dy * slope", "dy *= slope\n    dz = dy", "overwrites"),
]  # fmt: skip
