"""Reference for task 7: softmax and cross-entropy together."""

import numpy as np

from nnx.course.task import Case, Mistake

RETURNS = {"cross_entropy": ("loss", "dz")}


def cross_entropy(labels, z):
    """Return the mean of −log softmax(z)[label], and (softmax(z) − one-hot) / rows."""
    rows = np.arange(len(z))
    shifted = z - np.max(z, axis=1, keepdims=True)
    log_p = shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
    right = log_p[rows, labels]
    loss = -np.mean(right)
    y = np.zeros(z.shape)
    y[rows, labels] = 1
    dz = (np.exp(log_p) - y) / len(z)
    return loss, dz


def cases(rng):
    """Return batches of several rows and of one, a square one, and certain predictions that are wrong."""

    def case(label, rows, classes, digits=6):
        labels = rng.permutation(np.arange(rows) % classes)
        return Case(
            "cross_entropy", label, {"labels": labels, "z": rng.normal(size=(rows, classes)).round(digits)}
        )

    wrong = case("large numbers", 3, 4)
    wrong.arguments["z"] += np.where(np.eye(4)[wrong.arguments["labels"]], -1000, [900, 0, 800, 1100])
    wrong.arguments["z"][1] -= 3000
    one = case("one row", 1, 4)
    one.arguments["labels"][0] = 2
    return [
        case("2 rows", 2, 3, digits=1),
        one,
        case("5 rows", 5, 3),
        case("a square batch", 3, 3),
        wrong,
    ]


_LOG_P = "log_p = shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))"
_RIGHT = "right = log_p[rows, labels]"
_DZ = "dz = (np.exp(log_p) - y) / len(z)"
MISTAKES = [
    Mistake(_RIGHT, "right = np.log(np.exp(log_p))[rows, labels]",
            "A very small probability becomes 0, and log 0 is −inf: compute log p without p."),
    Mistake(_RIGHT, "right = np.log(np.clip(np.exp(log_p), 1e-7, 1))[rows, labels]",
            "p is clipped before the logarithm, so large losses are cut: compute log p without p."),
    Mistake(_RIGHT, "right = np.log(np.clip(np.exp(log_p), 1e-12, 1))[rows, labels]",
            "p is clipped before the logarithm, so large losses are cut: compute log p without p."),
    Mistake("shifted = z - np.max(z, axis=1, keepdims=True)", "shifted = z",
            "e^z of a large z is inf: subtract the largest number of each row first."),
    Mistake("np.max(z, axis=1, keepdims=True)", "np.max(z)",
            "The largest number of the whole batch is subtracted, but each row needs its own."),
    Mistake("np.sum(np.exp(shifted), axis=1, keepdims=True)",
            "np.sum(np.exp(shifted), axis=0, keepdims=True)",
            "The sum of the exponentials runs over the wrong axis: it is one number for each row."),
    Mistake("np.sum(np.exp(shifted), axis=1, keepdims=True)", "np.sum(np.exp(shifted))",
            "The sum of the exponentials runs over the whole batch: it is one number for each row."),
    Mistake("np.sum(np.exp(shifted), axis=1, keepdims=True)", "np.sum(np.exp(shifted), axis=1)",
            "The sum of the exponentials has lost its axis: look at keepdims."),
    Mistake(_LOG_P, "log_p = z - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))",
            "The largest number is subtracted inside the logarithm only: it must be subtracted from z too."),
    Mistake(_LOG_P, "log_p = shifted",
            "The logarithm of the sum is missing."),
    Mistake(_RIGHT, "right = np.exp(log_p)[rows, labels]",
            "The logarithm is missing: the loss is −log p, not −p."),
    Mistake(_RIGHT, "right = log_p[:, labels]",
            "log_p[:, labels] takes each label in every row: choose one number in each row."),
    Mistake(_RIGHT, "right = log_p",
            "All classes are averaged: only the right class of each row counts."),
    Mistake(_RIGHT, "right = log_p[rows, labels - 1]",
            "Another class is taken than that of the label: labels count from 0."),
    Mistake(_RIGHT, "right = np.max(log_p, axis=1)",
            "The most probable class is taken: it must be that of the label."),
    Mistake(_RIGHT, "right = z[rows, labels]",
            "The logits z are taken where log p belongs."),
    Mistake("-np.mean(right)", "np.mean(right)",
            "The minus is missing: the logarithm of a probability is negative, the loss is positive."),
    Mistake("-np.mean(right)", "-np.sum(right)",
            "The loss is a sum over the rows, but must be their mean."),
    Mistake("-np.mean(right)", "-np.sum(right) / z.size",
            "The loss is divided by all numbers: it is a mean over the rows."),
    Mistake("-np.mean(right)", "-right",
            "The loss has one number for each row: it must be their mean."),
    Mistake("-np.mean(right)", "-np.mean(right) / np.log(2)",
            "The logarithm has the base 2: the formula has the natural one, np.log."),
    Mistake(_DZ, "dz = np.exp(log_p) - y",
            "The gradient is not divided by the rows: the loss is a mean, so the gradient is too."),
    Mistake(_DZ, "dz = (np.exp(log_p) - y) / z.size",
            "The gradient is divided by all numbers: the mean of the loss is over the rows."),
    Mistake(_DZ, "dz = (np.exp(log_p) - y) / z.shape[1]",
            "The gradient is divided by the number of classes: the mean of the loss is over the rows."),
    Mistake(_DZ, "dz = (y - np.exp(log_p)) / len(z)",
            "The sign of the gradient is wrong: it is p − y."),
    Mistake(_DZ, "dz = np.exp(log_p) / len(z) - y",
            "Only p is divided by the rows: y must be, too."),
    Mistake(_DZ, "dz = np.exp(log_p) / len(z)",
            "The 1 of the right class is not subtracted."),
    Mistake(_DZ, "dz = (np.exp(log_p) - 1) / len(z)",
            "1 is subtracted from every class: only the right class of each row has y = 1."),
    Mistake(_DZ, "dz = (np.exp(log_p) - y) * y / len(z)",
            "Only the right class has a gradient: the others have p / rows."),
    Mistake(_DZ, "dz = (log_p - y) / len(z)",
            "The gradient has log p where p belongs."),
    Mistake(_DZ, "dz = (z - y) / len(z)",
            "The gradient has the logits z where p belongs."),
    Mistake(_DZ, "dz = -y / np.exp(log_p) / len(z)",
            "This is the gradient of p; for z, softmax is part of it, and p − y is left."),
    Mistake("y[rows, labels] = 1", "y = np.eye(len(z))[labels]",
            "y has a column for each row of the batch: it needs one for each class."),
    Mistake("y[rows, labels] = 1", "y[:, labels] = 1",
            "y[:, labels] = 1 marks each label in every row: mark one class in each row."),
    Mistake("y[rows, labels] = 1", "y[rows, labels - 1] = 1",
            "Another class is marked than that of the label: labels count from 0."),
    Mistake("return loss, dz", "return dz, loss",
            "The results are in another order: loss, then dz."),
]  # fmt: skip
