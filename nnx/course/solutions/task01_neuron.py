"""Reference for task 1: one neuron."""

import numpy as np

from nnx.course.task import Case, Mistake

RETURNS = {"neuron": ("z", "y"), "neuron_backward": ("dx", "dw", "db")}


def neuron(x, w, b):
    """Return z = x · w + b and tanh(z)."""
    z = np.sum(x * w) + b
    y = np.tanh(z)
    return z, y


def neuron_backward(x, w, y, dy):
    """Return the gradients of x, w and b."""
    dz = dy * (1 - y**2)
    dx = dz * w
    dw = dz * x
    db = dz
    return dx, dw, db


def cases(rng):
    """Return neurons with some inputs and with one."""

    def forward(label, inputs, z, digits=6):
        x, w = rng.normal(size=(2, inputs)).round(digits)
        b = round(float(z - x @ w), digits)
        return Case("neuron", label, {"x": x, "w": w, "b": b})

    def backward(label, inputs, digits=6):
        x, w = rng.normal(size=(2, inputs)).round(digits)
        y, dy = round(float(rng.uniform(0.2, 0.8)), digits), round(float(rng.uniform(1.5, 3)), digits)
        return Case("neuron_backward", label, {"x": x, "w": w, "y": y, "dy": dy})

    return [
        forward("3 inputs", 3, 0.6, digits=1),
        forward("one input", 1, 1.1),
        forward("8 inputs", 8, -0.7),
        backward("3 inputs", 3, digits=1),
        backward("one input", 1),
        backward("8 inputs", 8),
    ]


MISTAKES = [
    Mistake("np.sum(x * w) + b", "np.sum(x * w)",
            "The bias b is missing in the sum."),
    Mistake("np.sum(x * w) + b", "np.sum(x * w + b)",
            "b is added once for each input: it belongs outside the sum."),
    Mistake("np.sum(x * w) + b", "np.sum(x * w) - b",
            "b is subtracted, but must be added."),
    Mistake("np.sum(x * w) + b", "x * w + b",
            "The products are not added: z is one number, the sum over the inputs."),
    Mistake("np.sum(x * w) + b", "np.sum(x * w) * b",
            "b is multiplied, but must be added."),
    Mistake("np.sum(x * w) + b", "x[-1] * w[-1] + b",
            "Only the last input counts: a loop must add to the sum (+=), not assign."),
    Mistake("np.sum(x * w) + b", "np.sum(x[1:] * w[1:]) + b",
            "The first input is missing: Python counts from 0."),
    Mistake("np.sum(x * w) + b", "np.sum(x[:-1] * w[:-1]) + b",
            "The last input is missing: range(n) ends with n − 1."),
    Mistake("np.sum(x * w) + b", "np.mean(x * w) + b",
            "z is a mean of the products, but must be their sum."),
    Mistake("np.sum(x * w) + b", "np.sum(x + w) + b",
            "Inputs and weights are added, but each input is multiplied by its weight."),
    Mistake("np.sum(x * w) + b", "np.sum(x) * np.sum(w) + b",
            "The sums are multiplied: multiply each input by its own weight first, then add."),
    Mistake("np.sum(x * w) + b", "np.sum(x) + b",
            "The weights are not used."),
    Mistake("np.tanh(z)", "z",
            "The activation is missing: y is tanh of z."),
    Mistake("np.tanh(z)", "1 / (1 + np.exp(-z))",
            "This is the sigmoid of z; this neuron has tanh."),
    Mistake("np.tanh(z)", "np.maximum(z, 0)",
            "This is ReLU of z; this neuron has tanh."),
    Mistake("np.tanh(z)", "np.tanh(z - b)",
            "The activation takes the sum without the bias."),
    Mistake("np.tanh(z)", "np.tan(z)",
            "This is tan, the tangent; the activation is tanh, the hyperbolic tangent."),
    Mistake("return z, y", "return y, z",
            "The results are in another order: z, then y."),
    Mistake("dy * (1 - y**2)", "dy",
            "The derivative of tanh is missing: dz is not dy."),
    Mistake("dy * (1 - y**2)", "(1 - y**2)",
            "dy is missing: the chain rule multiplies the derivative of tanh by dy."),
    Mistake("dy * (1 - y**2)", "dy * y * (1 - y)",
            "y (1 − y) is the derivative of the sigmoid; that of tanh is 1 − y²."),
    Mistake("dy * (1 - y**2)", "dy * (1 - np.tanh(y)**2)",
            "tanh is taken again: y is already tanh(z)."),
    Mistake("dy * (1 - y**2)", "dy * (1 - y)**2",
            "The square belongs to y alone: 1 − y², not (1 − y)²."),
    Mistake("dy * (1 - y**2)", "dy * y**2",
            "The derivative of tanh is 1 − y², not y²."),
    Mistake("    dx = dz * w\n    dw = dz * x", "    dx = dz * x\n    dw = dz * w",
            "dx and dw are exchanged: each input's slope is its weight, each weight's slope its input."),
    Mistake("dz * w", "dz * np.sum(w)",
            "dx has the sum of the weights: each input has only its own weight."),
    Mistake("dw = dz * x", "dw = dz * np.sum(x)",
            "dw has the sum of the inputs: each weight has only its own input."),
    Mistake("db = dz", "db = 1.0",
            "The slope of z for b is 1, but the chain rule multiplies it by dz."),
    Mistake("db = dz", "db = dy",
            "db is dy, without the derivative of tanh."),
    Mistake("db = dz", "db = dz * np.ones_like(x)",
            "db has a number for each input: the neuron has one bias."),
]  # fmt: skip
