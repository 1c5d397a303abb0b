"""A running average of the parameters during training: `fit(average=…)`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nnx.backends import Array
from nnx.parameters import Arena


class WeightAverage:
    """The exponential moving average a of the parameters w over the steps of a `fit`.

    After step t: a = d a + (1 − d) w with d = min(decay, (1 + t) / (10 + t)), and a = w after the first step.
    So the average follows fast at first, and covers about 1 / (1 − decay) steps later. Running statistics,
    which are averages already, stay those of the last step.

    Parameters
    ----------
    arena : Arena
    decay : float in (0, 1)

    Attributes
    ----------
    values : array of shape (size,)
        The average of ``arena.values``.
    count : int
        Number of steps in the average.

    References
    ----------
    Polyak and Juditsky (1992), Acceleration of stochastic approximation by averaging. The growing decay is
    that of TensorFlow's ``ExponentialMovingAverage``.
    """

    def __init__(self, arena: Arena, decay: float) -> None:
        self.arena, self.decay, self.count = arena, decay, 0
        backend, size = arena.backend, arena.values.size
        with backend.reserve(size * arena.dtype.itemsize, "the average of the parameters", "average=None"):
            self.values: Array = backend.zeros(size, arena.dtype)

    def update(self, step: int) -> None:
        """Add the parameters after a step, counted from 1."""
        self.count = step
        if step == 1:
            with self.arena.backend.hold():
                self.values[...] = self.arena.values
            return
        share = 1.0 - min(self.decay, (1.0 + step) / (10.0 + step))
        self.arena.backend.average_step(self.values, self.arena.values, share)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Let the network have the averages within this block, and the trained parameters after it."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def finish(self) -> None:
        """Let the network have the averages from now on."""
        if self.count:
            with self.arena.backend.hold():
                self.arena.values[...] = self.values

    def restore(self, trained: Array, count: int) -> None:
        """Take the network's parameters as averages of `count` steps, and give it the trained ones."""
        self.count = count
        with self.arena.backend.hold():
            self.values[...] = self.arena.values
            self.arena.values[...] = self.arena.backend.asarray(trained)

    def _exchange(self) -> None:
        """Exchange the two in place: views and recorded steps have these addresses."""
        if not self.count:
            return
        with self.arena.backend.hold():
            trained = self.arena.values.copy()
            self.arena.values[...] = self.values
            self.values[...] = trained
