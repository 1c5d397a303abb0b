"""Define learning rates that change with the step. Pass one to an optimizer as its learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
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


class OneCycle(Schedule):
    """One cycle: a rise to `learning_rate`, then a fall to almost 0, each along half a cosine.

    With the highest rate η, n steps and the step of the top p = rise · n − 1:
    η(t) = between(start · η, η, t / p) for t < p, then between(η, final · η, (t − p) / (n − 1 − p)), and
    final · η after n steps; between(a, b, s) = b + (a − b) (1 + cos(π s)) / 2.

    Momentum stays constant, as with PyTorch's ``OneCycleLR(…, cycle_momentum=False)``: a step that is
    recorded on a GPU gets only a new rate, and Adam's bias correction holds for a constant beta1.

    Parameters
    ----------
    learning_rate : float
        The highest rate; `Network.lr_find` helps to choose it.
    steps : int
        Number of steps of the whole training: epochs times steps of an epoch.
    rise : float in [0, 1]
        Share of the steps in which the rate rises.
    start, final : float
        The first and the last rate, as shares of the highest.

    References
    ----------
    Smith and Topin (2018), Super-convergence: very fast training of neural networks using large learning
    rates, section 4. The cosines and default values are those of fastai and PyTorch.
    """

    def __init__(
        self, learning_rate: float, steps: int, rise: float = 0.3, start: float = 0.04, final: float = 4e-6
    ) -> None:
        self.learning_rate = _rate("OneCycle: the learning rate", learning_rate)
        self.steps = whole("OneCycle: steps", steps)
        self.rise = number("OneCycle: rise", rise, "[0, 1]")
        self.start = number("OneCycle: start", start, "[0, 1]")
        self.final = number("OneCycle: final", final, "[0, 1]")

    def __call__(self, step: int) -> float:
        """Return a rate that rises once and falls once."""
        step, last = min(step, self.steps - 1), self.steps - 1
        top = max(self.rise * self.steps - 1.0, 0.0)
        if step < top:
            return _between(self.start * self.learning_rate, self.learning_rate, step / top)
        progress = (step - top) / (last - top) if last > top else 0.0
        return _between(self.learning_rate, self.final * self.learning_rate, progress)


class WarmRestarts(Schedule):
    """Half a cosine from `learning_rate` to `final`, again and again; each cycle can be longer and lower.

    In cycle i, which has n = steps · factorⁱ steps and began at step b:
    η(t) = final + (learning_rate · decayⁱ − final) (1 + cos(π (t − b) / n)) / 2.

    Parameters
    ----------
    learning_rate : float
    steps : int
        Number of steps of the first cycle.
    factor : int ≥ 1
        Each cycle is so many times as long as the one before it.
    final : float
        The rate at the end of a cycle.
    decay : float in (0, 1]
        Each cycle starts with the highest rate of the one before it, times this factor.

    References
    ----------
    Loshchilov and Hutter (2017), SGDR: stochastic gradient descent with warm restarts, eq. 5.
    """

    def __init__(
        self, learning_rate: float, steps: int, factor: int = 2, final: float = 0.0, decay: float = 1.0
    ) -> None:
        self.learning_rate = _rate("WarmRestarts: the learning rate", learning_rate)
        self.steps = whole("WarmRestarts: steps", steps)
        self.factor = whole("WarmRestarts: factor", factor)
        self.final = _rate("WarmRestarts: final", final)
        self.decay = number("WarmRestarts: decay", decay, "(0, 1]")

    def __call__(self, step: int) -> float:
        """Return a rate that falls along a cosine and starts again."""
        cycle, length = 0, self.steps
        if self.factor == 1:
            cycle, step = divmod(step, length)
        while step >= length:  # a few turns, as cycles grow
            cycle, step, length = cycle + 1, step - length, length * self.factor
        highest = max(self.learning_rate * self.decay**cycle, self.final)
        return _between(highest, self.final, step / length)


def _between(first: float, last: float, progress: float) -> float:
    """Return a value on half a cosine from `first` (progress 0) to `last` (progress 1)."""
    return last + 0.5 * (first - last) * (1.0 + math.cos(math.pi * progress))


NAMES: dict[str, type[Schedule]] = {
    kind.__name__.lower(): kind
    for kind in (Constant, Step, Exponential, Cosine, Warmup, OneCycle, WarmRestarts)
}


TRAININGS: dict[str, Callable[[float, int], Schedule]] = {  # by highest rate and number of steps
    "cosine": Cosine,
    "one_cycle": OneCycle,
    "restarts": lambda rate, steps: WarmRestarts(rate, -(-steps // 7)),  # 1/7, 2/7 and 4/7 of the steps
}
BY_NAME = ("constant", *TRAININGS, "plateau")  # of the estimators and `nnx train`


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
