"""Reference for task 6: mean squared error and binary cross-entropy."""

import numpy as np

from nnx.course.task import Case, Mistake

RETURNS = {"mean_squared_error": ("loss", "dp"), "binary_cross_entropy": ("loss", "dp")}


def mean_squared_error(y_true, y_pred):
    """Return the mean of (p − y)², and 2 (p − y) / n."""
    error = y_pred - y_true
    loss = np.mean(error**2)
    dp = 2 * error / error.size
    return loss, dp


def binary_cross_entropy(y_true, y_pred):
    """Return the mean of −y log p − (1 − y) log(1 − p), and its gradient."""
    p = np.clip(y_pred, 1e-7, 1 - 1e-7)
    yes = y_true * np.log(p)
    no = (1 - y_true) * np.log(1 - p)
    mean = -np.mean(yes + no)
    slope = (p - y_true) / (p * (1 - p))
    return mean, slope / p.size


def cases(rng):
    """Return batches of several rows and of one, one output, and certain predictions."""

    def numbers(label, rows, outputs, digits=6):
        y, p = rng.normal(size=(2, rows, outputs)).round(digits)
        return Case("mean_squared_error", label, {"y_true": y, "y_pred": p})

    def classes(label, rows, outputs, digits=6):
        y = rng.permutation(np.arange(rows * outputs) % 2).reshape(rows, outputs).astype(float)
        p = rng.uniform(0.15, 0.85, size=(rows, outputs)).round(digits)
        return Case("binary_cross_entropy", label, {"y_true": y, "y_pred": p})

    sure = classes("sure and right", 3, 2)
    sure.arguments["y_pred"] = sure.arguments["y_true"].copy()
    return [
        numbers("2 rows", 2, 3, digits=1),
        numbers("one row", 1, 4),
        numbers("7 rows", 7, 3),
        numbers("one output", 5, 1),
        classes("2 rows", 2, 3, digits=1),
        classes("one row", 1, 4),
        classes("7 rows", 7, 3),
        sure,
    ]


MISTAKES = [
    Mistake("np.mean(error**2)", "np.sum(error**2)",
            "The loss is a sum, but must be a mean over all numbers."),
    Mistake("np.mean(error**2)", "np.sum(error**2) / len(error)",
            "The loss is divided by the number of rows: this mean is over all numbers, rows times "
            "outputs."),
    Mistake("np.mean(error**2)", "np.mean(error**2) / 2",
            "The loss is half of the mean: some books write ½, this formula has none."),
    Mistake("np.mean(error**2)", "np.sqrt(np.mean(error**2))",
            "The loss is a root: this is the root mean squared error."),
    Mistake("np.mean(error**2)", "np.mean(np.abs(error))",
            "The errors are not squared: this is the mean absolute error."),
    Mistake("np.mean(error**2)", "np.mean(error)",
            "The errors are not squared: positive and negative ones cancel."),
    Mistake("np.mean(error**2)", "np.mean(error)**2",
            "The mean is squared; square each error first, then take the mean."),
    Mistake("np.mean(error**2)", "np.mean(error**2, axis=1)",
            "The loss has one number for each row: it must be one number for the batch."),
    Mistake("np.mean(error**2)", "np.mean(error**2, axis=0)",
            "The loss has one number for each output: it must be one number for the batch."),
    Mistake("2 * error / error.size", "error / error.size",
            "The factor 2 is missing in dp: it comes from the square."),
    Mistake("2 * error / error.size", "2 * error",
            "The gradient is not divided by n: the loss is a mean, so the gradient is too."),
    Mistake("2 * error / error.size", "2 * error / len(error)",
            "The gradient is divided by the number of rows: n is the number of all numbers, rows times "
            "outputs."),
    Mistake("2 * error / error.size", "2 * np.abs(error) / error.size",
            "The gradient has lost its sign: its direction matters."),
    Mistake("2 * error / error.size", "2 * error**2 / error.size",
            "The error is still squared in the gradient: the derivative of e² is 2 e."),
    Mistake("y_pred - y_true", "y_true - y_pred",
            "The sign of the gradient is wrong: it is prediction minus truth."),
    Mistake("-np.mean(yes + no)", "np.mean(yes + no)",
            "The minus before the sum is missing: logarithms of probabilities are negative, the loss is "
            "positive."),
    Mistake("-np.mean(yes + no)", "-np.sum(yes + no)",
            "The loss is a sum, but must be a mean over all numbers."),
    Mistake("-np.mean(yes + no)", "-np.sum(yes + no) / len(p)",
            "The loss is divided by the number of rows: this mean is over all numbers, rows times "
            "outputs."),
    Mistake("-np.mean(yes + no)", "-np.mean(yes)",
            "The part for y = 0 is missing: (1 − y) log(1 − p)."),
    Mistake("-np.mean(yes + no)", "-np.mean(no)",
            "The part for y = 1 is missing: y log p."),
    Mistake("-np.mean(yes + no)", "-np.mean(yes - no)",
            "The two parts are subtracted, but must be added: both are negative."),
    Mistake("-np.mean(yes + no)", "-np.mean(yes + no, axis=1)",
            "The loss has one number for each row: it must be one number for the batch."),
    Mistake("-np.mean(yes + no)", "-np.mean(yes + no) / np.log(2)",
            "The logarithm has the base 2: the formula has the natural one, np.log."),
    Mistake("-np.mean(yes + no)", "-np.mean(yes + no) / np.log(10)",
            "The logarithm has the base 10: the formula has the natural one, np.log."),
    Mistake("np.log(1 - p)", "np.log(p)",
            "The second part has log p; for y = 0 it is log(1 − p)."),
    Mistake("np.clip(y_pred, 1e-7, 1 - 1e-7)", "y_pred",
            "Certain predictions give nan: log 0 is −inf. Move p into the range from ε to 1 − ε first."),
    Mistake("np.clip(y_pred, 1e-7, 1 - 1e-7)", "np.maximum(y_pred, 1e-7)",
            "p is kept from 0, but not from 1: log(1 − p) needs that too."),
    Mistake("np.clip(y_pred, 1e-7, 1 - 1e-7)", "np.clip(y_pred, 1e-3, 1 - 1e-3)",
            "p is moved too far: ε is 1e-7."),
    Mistake("np.clip(y_pred, 1e-7, 1 - 1e-7)", "np.clip(y_pred, 1e-12, 1 - 1e-12)",
            "p is moved by another ε: it is 1e-7."),
    Mistake("slope / p.size", "slope",
            "The gradient is not divided by n: the loss is a mean, so the gradient is too."),
    Mistake("slope / p.size", "slope / len(p)",
            "The gradient is divided by the number of rows: n is the number of all numbers, rows times "
            "outputs."),
    Mistake("(p - y_true) / (p * (1 - p))", "(p - y_true)",
            "p − y is the gradient of the sigmoid's input; this one, for p, is divided by p (1 − p)."),
    Mistake("(p - y_true) / (p * (1 - p))", "(y_true - p) / (p * (1 - p))",
            "The sign of the gradient is wrong: it is prediction minus truth."),
    Mistake("(p - y_true) / (p * (1 - p))", "(p - y_true) / p * (1 - p)",
            "Brackets are missing: the whole product p (1 − p) divides."),
    Mistake("(p - y_true) / (p * (1 - p))", "-y_true / p",
            "The part for y = 0 is missing in the gradient."),
    Mistake("(p - y_true) / (p * (1 - p))", "-(y_true / p + (1 - y_true) / (1 - p))",
            "The part for y = 0 has the wrong sign: the derivative of log(1 − p) is −1 / (1 − p)."),
]  # fmt: skip
