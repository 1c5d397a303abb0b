"""Twenty usual mistakes of task 11, and words of the hint for each (None: it only must be caught)."""

MEAN = "mean = x.mean(axis=0)"
VARIANCE = "variance = x.var(axis=0)"
RUNNING = "running_mean = momentum * running_mean + (1 - momentum) * mean"
RUNNING_VARIANCE = "running_variance = momentum * running_variance + (1 - momentum) * variance"
SCALED = "scaled = (x - mean) / np.sqrt(variance + epsilon)"
DX = "dx = gamma / sigma * (dy - through_mean - through_variance)"

MISTAKES = [
    (MEAN, "mean = np.mean(x, axis=1)[:, None]", "wrong axis"),
    (MEAN, "mean = np.mean(x)", "over all numbers"),
    (VARIANCE, "variance = ((x - mean) ** 2).sum(axis=0) / (len(x) - 1)", "unbiased"),
    (VARIANCE, "variance = ((x - mean) ** 2).sum(axis=0)", "sum of squares"),
    (VARIANCE, "variance = x.std(axis=0)", "no root"),
    (VARIANCE, "variance = (x * x).mean(axis=0)", "before you square"),
    (RUNNING, "running_mean = (1 - momentum) * running_mean + momentum * mean",
     "share of the old running mean"),
    (RUNNING, "running_mean *= momentum\n        running_mean += (1 - momentum) * mean", "overwrites"),
    (RUNNING, "pass", "not updated"),
    (RUNNING_VARIANCE, "running_variance = momentum * running_variance + variance", "1 − momentum"),
    (SCALED, "scaled = (x - running_mean) / (running_variance + epsilon) ** 0.5",
     "running statistics: use those"),
    (SCALED, "scaled = (x - mean) / (variance**0.5 + epsilon)", "outside of the root"),
    (SCALED, "scaled = (x - x.mean(axis=0)) / (x.var(axis=0) + epsilon) ** 0.5", "normalised by the batch"),
    ("y = gamma * scaled + beta", "y = (scaled + beta) * gamma", "scaled by γ too"),
    ("dbeta = dy.sum(axis=0)", "dbeta = np.mean(dy, axis=0)", "is a mean"),
    ("dgamma = (dy * normalized).sum(axis=0)", "dgamma = np.einsum('ij,ij->j', dy, x)", "dγ uses x"),
    (DX, "dx = dy * gamma / sigma", "no path through the mean and the variance"),
    (DX, "dx = gamma / sigma * (dy - normalized * dgamma / n)", "no path through the mean"),
    (DX, "dx = gamma / sigma * (dy - dbeta / n)", "no path through the variance"),
    (DX, "dx = (gamma * dy - gamma * dbeta - gamma * normalized * dgamma) / sigma",
     "not divided by the number of rows"),
]  # fmt: skip
