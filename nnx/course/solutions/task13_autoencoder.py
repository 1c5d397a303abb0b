"""Reference for task 13: an autoencoder."""

import numpy as np

from nnx.course.task import Case, Mistake

RETURNS = {
    "autoencoder_forward": ("code", "p"),
    "autoencoder_loss": ("loss",),
    "autoencoder_backward": ("dW1", "db1", "dW2", "db2"),
}


def autoencoder_forward(x, W1, b1, W2, b2):
    """Return the codes, and the restored rows."""
    code = np.tanh(x @ W1 + b1)
    z = code @ W2 + b2
    p = 1 / (1 + np.exp(-z))
    return code, p


def autoencoder_loss(x, p):
    """Return the binary cross-entropy, with x as the target."""
    entropy = -x * np.log(p) - (1 - x) * np.log(1 - p)
    return entropy.mean()


def autoencoder_backward(x, code, p, W2):
    """Return the gradients of all weights and biases."""
    dz2 = (p - x) / x.size
    dW2 = code.T @ dz2
    db2 = dz2.sum(axis=0)
    dcode = dz2 @ W2.T
    dz1 = dcode * (1 - code**2)
    dW1 = x.T @ dz1
    db1 = dz1.sum(axis=0)
    return dW1, db1, dW2, db2


def _arguments(rng, rows, features, units):
    x = rng.uniform(0.1, 0.9, size=(rows, features)).round(2)
    W1, W2 = rng.normal(size=(features, units)).round(2), rng.normal(size=(units, features)).round(2)
    b1, b2 = rng.normal(size=units).round(2), rng.normal(size=features).round(2)
    return {"x": x, "W1": W1, "b1": b1, "W2": W2, "b2": b2}


def _forward(name, rng, rows, features, units):
    return Case("autoencoder_forward", name, _arguments(rng, rows, features, units))


def _loss(name, rng, rows, features):
    x, p = rng.uniform(0.1, 0.9, size=(2, rows, features)).round(2)
    return Case("autoencoder_loss", name, {"x": x, "p": p})


def _backward(name, rng, rows, features, units):
    known = _arguments(rng, rows, features, units)
    code, p = autoencoder_forward(**known)
    return Case("autoencoder_backward", name, {"x": known["x"], "code": code, "p": p, "W2": known["W2"]})


def cases(rng):
    """Return the calls that are checked."""
    return [
        _forward("2 rows", rng, 2, 3, 2),
        _forward("a code as long as a row", rng, 5, 4, 4),
        _forward("7 rows", rng, 7, 5, 3),
        _loss("2 rows", rng, 2, 3),
        _loss("7 rows", rng, 7, 4),
        _backward("2 rows", rng, 2, 3, 2),
        _backward("a code as long as a row", rng, 4, 4, 4),
        _backward("7 rows", rng, 7, 5, 3),
    ]


_DZ2 = "dz2 = (p - x) / x.size"

