"""Losses of a predicted distribution: quantiles, the rate of a Poisson, the mean and spread of a normal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar

from nnx.backends import Array, Backend
from nnx.errors import ConfigurationError, DataError, number
from nnx.losses.base import Loss
from nnx.records import Case, Counterpart, LossRecord

__all__ = ["GaussianNLL", "Pinball", "Poisson"]


class Pinball(Loss):
    """L = mean over all targets and quantiles of max(τ (y − p), (1 − τ) (p − y)).

    The prediction that minimizes it is the τ-quantile of the targets: 90% of them are below the prediction
    for τ = 0.9. The gradient is −τ where p < y, 1 − τ where p > y and 0 where p = y, divided by the size.

    With k quantiles, the network returns k numbers for each target: an output of shape (rows, k) for targets
    of shape (rows,) or (rows, 1), or (rows, …, k) for targets of shape (rows, …). Quantiles that are trained
    together can cross. They do not if the network ends with `Ascending`. Metrics get the quantile nearest to
    the median, except ``"pinball"``, which gets all.

    Parameters
    ----------
    quantiles : float in (0, 1), or sequence of these
        The levels τ, in ascending order.

    Raises
    ------
    ConfigurationError
        If a level does not lie in (0, 1), or the levels do not ascend.

    References
    ----------
    Koenker and Bassett (1978), Regression quantiles.

    Examples
    --------
    >>> import nnx
    >>> loss = nnx.Pinball((0.05, 0.5, 0.95))
    >>> network = nnx.Network([nnx.Dense(32, activation="relu"), nnx.Dense(3), nnx.Ascending()])
    """

    record = LossRecord(
        names=("pinball", "quantile"),
        estimators="pinball",
        command="pinball",
        tasks=("regression",),
        cases=(
            Case({"quantiles": (0.1, 0.4, 0.5, 0.9)}, "of four quantiles"),
            Case({"quantiles": 0.9}, "of one quantile"),
        ),
        keras="Keras has no quantile loss",
    )
    kind = "pinball"
    estimates = True
    per_target = by_position = True

    def __init__(self, quantiles: float | Sequence[float] = 0.5) -> None:
        listed = quantiles.tolist() if hasattr(quantiles, "tolist") else quantiles
        listed = list(listed) if isinstance(listed, (list, tuple)) else [listed]
        levels = [number("Pinball: a quantile", level, "(0, 1)") for level in listed]
        if not levels or any(low >= high for low, high in pairwise(levels)):
            raise ConfigurationError(
                f"Pinball: quantiles must be one or more different levels in ascending order, not {listed}"
            )
        self.quantiles = self.parameter = tuple(levels)
        self.width = len(levels)

    def middle(self) -> int:
        """Return the place of the quantile nearest to the median."""
        return min(range(self.width), key=lambda place: abs(self.quantiles[place] - 0.5))

    def config(self) -> dict[str, Any]:
        """Return the levels."""
        return {"quantiles": list(self.quantiles)}


class Poisson(Loss):
    """L = mean over all elements of p − y log p; gradient (1 − y / p) / size. For counts and rates.

    It is the negative log-likelihood of a Poisson distribution with the rate p, without the term log y!,
    which does not depend on p. Targets are at least 0. End the network with `Exp`: `fit` and
    `evaluate` then compute both together, e^z − y z, from the activation's input z. From z = 60 on, a
    straight line replaces e^z in this form, so that the loss stays finite.

    Parameters
    ----------
    epsilon : float > 0
        Rates are at least ε in a call with rates, and after another last layer than `Exp`.
    """

    record = LossRecord(
        names=("poisson",),
        estimators="poisson",
        command="poisson",
        tasks=("regression",),
        keras=Counterpart("Poisson"),
    )
    kind = "poisson"
    activation = "exponential"
    fused: ClassVar[dict[str, str]] = {"exponential": "poisson_from_log"}
    estimates = True

    def __init__(self, epsilon: float = 1e-7) -> None:
        self.epsilon = self.parameter = number("Poisson: epsilon", epsilon, "(0, inf)")

    def check_predictions(self, backend: Backend, p: Array) -> None:
        """Check that rates are not negative."""
        if p.size and (low := float(backend.xp.min(p))) < 0.0:
            raise DataError(
                f"Poisson needs rates, which are at least 0, but a prediction is {low:g}: end the network "
                "with nnx.Exp()"
            )

    def check_targets(self, y: Any, features: int | tuple[int, ...]) -> None:
        """Check that targets are not negative."""
        super().check_targets(y, features)
        if y.size and y.min() < 0:
            raise DataError(
                f"Poisson: targets must be counts or rates of at least 0, found {float(y.min()):.9g}: do not "
                "standardize them, or choose another loss"
            )

    def config(self) -> dict[str, Any]:
        """Return the smallest rate ε."""
        return {"epsilon": self.epsilon}


class GaussianNLL(Loss):
    """L = mean over all targets of log σ + ((y − μ) / σ)² / 2 + log(2π) / 2, with σ = softplus(s) + ε.

    The negative log-likelihood of a normal distribution, in nats. The network returns two numbers for each
    target, the mean μ and a number s for the spread: an output of shape (rows, 2) for targets of shape
    (rows,) or (rows, 1), or (rows, …, 2) for targets of shape (rows, …). `spread` computes the standard
    deviation σ from an output. Metrics get the means. With u = (y − μ) / σ, the gradients are −u / σ for μ
    and (1 − u²) / σ · sigmoid(s) for s, divided by the number of targets.

    Parameters
    ----------
    epsilon : float > 0
        The smallest standard deviation, in the unit of the targets.

    References
    ----------
    Nix and Weigend (1994), Estimating the mean and variance of the target probability distribution.
    """

    record = LossRecord(
        names=("gaussian_nll", "gaussian"),
        estimators="gaussian",
        command="gaussian",
        tasks=("regression",),
        cases=(
            Case(note="of one target", options={"features": 2}),
            Case({"epsilon": 0.1}, "of three targets", {"features": (3, 2)}),
        ),
        keras="Keras has no loss of a mean and a spread",
    )
    kind = "gaussian"
    estimates = True
    per_target = by_position = True
    sums_features = True
    width = 2

    def __init__(self, epsilon: float = 1e-6) -> None:
        self.epsilon = self.parameter = number("GaussianNLL: epsilon", epsilon, "(0, inf)")

    def spread(self, xp: Any, y_pred: Array) -> Array:
        """Return the standard deviations for outputs of shape (rows, …, 2), in the shape (rows, …).

        `xp` is the library of the array: ``numpy``, or ``cupy`` on a GPU.
        """
        s = y_pred[..., 1]
        return xp.maximum(s, 0.0) + xp.log1p(xp.exp(-xp.abs(s))) + self.epsilon

    def config(self) -> dict[str, Any]:
        """Return the smallest standard deviation ε."""
        return {"epsilon": self.epsilon}
