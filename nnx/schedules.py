"""Learning rates that change with the step; given as an optimizer's learning rate, and in no other way."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from nnx import named
from nnx.errors import ConfigurationError, number, whole


class Schedule:
    """A learning rate as a function of the number of steps already taken, from 0, and of nothing else.

    A subclass writes `__call__`; its attributes are what its constructor takes, unless it writes `config`. It
    may be asked for many steps in advance.
    """

    registry: ClassVar[dict[str, type[Schedule]]] = {}
    kind: ClassVar[str] = "Schedule"  # its name there: with the module, unless it is nnx's

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = cls.__module__.startswith("nnx.")
        cls.kind = cls.__name__ if own else f"{cls.__module__}.{cls.__qualname__}"
        Schedule.registry[cls.kind] = cls

    def __call__(self, step: int) -> float:
        """The learning rate of the step that follows `step` others."""
        raise NotImplementedError

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments; schedules among them as `describe` gives them."""
        return {
            name: describe(value) if isinstance(value, Schedule) else value
            for name, value in vars(self).items()
        }

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({arguments})"


class Constant(Schedule):
    """η(t) = learning_rate."""

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = _rate("Constant: the learning rate", learning_rate)

    def __call__(self, step: int) -> float:
        """The same at every step."""
        return self.learning_rate


class Step(Schedule):
    """η(t) = learning_rate · factor^⌊t / every⌋."""

    def __init__(self, learning_rate: float, every: int, factor: float = 0.1) -> None:
        self.learning_rate = _rate("Step: the learning rate", learning_rate)
        self.every = whole("Step: every", every)
        self.factor = _rate(f"{type(self).__name__}: factor", factor)

    def __call__(self, step: int) -> float:
        """Constant between drops."""
        return self.learning_rate * self.factor ** (step // self.every)


class Exponential(Schedule):
    """η(t) = learning_rate · factor^(t / steps)."""

    def __init__(self, learning_rate: float, steps: int, factor: float) -> None:
        self.learning_rate = _rate("Exponential: the learning rate", learning_rate)
        self.steps = whole("Exponential: steps", steps)
        self.factor = _rate(f"{type(self).__name__}: factor", factor)

    def __call__(self, step: int) -> float:
        """A smooth decay by `factor` every `steps`."""
        return float(self.learning_rate * self.factor ** (step / self.steps))


class Cosine(Schedule):
    """η(t) = final + (learning_rate − final) (1 + cos(π t / steps)) / 2, and `final` after `steps`.

    References
    ----------
    Loshchilov and Hutter (2017), SGDR: stochastic gradient descent with warm restarts, eq. 5.
    """

    def __init__(self, learning_rate: float, steps: int, final: float = 0.0) -> None:
        self.learning_rate = _rate("Cosine: the learning rate", learning_rate)
        self.steps = whole("Cosine: steps", steps)
        self.final = _rate("Cosine: final", final)

    def __call__(self, step: int) -> float:
        """Half a period of the cosine."""
        progress = min(step / self.steps, 1.0)
        return self.final + 0.5 * (self.learning_rate - self.final) * (1.0 + math.cos(math.pi * progress))


class Warmup(Schedule):
    """A linear rise in front of another schedule: η(t) = after(0) (t + 1) / steps, then after(t − steps).

    Parameters
    ----------
    after : float or Schedule
    steps : int

    References
    ----------
    Goyal et al. (2017), Accurate, large minibatch SGD, section 2.2.
    """

    def __init__(self, after: float | Schedule, steps: int) -> None:
        self.after = as_schedule(after)
        self.steps = whole("Warmup: steps", steps)

    def __call__(self, step: int) -> float:
        """Rising, then as `after` says."""
        if step < self.steps:
            return self.after(0) * (step + 1) / self.steps
        return self.after(step - self.steps)


NAMES: dict[str, type[Schedule]] = {
    kind.__name__.lower(): kind for kind in (Constant, Step, Exponential, Cosine, Warmup)
}


def describe(schedule: Schedule) -> float | dict[str, Any]:
    """Return what `get` makes the schedule from again: a number, or ``{"name": …}`` and its arguments."""
    if type(schedule) is Constant:
        return schedule.learning_rate
    kind = type(schedule)
    name = kind.__name__.lower()
    return {"name": name if NAMES.get(name) is kind else kind.kind, **schedule.config()}


def get(schedule: float | str | dict[str, Any] | Schedule, **arguments: Any) -> Schedule:
    """Make a schedule from its name, with its arguments; a number becomes a `Constant`.

    ``get("cosine", learning_rate=0.1, steps=500)`` and
    ``get({"name": "cosine", "learning_rate": 0.1, "steps": 500})`` are the same. A schedule that is already
    made is returned as it is. A class of your own has the name ``Schedule.kind``.

    Raises
    ------
    ConfigurationError
        If the name is unknown (the text names the nearest), or an argument does not fit.
    """
    if isinstance(schedule, str | Mapping):
        own = {name: kind for name, kind in Schedule.registry.items() if kind not in NAMES.values()}
        made: Schedule = named.make("schedule", NAMES | own, schedule, arguments)
        return made
    found: Schedule = named.unchanged("schedule", as_schedule(schedule), arguments)
    return found


def as_schedule(learning_rate: Any, what: str = "Constant") -> Schedule:
    """Return a number as `Constant`, a description as its schedule, a schedule as it is.

    `what` is who asks, for the message.
    """
    if isinstance(learning_rate, Schedule):
        return learning_rate
    if isinstance(learning_rate, Mapping):
        return get(dict(learning_rate))
    if not hasattr(learning_rate, "__float__"):
        raise ConfigurationError(f"the learning rate must be a number or a schedule, not {learning_rate!r}")
    return Constant(_rate(f"{what}: the learning rate", learning_rate))


def _rate(what: str, value: Any) -> float:
    return number(what, value, "[0, inf)")
