"""Search a learning rate: `Network.lr_find`."""

from __future__ import annotations

import copy
import math
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nnx import schedules
from nnx.data.rows import HostArray
from nnx.errors import ConfigurationError, TrainingError, number, whole
from nnx.optimizers import LBFGS, Optimizer
from nnx.schedules import Exponential
from nnx.training.loop import fit
from nnx.training.options import FitOptions
from nnx.training.run import Callback, Run

SMOOTHING = 0.9  # of the losses: decay of their moving average
FALL = 0.25  # share of the fall that the loss has made at the suggested rate
DIVERGED = 4.0  # training ends when the smoothed loss is so many times the first one


@dataclass(frozen=True)
class RateSearch:
    """The losses of a training in which the learning rate rises from step to step.

    Attributes
    ----------
    rates, losses, smoothed : array of shape (steps,)
        The rate and the loss of each step, and the moving average of the losses.
    suggested : float or None
        The rate at which the smoothed loss has made a quarter of its fall: from its median in the first fifth
        of the steps to its minimum. None if it does not fall.
    """

    rates: HostArray
    losses: HostArray
    smoothed: HostArray
    suggested: float | None


class _EnoughError(Exception):
    """Ends a search before its last step."""


class _Watch(Callback):
    """Record the loss of each step; end the search when it diverges."""

    def __init__(self, steps: int) -> None:
        self.steps, self.losses, self.smoothed = steps, list[float](), list[float]()
        self._average = 0.0

    def on_step_end(self, run: Run) -> None:
        """Read the loss, and smooth it without a bias to the first values."""
        loss = float(run.network.backend.to_numpy(run.losses[run.batch : run.batch + 1])[0])
        if not math.isfinite(loss):
            raise _EnoughError
        self._average = SMOOTHING * self._average + (1.0 - SMOOTHING) * loss
        self.losses.append(loss)
        self.smoothed.append(self._average / (1.0 - SMOOTHING ** len(self.losses)))
        worst = self.smoothed[0] + (DIVERGED - 1.0) * abs(self.smoothed[0])
        if len(self.losses) == self.steps or self.smoothed[-1] > worst:
            raise _EnoughError


def find(
    network: Any, x: Any, y: Any, options: FitOptions, low: float, high: float, steps: int
) -> RateSearch:
    """Train a network with rising rates; `Network.lr_find` calls it with a copy, and describes it.

    Raises
    ------
    ConfigurationError
        If an option is invalid.
    """
    low, high = number("low", low, "(0, inf)"), number("high", high, "(0, inf)")
    steps = whole("steps", steps, least=10)
    if isinstance(options.optimizer, LBFGS):
        raise ConfigurationError("lr_find: LBFGS has no learning rate: choose another optimizer")
    if low >= high:
        raise ConfigurationError(f"low={low:g} must be smaller than high={high:g}")
    factor = high / low
    watch = _Watch(steps)
    optimizer = _rising(options.optimizer, low, steps - 1, factor)
    options = replace(options, optimizer=optimizer, epochs=steps, callbacks=[watch])
    with suppress(_EnoughError, TrainingError):
        fit(network, x, y, options)
    if len(watch.losses) < 3:
        raise TrainingError(
            f"the loss is not finite at a learning rate of {low:g} already: lower low, or scale the data"
        )
    rates = low * factor ** (np.arange(len(watch.losses)) / (steps - 1))
    smoothed = np.array(watch.smoothed)
    return RateSearch(rates, np.array(watch.losses), smoothed, _suggested(rates, smoothed))


def _rising(optimizer: Optimizer, low: float, steps: int, factor: float) -> Optimizer:
    """Return a copy whose rate rises; rates of groups keep their ratio to it."""
    made = copy.copy(optimizer)
    made.learning_rate = Exponential(low, steps, factor)
    groups: dict[str, dict[str, Any]] = {pattern: dict(one) for pattern, one in (made.groups or {}).items()}
    first = optimizer.rate(0)
    for settings in groups.values():
        if "learning_rate" in settings:
            ratio = schedules.get(settings["learning_rate"])(0) / first if first else 1.0
            settings["learning_rate"] = Exponential(low * ratio, steps, factor)
    made.groups = groups or None
    return made


def _suggested(rates: HostArray, smoothed: HostArray) -> float | None:
    """Return the rate at which the loss has made a quarter of its fall; see `RateSearch`."""
    lowest = int(np.argmin(smoothed))
    first = float(np.median(smoothed[: max(1, len(smoothed) // 5)]))
    above = np.flatnonzero(smoothed[:lowest] > first - FALL * (first - smoothed[lowest]))
    return float(f"{rates[above[-1] + 1]:.3g}") if len(above) else None
