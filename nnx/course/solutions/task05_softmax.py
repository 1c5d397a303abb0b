"""Reference for task 5: softmax."""

import numpy as np

from nnx.course.task import Case, Mistake

RETURNS = {"softmax": ("p",), "softmax_backward": ("dz",)}


def softmax(z):
    """Return exp(z) / Σ exp(z) for each row, with the largest number subtracted."""
    shifted = z - np.max(z, axis=1, keepdims=True)
    e = np.exp(shifted)
    p = e / np.sum(e, axis=1, keepdims=True)
    return p


def softmax_backward(p, dp):
    """Return p (dp − Σ p dp)."""
    s = np.sum(p * dp, axis=1, keepdims=True)
    dz = p * (dp - s)
    return dz


def cases(rng):
    """Return batches of several rows and of one, a square one, large numbers and integers."""

    def backward(label, rows, classes, digits=6):
        e = rng.uniform(0.2, 1, size=(rows, classes))
        p = (e / e.sum(axis=1, keepdims=True)).round(digits)
        p[:, -1] = (1 - p[:, :-1].sum(axis=1)).round(digits)
        return Case("softmax_backward", label, {"p": p, "dp": rng.normal(size=(rows, classes)).round(digits)})

    far = np.array([[1000, 1000, 1000], [-1000, -1000, -1000], [0, 1500, -1500]])
    return [
        Case("softmax", "2 rows", {"z": rng.normal(size=(2, 3)).round(1)}),
        Case("softmax", "one row", {"z": rng.normal(size=(1, 4)).round(6)}),
        Case("softmax", "a square batch", {"z": rng.normal(size=(3, 3)).round(6)}),
        Case("softmax", "large numbers", {"z": rng.normal(size=(3, 3)).round(2) + far}),
        Case("softmax", "integers", {"z": rng.integers(-2, 3, size=(3, 4))}),
        backward("2 rows", 2, 3, digits=2),
        backward("one row", 1, 4),
        backward("a square batch", 3, 3),
    ]


_S = "np.sum(p * dp, axis=1, keepdims=True)"
MISTAKES = [
    Mistake(" - np.max(z, axis=1, keepdims=True)", "",
            "e^z of a large z is inf, and inf / inf is nan: subtract the largest number of each row "
            "first."),
    Mistake("np.max(z, axis=1, keepdims=True)", "np.max(z)",
            "The largest number of the whole batch is subtracted: rows with much smaller numbers become "
            "0 / 0. Each row needs its own."),
    Mistake("np.max(z, axis=1, keepdims=True)", "np.max(z, axis=0, keepdims=True)",
            "The largest number of each column is subtracted: it must be that of each row."),
    Mistake("np.max(z, axis=1, keepdims=True)", "np.max(z, axis=1)",
            "The maximum has lost its axis, so it is subtracted along the wrong one: look at keepdims."),
    Mistake("np.max(z, axis=1, keepdims=True)", "np.mean(z, axis=1, keepdims=True)",
            "The mean is subtracted: only the maximum makes sure that no exponential is too large."),
    Mistake("np.max(z, axis=1, keepdims=True)", "np.min(z, axis=1, keepdims=True)",
            "The minimum is subtracted: only the maximum makes sure that no exponential is too large."),
    Mistake("np.sum(e, axis=1, keepdims=True)", "np.sum(e, axis=0, keepdims=True)",
            "The sum runs over the wrong axis: each row, not each column, must have the sum 1."),
    Mistake("np.sum(e, axis=1, keepdims=True)", "np.sum(e)",
            "The sum runs over the whole batch: each row must have the sum 1."),
    Mistake("np.sum(e, axis=1, keepdims=True)", "np.sum(e, axis=1)",
            "The sum has lost its axis, so rows are divided by the sums of other rows: look at keepdims."),
    Mistake("np.sum(e, axis=1, keepdims=True)", "np.mean(e, axis=1, keepdims=True)",
            "The exponentials are divided by their mean, but must be divided by their sum."),
    Mistake("np.sum(e, axis=1, keepdims=True)", "np.max(e, axis=1, keepdims=True)",
            "The exponentials are divided by the largest, but must be divided by their sum."),
    Mistake("p = e / np.sum(e, axis=1, keepdims=True)", "p = e",
            "The division by the sum is missing: each row must have the sum 1."),
    Mistake("np.exp(shifted)", "shifted",
            "The exponential is missing."),
    Mistake("np.exp(shifted)", "np.exp(-(z - np.min(z, axis=1, keepdims=True)))",
            "The sign of the exponent is wrong: the largest z must have the largest probability."),
    Mistake("np.exp(shifted)", "2.0 ** shifted",
            "The base of the exponential is not e: use np.exp."),
    Mistake("return p", "return np.log(p)",
            "This is the logarithm of the probabilities."),
    Mistake("return p", "return p.astype(z.dtype)",
            "With integers, p is cut to whole numbers: an array made like z takes no fractions."),
    Mistake("return p", "return np.argmax(p, axis=1)",
            "This is the number of the largest class; all probabilities are wanted."),
    Mistake("return p", "return 1 / (1 + np.exp(-z))",
            "This is the sigmoid of each number: softmax compares the numbers of a row."),
    Mistake("p * (dp - s)", "p * (1 - p) * dp",
            "p (1 − p) dp is right for the sigmoid: in softmax each p also depends on the other z of its "
            "row."),
    Mistake("p * (dp - s)",
            "p * dp - np.sum(p * p, axis=1, keepdims=True) * np.sum(dp, axis=1, keepdims=True)",
            "p @ p.T of a vector is one number in NumPy: the table of all products of two p is np.outer."),
    Mistake("p * (dp - s)", "p * (1 - p)",
            "p (1 − p) is only a part of the derivative, and dp is missing."),
    Mistake("p * (dp - s)", "p * dp",
            "The sum s of the row is missing: each p also depends on the other z of its row."),
    Mistake("p * (dp - s)", "p * (dp + s)",
            "There is a plus between dp and s; it must be a minus."),
    Mistake("p * (dp - s)", "dp - s",
            "The factor p is missing."),
    Mistake("p * (dp - s)", "p * dp - s",
            "Brackets are missing: p multiplies the whole difference."),
    Mistake("p * (dp - s)", "p - dp",
            "p − y is the gradient of softmax and cross-entropy together; here a gradient dp of any loss "
            "is given."),
    Mistake(_S, "np.sum(dp, axis=1, keepdims=True)",
            "s is a sum of dp alone: each is multiplied by its p."),
    Mistake(_S, "np.sum(p * dp, axis=0, keepdims=True)",
            "s is summed over the wrong axis: it is one number for each row."),
    Mistake(_S, "np.sum(p * dp)",
            "s is summed over the whole batch: it is one number for each row."),
    Mistake(_S, "np.sum(p * dp, axis=1)",
            "s has lost its axis, so it is subtracted along the wrong one: look at keepdims."),
    Mistake(_S, "np.mean(p * dp, axis=1, keepdims=True)",
            "s is a mean, but must be a sum over the classes."),
]  # fmt: skip
