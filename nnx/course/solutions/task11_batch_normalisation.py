"""Reference for task 11: batch normalisation."""

import numpy as np

from nnx.course.task import Case, Mistake

RETURNS = {
    "batch_norm_forward": ("y", "running_mean", "running_variance"),
    "batch_norm_backward": ("dx", "dgamma", "dbeta"),
}


def batch_norm_forward(x, gamma, beta, running_mean, running_variance, training, momentum, epsilon):
    """Return the normalised rows and the running statistics."""
    mean, variance = running_mean, running_variance
    if training:
        mean = x.mean(axis=0)
        variance = x.var(axis=0)
        running_mean = momentum * running_mean + (1 - momentum) * mean
        running_variance = momentum * running_variance + (1 - momentum) * variance
    scaled = (x - mean) / np.sqrt(variance + epsilon)
    y = gamma * scaled + beta
    return y, running_mean, running_variance


def batch_norm_backward(dy, x, gamma, epsilon):
    """Return the gradients of x, gamma and beta."""
    n = len(x)
    centred = x - x.mean(axis=0)
    sigma = np.sqrt(np.mean(centred**2, axis=0) + epsilon)
    normalized = centred / sigma
    dbeta = dy.sum(axis=0)
    dgamma = (dy * normalized).sum(axis=0)
    through_mean = dbeta / n
    through_variance = normalized * dgamma / n
    dx = gamma / sigma * (dy - through_mean - through_variance)
    return dx, dgamma, dbeta


def _forward(name, rng, rows, features, training=True, epsilon=0.1):
    x = (rng.normal(size=(rows, features)) + np.arange(1, features + 1)).round(2)
    gamma, variance = rng.uniform(0.5, 2.0, size=(2, features)).round(2)
    beta, mean = rng.normal(size=(2, features)).round(2)
    return Case("batch_norm_forward", name, {
        "x": x, "gamma": gamma, "beta": beta, "running_mean": mean, "running_variance": variance,
        "training": training, "momentum": 0.8, "epsilon": epsilon,
    })  # fmt: skip


def _backward(name, rng, rows, features):
    dy = rng.normal(size=(rows, features)).round(2)
    x = (3.0 * rng.normal(size=(rows, features)) + np.arange(features)).round(2)
    gamma = rng.uniform(0.5, 2.0, size=features).round(2)
    return Case("batch_norm_backward", name, {"dy": dy, "x": x, "gamma": gamma, "epsilon": 0.1})


def cases(rng):
    """Return the calls that are checked."""
    constant = _forward("a feature that does not change", rng, 4, 3, epsilon=0.01)
    constant.arguments["x"][:, 1] = 2.5
    return [
        _forward("in training", rng, 3, 2),
        _forward("outside of training", rng, 3, 2, training=False),
        _forward("one row outside of training", rng, 1, 4, training=False),
        _forward("as many rows as features", rng, 4, 4),
        constant,
        _backward("3 rows", rng, 3, 2),
        _backward("as many rows as features", rng, 4, 4),
        _backward("7 rows", rng, 7, 3),
    ]


_RUNNING = "momentum * running_mean + (1 - momentum) * mean"
_RUNNING_VARIANCE = "momentum * running_variance + (1 - momentum) * variance"
_BATCH = "    mean, variance = running_mean, running_variance\n    if training:\n"