MISTAKES = [
    # forward
    Mistake("z = code @ W2 + b2", "z = (x @ W1 + b1) @ W2 + b2",
            "p is computed without the tanh: the decoder gets the code."),
    Mistake("code = np.tanh(x @ W1 + b1)", "code = x @ W1 + b1", "The code has no tanh."),
    Mistake("code = np.tanh(x @ W1 + b1)", "code = np.tanh(x @ W1)", "b₁ is missing in the code."),
    Mistake("code = np.tanh(x @ W1 + b1)", "code = np.tanh(x @ W1) + b1",
            "b₁ is added after the tanh: add it before."),
    Mistake("code = np.tanh(x @ W1 + b1)", "code = 1 / (1 + np.exp(-(x @ W1 + b1)))",
            "The code has the sigmoid: the encoder has tanh, only the decoder has the sigmoid."),
    Mistake("code = np.tanh(x @ W1 + b1)", "code = np.maximum(x @ W1 + b1, 0)",
            "The code has ReLU: the encoder has tanh."),
    Mistake("p = 1 / (1 + np.exp(-z))", "p = z", "p has no sigmoid, so it is not between 0 and 1."),
    Mistake("p = 1 / (1 + np.exp(-z))", "p = np.tanh(z)", "p has tanh: the decoder has the sigmoid."),
    Mistake("p = 1 / (1 + np.exp(-z))", "p = 1 / (1 + np.exp(z))",
            "The sigmoid has e^z: it is e^−z, with a minus."),
    Mistake("p = 1 / (1 + np.exp(-z))", "p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)",
            "p is a softmax, whose numbers compete: each number has its own sigmoid."),
    Mistake("z = code @ W2 + b2", "z = code @ W2", "b₂ is missing in p."),
    Mistake("z = code @ W2 + b2", "z = code @ W1.T + b2", "p uses W₁ᵀ: the decoder has its own weights, W₂."),
    # the loss
    Mistake("entropy.mean()", "entropy.sum()", "The loss is a sum: it is a mean over all numbers."),
    Mistake("entropy.mean()", "entropy.sum(axis=1).mean()",
            "The loss is summed over the features, and only the rows are averaged: it is a mean over all "
            "numbers."),
    Mistake("entropy.mean()", "entropy.mean(axis=1)",
            "The loss is one number for each row: it is a mean over all numbers."),
    Mistake("-x * np.log(p) - (1 - x) * np.log(1 - p)", "x * np.log(p) + (1 - x) * np.log(1 - p)",
            "The sign of the loss is wrong: a logarithm of a probability is negative, and the loss is "
            "positive."),
    Mistake("-x * np.log(p) - (1 - x) * np.log(1 - p)", "-x * np.log(p)",
            "The second term of the loss is missing: 1 − x, with the logarithm of 1 − p."),
    Mistake("-x * np.log(p) - (1 - x) * np.log(1 - p)", "-(1 - x) * np.log(1 - p)",
            "The first term of the loss is missing: x, with the logarithm of p."),
    Mistake("-x * np.log(p) - (1 - x) * np.log(1 - p)", "-x * np.log(p) + (1 - x) * np.log(1 - p)",
            "The second term of the loss has the wrong sign."),
    Mistake("-x * np.log(p) - (1 - x) * np.log(1 - p)", "-p * np.log(x) - (1 - p) * np.log(1 - x)",
            "Target and output have changed places in the loss: the logarithms are those of p and 1 − p."),
    Mistake("-x * np.log(p) - (1 - x) * np.log(1 - p)", "(p - x) ** 2",
            "The loss is the squared error: it is the binary cross-entropy."),
    Mistake("-x * np.log(p) - (1 - x) * np.log(1 - p)", "-x * np.log2(p) - (1 - x) * np.log2(1 - p)",
            "The loss has the logarithm to the base 2: it is the natural one."),
    Mistake("(1 - x) * np.log(1 - p)", "(1 - x) * (1 - np.log(p))",
            "The second term of the loss has 1 − log p: it is the logarithm of 1 − p."),
    # backward
    Mistake("db2 = dz2.sum(axis=0)", "db2 = dz2.mean(axis=0)",
            "db₂ is a mean: b₂ is used in every row, so it is a sum."),
    Mistake("db1 = dz1.sum(axis=0)", "db1 = dz1.mean(axis=0)",
            "db₁ is a mean: b₁ is used in every row, so it is a sum."),
    Mistake(_DZ2, "dz2 = (x - p) / x.size", "The sign of dz₂ is wrong: it is the output minus the target."),
    Mistake(_DZ2, "dz2 = p - x", "dz₂ is not divided by how many numbers x has: the loss is a mean."),
    Mistake(_DZ2, "dz2 = (p - x) / len(x)",
            "dz₂ is divided by the rows only: the loss is a mean over rows and features."),
    Mistake(_DZ2, "dz2 = (p - x) / x.size / len(x)",
            "A gradient is divided by the rows twice: dz₂ is divided already, and needs it once."),
    Mistake(_DZ2, "dz2 = (p - x) / x.size * p * (1 - p)",
            "dz₂ has the slope of the sigmoid, p (1 − p), once too often: p − x has it already."),
    Mistake(_DZ2, "dz2 = (p - x) / (p * (1 - p)) / x.size",
            "dz₂ is the slope with respect to p: multiply it by the slope of the sigmoid, which cancels "
            "the denominator."),
    Mistake(_DZ2, "dz2 = 2 * (p - x) / x.size", "dz₂ has a factor 2, which belongs to the squared error."),
    Mistake(_DZ2, "dz2 = 2 * (p - x) * p * (1 - p) / x.size",
            "dz₂ is that of the squared error: the loss is the binary cross-entropy."),
    Mistake(_DZ2, "dz2 = (p - x) / x.size * (1 - p**2)",
            "dz₂ has the slope of tanh, but the decoder has the sigmoid."),
    Mistake("dW2 = code.T @ dz2", "dW2 = dz2.T @ code", "dW₂ is transposed: it has the shape of W₂."),
    Mistake("dW2 = code.T @ dz2", "dW2 = p.T @ dz2",
            "dW₂ uses p: it uses the input of the decoder, the code."),
    Mistake("dW2 = code.T @ dz2", "dW2 = x.T @ dz2",
            "dW₂ uses x: it uses the input of the decoder, the code."),
    Mistake("db2 = dz2.sum(axis=0)", "db2 = dz2.sum(axis=1)",
            "db₂ is summed over the wrong axis: the sum is over the rows."),
    Mistake("db2 = dz2.sum(axis=0)", "db2 = dz2.sum()",
            "db₂ is one sum of all numbers: the sum is over the rows only."),
    Mistake("dcode = dz2 @ W2.T", "dcode = dz2 @ W2", "dcode has no transpose: it multiplies by W₂ᵀ."),
    Mistake("dz1 = dcode * (1 - code**2)", "dz1 = dcode", "The slope of tanh is missing in dz₁: 1 − code²."),
    Mistake("dz1 = dcode * (1 - code**2)", "dz1 = dcode * (1 - code)",
            "The slope of tanh has no square: 1 − code²."),
    Mistake("dz1 = dcode * (1 - code**2)", "dz1 = dcode * (1 - np.tanh(code) ** 2)",
            "The slope of tanh uses tanh of the code, but the code is a tanh already."),
    Mistake("dz1 = dcode * (1 - code**2)", "dz1 = dcode * code * (1 - code)",
            "dz₁ has the slope of the sigmoid: the encoder has tanh."),
    Mistake("dz1 = dcode * (1 - code**2)", "dz1 = dcode * (code > 0)",
            "dz₁ has the slope of ReLU: the encoder has tanh."),
    Mistake("dz1 = dcode * (1 - code**2)", "dz1 = dcode * (1 - code) ** 2",
            "The slope of tanh has (1 − code)²: only the code is squared."),
    Mistake("dz1 = dcode * (1 - code**2)", "dz1 = dcode * (1 + code**2)",
            "The slope of tanh has a plus: 1 − code²."),
    Mistake("dW1 = x.T @ dz1", "dW1 = dz1.T @ x", "dW₁ is transposed: it has the shape of W₁."),
    Mistake("dW1 = x.T @ dz1", "dW1 = p.T @ dz1", "dW₁ uses p: it uses the input of the encoder, x."),
    Mistake("db1 = dz1.sum(axis=0)", "db1 = dz1.sum(axis=1)",
            "db₁ is summed over the wrong axis: the sum is over the rows."),
    Mistake("db1 = dz1.sum(axis=0)", "db1 = dz1.sum()",
            "db₁ is one sum of all numbers: the sum is over the rows only."),
]  # fmt: skip
