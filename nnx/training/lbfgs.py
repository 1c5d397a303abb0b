"""Train with L-BFGS: an epoch is one step, with all rows and a line search."""

from __future__ import annotations

import math
import time
import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from nnx.backends import Array
from nnx.data.samples import Samples
from nnx.errors import ConfigurationError, TrainingError
from nnx.layers.base import walk
from nnx.layers.randomness import Draws
from nnx.libraries import needed
from nnx.optimizers.lbfgs import LBFGS
from nnx.training import nonfinite
from nnx.training.options import FitOptions
from nnx.training.pause import Pause
from nnx.training.ranks import Ranks
from nnx.training.run import Run
from nnx.training.step import StepTrainer

LEAST = 1024  # rows of a pass, if there are so many
HUGE = 1e300  # what the line search sees in place of a loss that is not finite


class LbfgsTrainer(StepTrainer):
    """Train a network with L-BFGS; parameters as for `StepTrainer`.

    The changes (s, y) lie in the slots of the optimizer. Those of step n are in the slots s_i and y_i with
    i = n modulo their number; both are 0 if the step was not used. So a checkpoint holds everything.
    """

    optimizer: LBFGS

    def __init__(self, network: Any, samples: Samples, options: FitOptions, ranks: Ranks) -> None:
        rows = min(len(samples), max(options.batch_size, LEAST))
        super().__init__(network, samples, replace(options, shuffle=False, batch_size=rows), ranks)
        _check(network, options)
        self.steps_of_an_epoch = 1
        self._total = self.backend.zeros(self.arena.gradients.size, self.arena.dtype)
        self._trained = list(self.arena.spans(*network.span))
        self._known: tuple[Array, float, Array] | None = None  # parameters, objective and its gradient there

    def train(self, run: Run, pause: Pause) -> None:
        """Take one step, and record the loss after it."""
        began = time.perf_counter()
        if not self.backend.synchronous:
            run.history.not_replayed = "L-BFGS reads the loss on the host in each step"
        value, gradient = self._objective_here(run)
        xp = self.backend.xp
        with self.backend.hold():
            largest = float(self.backend.to_numpy(xp.max(xp.abs(gradient))))
        if largest <= self.optimizer.tolerance:
            run.stop = f"no gradient is larger than {self.optimizer.tolerance:g}"
        elif not self._step(value, gradient):
            run.stop = "no step lowers the loss any more"
        else:
            self.arena.step += 1
            self.kept.step += 1
            run.step += 1
            run.history.first_step_seconds = run.history.first_step_seconds or time.perf_counter() - began
            pause.after_step()
        self.record(run, nonfinite.Guard(run, self.arena, self.kept))

    def _objective_here(self, run: Run) -> tuple[float, Array]:
        """Return the objective and its gradient for the network's parameters."""
        xp, arena = self.backend.xp, self.arena
        with self.backend.hold():
            if self._known is not None and bool((self._known[0] == arena.values).all()):
                return self._known[1:]
            value, gradient = self._objective()
            finite = math.isfinite(value) and bool(xp.isfinite(gradient).all())
        if not finite:
            where = nonfinite.first(self.network, self.plan).partition(" ")[2]
            raise TrainingError(
                f"epoch {run.epoch + 1}: the loss is {value:g} and {where} is not finite, before a step was "
                "taken: scale the data, or choose other initial weights"
            )
        self._known = (arena.values.copy(), value, gradient)
        return value, gradient

    def _objective(self) -> tuple[float, Array]:
        """Compute the loss of all rows with ½ l2 ‖w‖², and its gradient; that of frozen parameters is 0."""
        arena, l2, total = self.arena, self.optimizer.l2, self._total
        order = self.feeder.begin(self.batches.order(arena.seed, 0))
        total[...] = 0.0
        for number, share in enumerate(self.batches.shares):
            self.gradients(*self.feeder.batch(number, order), number)
            for span in self._trained:
                total[span] += arena.gradients[span] * float(share)
        value = self.batches.mean(self.backend.to_numpy(self.losses))
        for span in self._trained if l2 else ():
            weights = arena.values[span]
            value += 0.5 * l2 * self._dot(weights, weights)
            total[span] += l2 * weights
        arena.gradients[...] = total  # of all rows, for callbacks; each pass had left that of its rows
        return value, total.copy()

    def _step(self, value: float, gradient: Array) -> bool:
        """Take one step; return False, with the parameters as they were, if there is none."""
        arena = self.arena
        with self.backend.hold(), self.backend.quiet():
            start = arena.values.copy()
            for direction in self._directions(gradient):
                found = self._search(start, direction, value, gradient)
                if found is None:
                    continue
                after, new = found
                self._remember(arena.values - start, new - gradient)
                self._known = (arena.values.copy(), after, new)
                return True
            arena.values[...] = start
            self._objective()  # so that the recorded losses are those of these parameters
        return False

    def _directions(self, gradient: Array) -> list[Array]:
        """Return the directions to try: −H g, then that of the steepest descent."""
        norm = math.sqrt(self._dot(gradient, gradient))
        steepest = gradient * (-1.0 / max(1.0, norm))  # the norm of tiny numbers can be 0
        pairs = self._pairs()
        if not pairs:
            return [steepest]
        direction, factors = -gradient, []
        for s, y, sy in pairs:
            factors.append(self._dot(s, direction) / sy)
            direction -= factors[-1] * y
        s, y, sy = pairs[0]
        direction *= sy / self._dot(y, y)
        for (s, y, sy), factor in zip(reversed(pairs), reversed(factors), strict=True):
            direction += (factor - self._dot(y, direction) / sy) * s
        return [direction, steepest]

    def _pairs(self) -> list[tuple[Array, Array, float]]:
        """Return the stored changes (s, y, sᵀy), the newest first."""
        count, slots = self.optimizer.history, self.kept.slots
        numbers = [(self.kept.step - 1 - back) % count for back in range(min(count, self.kept.step))]
        found = [(slots[f"s{n}"], slots[f"y{n}"]) for n in numbers]
        pairs = [(s, y, self._dot(s, y)) for s, y in found]
        return [pair for pair in pairs if pair[2] > 0.0]

    def _remember(self, s: Array, y: Array) -> None:
        """Store the changes of a step, if they are those of a curve that is open upwards."""
        number = self.kept.step % self.optimizer.history
        used = self._dot(s, y) > float(np.finfo(s.dtype).eps) * self._dot(y, y)
        for name, change in (("s", s), ("y", y)):
            self.kept.slots[f"{name}{number}"][...] = change if used else 0.0

    def _search(
        self, start: Array, direction: Array, value: float, gradient: Array
    ) -> tuple[float, Array] | None:
        """Move along a line to a point that satisfies the strong Wolfe conditions; return what is there."""
        with needed("estimators", "L-BFGS"):
            from scipy.optimize import line_search
        slope = self._dot(gradient, direction)
        if not slope < 0.0:
            return None
        seen: dict[float, tuple[float, Array]] = {}

        def at(alpha: float) -> tuple[float, Array]:
            if alpha not in seen:
                seen.clear()  # only the newest gradient is needed again
                self.arena.values[...] = start + direction * alpha
                seen[alpha] = self._objective()
            return seen[alpha]

        def loss(point: Any) -> float:
            found = at(float(point[0]))[0]
            return found if math.isfinite(found) else HUGE

        def derivative(point: Any) -> Any:
            return [self._dot(at(float(point[0]))[1], direction)]

        with warnings.catch_warnings():  # a search that fails is no surprise at the end
            warnings.simplefilter("ignore")
            alpha, *_ = line_search(loss, derivative, np.zeros(1), np.ones(1), np.array([slope]), value)
        if alpha is None:
            return None
        found = at(float(alpha))
        return found if found[0] < value else None

    def _dot(self, a: Array, b: Array) -> float:
        return float(self.backend.to_numpy(self.backend.xp.dot(a, b)))


def _check(network: Any, options: FitOptions) -> None:
    """Refuse what changes the loss from one evaluation to the next, or has no meaning here.

    Raises
    ------
    ConfigurationError
        If there is such a thing.
    """
    drawing = next((layer for layer in walk(network.layers) if isinstance(layer, Draws)), None)
    wrong = {
        f"{drawing and drawing.name}, which draws random numbers": drawing is not None,
        "running statistics (BatchNorm)": network.arena.state.size > 0,
        "sparse parameters": bool(network.arena.sparse),
        "augment": options.augment is not None,
        "accumulate": options.accumulate > 1,
        "average": options.average is not None,
        "several ranks": options.communicator.size > 1,
        f"on_nonfinite={options.on_nonfinite!r}": options.on_nonfinite != "stop",
    }
    for what, found in wrong.items():
        if found:
            raise ConfigurationError(
                f"LBFGS does not work with {what}, as each step computes the same loss several times: remove "
                "it, or choose another optimizer"
            )
