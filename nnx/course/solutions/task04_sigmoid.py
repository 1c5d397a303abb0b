"""Reference for task 4: the sigmoid."""

import numpy as np

from nnx.course.task import Case, Mistake

RETURNS = {"sigmoid": ("y",), "sigmoid_backward": ("dz",)}


def sigmoid(z):
    """Return 1 / (1 + exp(−z)) in a form that has no overflow on either side."""
    e = np.exp(-np.abs(z))
    y = np.where(z >= 0, 1, e) / (1 + e)
    return y


def sigmoid_backward(y, dy):
    """Return dy y (1 − y)."""
    slope = y * (1 - y)
    dz = dy * slope
    return dz


def cases(rng):
    """Return a matrix, a vector, large numbers and integers."""

    def backward(label, *shape, digits=6):
        arguments = {"y": rng.uniform(0.1, 0.9, size=shape), "dy": rng.normal(size=shape)}
        return Case(
            "sigmoid_backward", label, {name: value.round(digits) for name, value in arguments.items()}
        )

    large = rng.uniform(750, 900, size=(2, 2)).round(1) * [[1, -1], [-1, 1]]
    return [
        Case("sigmoid", "2 rows", {"z": rng.normal(scale=2, size=(2, 3)).round(1)}),
        Case("sigmoid", "a vector", {"z": rng.normal(size=5).round(6)}),
        Case("sigmoid", "large numbers", {"z": large}),
        Case("sigmoid", "integers", {"z": rng.integers(-4, 5, size=(3, 4))}),
        backward("2 rows", 2, 3, digits=1),
        backward("a vector", 5),
        backward("a square matrix", 3, 3),
    ]


_Y = "np.where(z >= 0, 1, e) / (1 + e)"
MISTAKES = [
    Mistake(_Y, "np.exp(z) / (1 + np.exp(z))",
            "e^z of a large z is inf, and inf / inf is nan: write another form for positive z."),
    Mistake(_Y, "1 / (1 + np.exp(z))",
            "The sign of the exponent is wrong: this is σ(−z), it falls where σ rises."),
    Mistake(_Y, "1 / (1 - np.exp(-z))",
            "There is a minus in the denominator; it must be 1 plus the exponential."),
    Mistake(_Y, "1 / 1 + np.exp(-z)",
            "Brackets are missing: the whole sum 1 + e^(−z) is the denominator."),
    Mistake(_Y, "1 / np.exp(-z)",
            "The 1 in the denominator is missing."),
    Mistake(_Y, "np.exp(-z) / (1 + np.exp(-z))",
            "The numerator is 1 where the denominator has e^(−z): this is σ(−z)."),
    Mistake(_Y, "1 / (1 + np.exp(-np.abs(z)))",
            "Negative z get the values of positive z: abs(z) needs two forms, one for each side."),
    Mistake(_Y, "1 / (1 + e ** 2)",
            "The exponent is 2 z: the sigmoid has z."),
    Mistake(_Y, "np.tanh(z)",
            "This is tanh, between −1 and 1; the sigmoid lies between 0 and 1."),
    Mistake(_Y, "np.maximum(z, 0)",
            "This is ReLU; the sigmoid lies between 0 and 1."),
    Mistake(_Y, "1 / (1 + 2.718 ** -np.clip(z, -700, 700))",
            "2.718 is not e: use np.exp."),
    Mistake(_Y, "1 / (1 + 2.0 ** -z)",
            "The base is 2: the sigmoid has e, so use np.exp."),
    Mistake(_Y, "1 / (1 + np.exp(-np.clip(z, -1, 1)))",
            "z is clipped too much: values outside the limits are wrong."),
    Mistake("return y", "return y.astype(z.dtype)",
            "With integers, y is cut to whole numbers: an array made like z takes no fractions."),
    Mistake("return y", "return np.round(y)",
            "The result is rounded to 0 and 1."),
    Mistake("return y", "return y / np.sum(y)",
            "The values are divided by their sum: that is for softmax. Each sigmoid is on its own."),
    Mistake("y * (1 - y)", "1 / (1 + np.exp(-y)) * (1 - 1 / (1 + np.exp(-y)))",
            "σ is taken again: y is already the output σ(z)."),
    Mistake("y * (1 - y)", "y",
            "A factor is missing in the derivative: it is y (1 − y)."),
    Mistake("y * (1 - y)", "(1 - y)",
            "A factor is missing in the derivative: it is y (1 − y)."),
    Mistake("y * (1 - y)", "(1 - y**2)",
            "1 − y² is the derivative of tanh; that of the sigmoid is y (1 − y)."),
    Mistake("y * (1 - y)", "(1 - y)**2",
            "The derivative is y (1 − y), not a square."),
    Mistake("y * (1 - y)", "y * (1 + y)",
            "There is a plus in the derivative; it is y (1 − y)."),
    Mistake("y * (1 - y)", "(y > 0)",
            "This is the derivative of ReLU; that of the sigmoid is y (1 − y)."),
    Mistake("dy * slope", "slope",
            "dy is missing: the chain rule multiplies the derivative by dy."),
    Mistake("dy * slope", "dy + slope",
            "dy is added, but the chain rule multiplies."),
    Mistake("dy * slope", "dy @ slope.T",
            "This is a product of matrices; each number has its own derivative, so use *."),
    Mistake("dy * slope", "dy @ slope",
            "This is a product of matrices; each number has its own derivative, so use *."),
    Mistake("dy * slope", "np.sum(dy * slope, axis=0)",
            "A sum is too much: each number of z has its own gradient."),
]  # fmt: skip
