"""Reference for task 2: the forward pass of a dense layer."""

import numpy as np

from nnx.course.task import Case, Mistake

RETURNS = {"dense_forward": ("y",)}


def dense_forward(x, W, b):
    """Return x @ W + b."""
    product = x @ W
    y = product + b
    return y


def cases(rng):
    """Return batches of several rows and of one, a square layer, and integers."""

    def case(label, rows, inputs, units, digits=6):
        shapes = {"x": (rows, inputs), "W": (inputs, units), "b": (units,)}
        arguments = {name: np.round(rng.normal(size=shape), digits) for name, shape in shapes.items()}
        return Case("dense_forward", label, arguments)

    whole = case("integer inputs", 3, 2, 4)
    whole.arguments["x"] = rng.integers(1, 6, size=(3, 2))
    return [
        case("2 rows", 2, 3, 2, digits=1),
        case("one row", 1, 4, 3),
        case("7 rows", 7, 4, 3),
        case("a square layer", 3, 3, 3),
        whole,
    ]


MISTAKES = [
    Mistake("product + b", "product",
            "The bias b is missing."),
    Mistake("product + b", "product - b",
            "b is subtracted, but must be added."),
    Mistake("product + b", "product + np.sum(b)",
            "The sum of all biases is added: each unit has only its own."),
    Mistake("product + b", "product + np.mean(b)",
            "The mean of the biases is added: each unit has its own."),
    Mistake("product + b", "product + b[:, None]",
            "b is added along the wrong axis: each column of y has its own bias, each row all of them."),
    Mistake("product + b", "product + 2 * b",
            "b is added twice."),
    Mistake("product + b", "product + x.shape[1] * b",
            "b is added once for each input: it belongs outside the sum."),
    Mistake("product + b", "product * b",
            "x W is multiplied by b, but b must be added."),
    Mistake("product + b", "x @ (W + b)",
            "b is added to the weights: it belongs outside the product."),
    Mistake("x @ W", "x @ W.T",
            "W is transposed, but needs no transpose: its rows belong to the inputs, its columns to the "
            "units."),
    Mistake("x @ W", "W @ x",
            "The factors are in the wrong order: the columns of the first must be the rows of the second."),
    Mistake("x @ W", "(W.T @ x.T)",
            "The product is transposed: rows of y belong to rows of x, columns to units."),
    Mistake("x @ W", "x.T @ W",
            "x is transposed, but needs no transpose: each of its rows is one input of the layer."),
    Mistake("x @ W", "x * W",
            "This multiplies number by number (*); a product of matrices is @."),
    Mistake("x @ W", "x @ W / x.shape[1]",
            "The products are averaged, but must be summed over the inputs."),
    Mistake("x @ W", "x @ W / x.shape[0]",
            "x W is divided by the number of rows: rows do not depend on each other."),
    Mistake("x @ W", "np.sum(x, axis=1, keepdims=True) * np.sum(W, axis=0)",
            "Sums are multiplied: each input must be multiplied by its own weight first."),
    Mistake("return y", "return y.T",
            "y is transposed: rows of y belong to rows of x, columns to units."),
    Mistake("return y", "return y[0]",
            "Only the first row is returned: y has a row for each row of x."),
    Mistake("return y", "return np.squeeze(y)",
            "squeeze drops the axis of the rows if there is one row: y always has two axes."),
    Mistake("return y", "return y.astype(x.dtype)",
            "With integer inputs, y is cut to whole numbers: an array made like x takes no fractions."),
    Mistake("return y", "return np.maximum(y, 0)",
            "An activation is applied: here y is x W + b alone."),
    Mistake("return y", "return 1 / (1 + np.exp(-y))",
            "An activation is applied: here y is x W + b alone."),
    Mistake("return y", "return np.tanh(y)",
            "An activation is applied: here y is x W + b alone."),
]  # fmt: skip
