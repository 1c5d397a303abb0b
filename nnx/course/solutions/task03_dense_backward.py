"""Reference for task 3: the backward pass of a dense layer."""

import numpy as np

from nnx.course.task import Case, Mistake

RETURNS = {"dense_backward": ("dx", "dW", "db")}


def dense_backward(x, W, dy):
    """Return the gradients of x @ W + b."""
    dx = dy @ W.T
    dW = x.T @ dy
    db = np.sum(dy, axis=0)
    return dx, dW, db


def cases(rng):
    """Return batches of several rows and of one, also with as many inputs as units."""

    def case(label, rows, inputs, units, digits=6):
        shapes = {"x": (rows, inputs), "W": (inputs, units), "dy": (rows, units)}
        arguments = {name: rng.normal(size=shape).round(digits) for name, shape in shapes.items()}
        return Case("dense_backward", label, arguments)

    return [
        case("2 rows", 2, 3, 2, digits=1),
        case("one row", 1, 4, 3),
        case("7 rows", 7, 4, 3),
        case("a square layer", 4, 4, 4),
    ]


MISTAKES = [
    Mistake("dy @ W.T", "dy @ W",
            "A transpose is missing in dx: W leads from inputs to units, dx leads back."),
    Mistake("dy @ W.T", "(W @ dy.T)",
            "dx is transposed: its rows must be the rows of the batch."),
    Mistake("dy @ W.T", "dy * W.T",
            "dx needs a product of matrices, @; * multiplies number by number."),
    Mistake("x.T @ dy", "x @ dy",
            "A transpose is missing in dW: it must have the shape of W."),
    Mistake("x.T @ dy", "dy.T @ x",
            "dW is transposed: it must have the shape of W, (inputs, units)."),
    Mistake("x.T @ dy", "x.T @ dy / len(x)",
            "dW is a mean over the rows, but must be their sum: dy is already the derivative of the whole "
            "loss."),
    Mistake("x.T @ dy", "x.T * dy",
            "dW needs a product of matrices, @; * multiplies number by number."),
    Mistake("x.T @ dy", "x[:1].T @ dy[:1]",
            "dW has the first row only: it is a sum over all rows."),
    Mistake("x.T @ dy", "x[-1:].T @ dy[-1:]",
            "dW has the last row only: a loop must add (+=), not assign."),
    Mistake("x.T @ dy", "W.T @ dy.T",
            "dW needs the layer's input x, not the weights."),
    Mistake("np.sum(dy, axis=0)", "np.sum(dy, axis=1)",
            "db is summed over the wrong axis: one number for each unit must remain, so the sum runs over "
            "the rows."),
    Mistake("np.sum(dy, axis=0)", "np.mean(dy, axis=0)",
            "db is a mean over the rows, but must be their sum."),
    Mistake("np.sum(dy, axis=0)", "np.mean(dy, axis=1)",
            "db is a mean over the wrong axis: it must be the sum over the rows."),
    Mistake("np.sum(dy, axis=0)", "np.sum(dy)",
            "The sum in db needs an axis: there is one number for each unit."),
    Mistake("np.sum(dy, axis=0)", "dy",
            "db has a row for each row of the batch: b is shared by all rows, so their parts are summed."),
    Mistake("np.sum(dy, axis=0)", "np.sum(dy, axis=0, keepdims=True)",
            "db keeps an axis that b does not have: its shape must be (units,)."),
    Mistake("np.sum(dy, axis=0)", "np.ones(dy.shape[1])",
            "db does not depend on dy here: ∂y/∂b is 1, but the chain rule multiplies by dy."),
    Mistake("return dx, dW, db", "return dW, dx, db",
            "The results are in another order: dx, dW, db."),
]  # fmt: skip
