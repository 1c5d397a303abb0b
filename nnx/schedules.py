"""Define learning rates that change with the step. Pass one to an optimizer as its learning rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from nnx import named
from nnx.errors import ConfigurationError, number, whole


class Schedule:
    """A learning rate that depends only on the number of steps already taken, from 0.

    A subclass defines `__call__`. Its attributes are its constructor's arguments, unless it also defines
    `config`. It may be called for many steps in advance.
    """

    registry: ClassVar[dict[str, type[Schedule]]] = {}
    kind: ClassVar[str] = "Schedule"  # its name in the registry; a user's class has its module in front

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = cls.__module__.startswith("nnx.")
        cls.kind = cls.__name__ if own else f"{cls.__module__}.{cls.__qualname__}"
        Schedule.registry[cls.kind] = cls

    def __call__(self, step: int) -> float:
        """Return the learning rate of the next step, after `step` steps."""
        raise NotImplementedError

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments by name; `describe` converts the schedules among them."""
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
        """Return the same rate at every step."""
        return self.learning_rate


class Step(Schedule):
    """η(t) = learning_rate · factor^⌊t / every⌋."""

    def __init__(self, learning_rate: float, every: int, factor: float = 0.1) -> None:
        self.learning_rate = _rate("Step: the learning rate", learning_rate)
        self.every = whole("Step: every", every)
        self.factor = _rate(f"{type(self).__name__}: factor", factor)

    def __call__(self, step: int) -> float:
        """Return a rate that drops by `factor` after every `every` steps."""
        return self.learning_rate * self.factor ** (step // self.every)


class Exponential(Schedule):
    """η(t) = learning_rate · factor^(t / steps)."""

    def __init__(self, learning_rate: float, steps: int, factor: float) -> None:
        self.learning_rate = _rate("Exponential: the learning rate", learning_rate)
        self.steps = whole("Exponential: steps", steps)
        self.factor = _rate(f"{type(self).__name__}: factor", factor)

    def __call__(self, step: int) -> float:
        """Return a rate that falls smoothly, by `factor` every `steps` steps."""
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
        """Return a rate that follows half a period of the cosine."""
        progress = min(step / self.steps, 1.0)
        return self.final + 0.5 * (self.learning_rate - self.final) * (1.0 + math.cos(math.pi * progress))


class Warmup(Schedule):
    """η(t) = after(0) (t + 1) / steps while t < steps, then after(t − steps): a linear rise first.

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
        """Return a rising rate for the first `steps` steps, then the rate of `after`."""
        if step < self.steps:
            return self.after(0) * (step + 1) / self.steps
        return self.after(step - self.steps)


NAMES: dict[str, type[Schedule]] = {
    kind.__name__.lower(): kind for kind in (Constant, Step, Exponential, Cosine, Warmup)
}


def describe(schedule: Schedule) -> float | dict[str, Any]:
    """Return a form of the schedule that `get` accepts: a number, or ``{"name": …}`` with its arguments."""
    if type(schedule) is Constant:
        return schedule.learning_rate
    kind = type(schedule)
    name = kind.__name__.lower()
    return {"name": name if NAMES.get(name) is kind else kind.kind, **schedule.config()}


def get(schedule: float | str | dict[str, Any] | Schedule, **arguments: Any) -> Schedule:
    """Return the schedule for a name and its arguments; a number becomes a `Constant`.

    These two give the same:

        get("cosine", learning_rate=0.1, steps=500)
        get({"name": "cosine", "learning_rate": 0.1, "steps": 500})

    A schedule is returned unchanged. The name of your own class is its ``Schedule.kind``.

    Raises
    ------
    ConfigurationError
        If the name is unknown (the text suggests the nearest), or an argument does not fit.
    """
    own = {name: kind for name, kind in Schedule.registry.items() if kind not in NAMES.values()}
    if not isinstance(schedule, str | Mapping):
        schedule = as_schedule(schedule)
    made: Schedule = named.make("schedule", NAMES | own, schedule, arguments, Schedule)
    return made


def as_schedule(learning_rate: Any, what: str = "Constant") -> Schedule:
    """Return a number as `Constant`, a description as its schedule, and a schedule unchanged.

    `what` names the caller in an error.
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