MISTAKES = [
    # forward, outside of training
    Mistake("scaled = (x - mean) / np.sqrt(variance + epsilon)",
            "scaled = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + epsilon)",
            "Outside of training, y is normalised by the batch: use the running statistics there."),
    # forward: the running statistics
    Mistake(_RUNNING, "(1 - momentum) * running_mean + momentum * mean",
            "momentum is the share of the old running mean; here it is that of the batch."),
    Mistake(_RUNNING_VARIANCE, "(1 - momentum) * running_variance + momentum * variance",
            "momentum is the share of the old running variance; here it is that of the batch."),
    Mistake(_RUNNING, "momentum * running_mean + mean",
            "The factor 1 − momentum of the batch's mean is missing."),
    Mistake(_RUNNING_VARIANCE, "momentum * running_variance + variance",
            "The factor 1 − momentum of the batch's variance is missing."),
    Mistake(_RUNNING, "mean",
            "The running mean is replaced by that of the batch: keep a share of the old one."),
    Mistake(_RUNNING_VARIANCE, "variance",
            "The running variance is replaced by that of the batch: keep a share of the old one."),
    Mistake(_RUNNING, "running_mean",
            "The running mean is not updated: in training, each step moves it towards the batch's mean."),
    Mistake(_RUNNING_VARIANCE, "running_variance",
            "The running variance is not updated: in training, each step moves it towards the batch's "
            "variance."),
    Mistake("if training:", "if not training:",
            "The running statistics change outside of training: the condition is the wrong way round."),
    Mistake(_BATCH, "    if True:\n",
            "The running statistics change outside of training too: there, they are only used."),
    Mistake("mean = x.mean(axis=0)", "mean = x.mean()",
            "The mean is over all numbers of the batch: each feature has its own, so it is over the rows."),
    Mistake("mean = x.mean(axis=0)", "mean = x.mean(axis=1)",
            "The mean is over the features of a row, the wrong axis: it is over the rows, for each feature."),
    Mistake("mean = x.mean(axis=0)", "mean = x.mean(axis=1, keepdims=True)",
            "The mean is over the features of a row, the wrong axis: it is over the rows, for each feature."),
    Mistake("mean = x.mean(axis=0)", "mean = x.sum(axis=0)",
            "The mean is a sum: divide by the number of rows."),
    Mistake("(1 - momentum) * variance", "(1 - momentum) * x.var(axis=0, ddof=1)",
            "The variance is divided by n − 1, the unbiased form: here it is divided by n, the number of "
            "rows."),
    Mistake("(1 - momentum) * variance", "(1 - momentum) * np.sqrt(variance)",
            "The running variance gets the deviation, √σ²: it is a mean of variances, so no root."),
    Mistake("(1 - momentum) * variance", "(1 - momentum) * (variance + epsilon)",
            "ε is part of the running variance: it is added only under the root."),
    Mistake("(1 - momentum) * variance", "(1 - momentum) * (x**2).mean(axis=0)",
            "The variance is the mean of x²: subtract the mean of x before you square."),
    Mistake("(1 - momentum) * variance", "(1 - momentum) * ((x - x.mean(axis=0)) ** 2).sum(axis=0)",
            "The variance is a sum of squares: divide by the number of rows."),
    Mistake("(1 - momentum) * variance", "(1 - momentum) * x.var()",
            "The variance is over all numbers of the batch: each feature has its own, so it is over the "
            "rows."),
    Mistake("(1 - momentum) * variance", "(1 - momentum) * ((x - running_mean) ** 2).mean(axis=0)",
            "The variance is around the running mean: subtract the mean of the batch."),
    # forward: y
    Mistake("scaled = (x - mean) / np.sqrt(variance + epsilon)",
            "scaled = (x - running_mean) / np.sqrt(running_variance + epsilon)",
            "In training, y is normalised by the running statistics: use those of the batch there."),
    Mistake("np.sqrt(variance + epsilon)",
            "np.sqrt(x.var(axis=0, ddof=1) + epsilon if training else variance + epsilon)",
            "y uses the variance divided by n − 1, the unbiased form: here it is divided by n, the number "
            "of rows."),
    Mistake("np.sqrt(variance + epsilon)", "(np.sqrt(variance) + epsilon)",
            "ε is outside of the root in y: it is added to the variance, under the root."),
    Mistake("np.sqrt(variance + epsilon)", "np.sqrt(variance)",
            "ε is missing in y: it is added to the variance, under the root."),
    Mistake("np.sqrt(variance + epsilon)", "(variance + epsilon)",
            "The root is missing in y: divide by the deviation, not by the variance."),
    Mistake("(x - mean) / np.sqrt(variance + epsilon)", "x / np.sqrt(variance + epsilon)",
            "The mean is not subtracted in y."),
    Mistake("(x - mean) / np.sqrt(variance + epsilon)", "x - mean",
            "y is not divided by the deviation, √(σ² + ε)."),
    Mistake("y = gamma * scaled + beta", "y = scaled + beta",
            "γ is missing in y: it scales what is normalised."),
    Mistake("y = gamma * scaled + beta", "y = gamma * scaled", "β is missing in y: it is added at the end."),
    Mistake("y = gamma * scaled + beta", "y = scaled", "γ and β are missing in y."),
    Mistake("y = gamma * scaled + beta", "y = gamma * (scaled + beta)",
            "β is scaled by γ too: first multiply by γ, then add β."),
    Mistake("y = gamma * scaled + beta", "y = beta * scaled + gamma",
            "γ and β have changed places in y: γ scales, β is added."),
    # backward
    Mistake("dbeta = dy.sum(axis=0)", "dbeta = dy.mean(axis=0)",
            "dβ is a mean: β is used in every row, so the slopes of the rows are added."),
    Mistake("dbeta = dy.sum(axis=0)", "dbeta = dy.sum(axis=1)",
            "dβ is summed over the wrong axis: each feature has a β, so the sum is over the rows."),
    Mistake("return dx, dgamma, dbeta", "return dx, dbeta, dgamma",
            "dβ and dγ have changed places: the function returns dx, dgamma, dbeta."),
    Mistake("dgamma = (dy * normalized).sum(axis=0)", "dgamma = (dy * normalized).mean(axis=0)",
            "dγ is a mean: γ is used in every row, so the slopes of the rows are added."),
    Mistake("return dx, dgamma,", "return dx, (dy * normalized).sum(axis=1),",
            "dγ is summed over the wrong axis: each feature has a γ, so the sum is over the rows."),
    Mistake("return dx, dgamma,", "return dx, (dy * x).sum(axis=0),",
            "dγ uses x: γ is multiplied by the normalised x, x̂, in the forward pass."),
    Mistake("return dx, dgamma,", "return dx, (dy * centred).sum(axis=0),",
            "dγ uses x − μ, which is not divided by the deviation: γ is multiplied by x̂."),
    Mistake("np.mean(centred**2, axis=0) + epsilon", "np.sum(centred**2, axis=0) / (n - 1) + epsilon",
            "The backward pass uses the variance divided by n − 1, the unbiased form: here it is divided "
            "by n."),
    Mistake("np.sqrt(np.mean(centred**2, axis=0) + epsilon)",
            "(np.sqrt(np.mean(centred**2, axis=0)) + epsilon)",
            "ε is outside of the root in the backward pass: it is added to the variance, under the root."),
    Mistake("np.mean(centred**2, axis=0) + epsilon", "np.mean(centred**2, axis=0)",
            "ε is missing in the backward pass: it is added to the variance, under the root."),
    Mistake("(dy - through_mean - through_variance)", "dy",
            "dx has no path through the mean and the variance: both depend on x too."),
    Mistake("dy - through_mean - through_variance", "dy - through_variance",
            "dx has no path through the mean, which depends on x too: the term with dβ is missing."),
    Mistake("dy - through_mean - through_variance", "dy - through_mean",
            "dx has no path through the variance, which depends on x too: the term with dγ is missing."),
    Mistake("dy - through_mean - through_variance", "dy + through_mean + through_variance",
            "The two paths through mean and variance have the wrong sign in dx: they are subtracted."),
    Mistake("dy - through_mean - through_variance", "dy - dbeta - normalized * dgamma",
            "In dx, dβ and dγ are not divided by the number of rows."),
    Mistake("dy - through_mean - through_variance", "dy - dbeta - through_variance",
            "In dx, dβ is not divided by the number of rows."),
    Mistake("dy - through_mean - through_variance", "dy - through_mean - normalized * dgamma",
            "In dx, dγ is not divided by the number of rows."),
    Mistake("n = len(x)", "n = x.size",
            "n is the number of all numbers of the batch: it is the number of rows."),
    Mistake("n = len(x)", "n = x.shape[1]", "n is the number of features: it is the number of rows."),
    Mistake("through_variance = normalized * dgamma / n", "through_variance = centred * dgamma / n",
            "The path through the variance uses x − μ: it needs x̂, which is divided by the deviation."),
    Mistake("through_variance = normalized * dgamma / n", "through_variance = x * dgamma / n",
            "The path through the variance uses x: it needs the normalised x, x̂."),
    Mistake("through_variance = normalized * dgamma / n", "through_variance = dgamma / n",
            "The path through the variance has no x̂: dγ / n is multiplied by it."),
    Mistake("gamma / sigma * (dy", "1 / sigma * (dy",
            "γ is missing in dx: x̂ is multiplied by it in the forward pass."),
    Mistake("gamma / sigma * (dy", "gamma * (dy", "dx is not divided by the deviation, √(σ² + ε)."),
    Mistake("gamma / sigma * (dy", "gamma / sigma**2 * (dy",
            "dx is divided by the variance: divide by its root."),
    Mistake("gamma / sigma * (dy", "gamma * sigma * (dy", "dx is multiplied by the deviation: divide by it."),
]  # fmt: skip
