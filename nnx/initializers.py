"""Initial weights, drawn on the host so that every device starts from the same numbers.

An initializer takes a `numpy.random.Generator` and a shape (fan_in, fan_out) and returns a float64 array.
The weights of a convolution have the shape (…, channels, filters): fan_in and fan_out are the last two axes
times the number of positions in a window, as in Keras. `get` returns the initializer for a name. Numbers are
drawn in float64 and rounded once, when a network stores them.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np

from nnx import named
from nnx.errors import ConfigurationError, number

HostArray = np.ndarray[Any, Any]


class Initializer(Protocol):
    """A function that draws the initial weights of a layer."""

    def __call__(self, generator: np.random.Generator, shape: tuple[int, ...]) -> HostArray:
        """Draw an array of `shape`."""
        ...


class _VarianceScaling:
    """Draw with mean zero and variance scale / fan, where fan is fan_in, fan_out or their mean."""

    scale: float
    fan: str
    uniform: bool

    def __call__(self, generator: np.random.Generator, shape: tuple[int, ...]) -> HostArray:
        positions = math.prod(shape[:-2])
        fan_in, fan_out = (
            (positions * shape[-2], positions * shape[-1]) if shape[1:] else (shape[0], shape[0])
        )
        fan = {"in": fan_in, "mean": 0.5 * (fan_in + fan_out)}[self.fan]
        deviation = math.sqrt(self.scale / max(fan, 1.0))
        if self.uniform:
            limit = math.sqrt(3.0) * deviation
            return generator.uniform(-limit, limit, shape)
        return generator.normal(0.0, deviation, shape)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class GlorotUniform(_VarianceScaling):
    """Uniform on ±√(6 / (fan_in + fan_out)): Glorot and Bengio (2010), eq. 16; also called Xavier."""

    scale, fan, uniform = 1.0, "mean", True


class GlorotNormal(_VarianceScaling):
    """Normal with variance 2 / (fan_in + fan_out): Glorot and Bengio (2010), eq. 12."""

    scale, fan, uniform = 1.0, "mean", False


class HeUniform(_VarianceScaling):
    """Uniform on ±√(6 / fan_in): He et al. (2015), eq. 10, for layers followed by a ReLU."""

    scale, fan, uniform = 2.0, "in", True


class HeNormal(_VarianceScaling):
    """Normal with variance 2 / fan_in: He et al. (2015), eq. 10, for layers followed by a ReLU."""

    scale, fan, uniform = 2.0, "in", False


class LeCunUniform(_VarianceScaling):
    """Uniform on ±√(3 / fan_in): LeCun et al. (1998), Efficient BackProp, section 4.6."""

    scale, fan, uniform = 1.0, "in", True


class LeCunNormal(_VarianceScaling):
    """Normal with variance 1 / fan_in: LeCun et al. (1998), Efficient BackProp, section 4.6."""

    scale, fan, uniform = 1.0, "in", False


class Normal:
    """Normal with mean zero and standard deviation `scale`.

    Raises
    ------
    ConfigurationError
        If `scale` is negative or not finite.
    """

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = number("Normal: scale", scale, "[0, inf)")

    def __call__(self, generator: np.random.Generator, shape: tuple[int, ...]) -> HostArray:
        """Draw an array of `shape`."""
        return generator.standard_normal(shape) * self.scale

    def __repr__(self) -> str:
        return f"Normal({self.scale!r})"


class Uniform:
    """Uniform on [low, high); by default ±0.05, as Keras's ``"uniform"`` (``RandomUniform``).

    Raises
    ------
    ConfigurationError
        If a bound is not finite, or `low` is larger than `high`.
    """

    def __init__(self, low: float = -0.05, high: float = 0.05) -> None:
        self.low = number("Uniform: low", low)
        self.high = number("Uniform: high", high)
        if self.low > self.high:
            raise ConfigurationError(f"Uniform: low must be at most high, not {low!r} and {high!r}")

    def __call__(self, generator: np.random.Generator, shape: tuple[int, ...]) -> HostArray:
        """Draw an array of `shape`."""
        return generator.uniform(self.low, self.high, shape)

    def __repr__(self) -> str:
        return f"Uniform({self.low!r}, {self.high!r})"


class Orthogonal:
    """Orthonormal rows or columns, whichever are fewer, times `gain`: Saxe et al. (2014).

    The orthogonal factor Q of the QR decomposition of a normal matrix. The signs of R's diagonal are moved
    into Q, so that Q is uniformly distributed.
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = number("Orthogonal: gain", gain)

    def __call__(self, generator: np.random.Generator, shape: tuple[int, ...]) -> HostArray:
        """Draw an array of `shape`; all axes but the last are rows of one matrix."""
        rows, columns = math.prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(generator.standard_normal((max(rows, columns), min(rows, columns))))
        q *= np.sign(np.diag(r))
        return self.gain * (q if rows >= columns else q.T).reshape(shape)

    def __repr__(self) -> str:
        return f"Orthogonal({self.gain!r})"


class Constant:
    """Every element equal to `value`."""

    def __init__(self, value: float) -> None:
        self.value = number("Constant: value", value)

    def __call__(self, generator: np.random.Generator, shape: tuple[int, ...]) -> HostArray:
        """Return an array of `shape`."""
        return np.full(shape, self.value)

    def __repr__(self) -> str:
        return f"Constant({self.value!r})"


class Zeros(Constant):
    """Every element zero."""

    def __init__(self) -> None:
        super().__init__(0.0)

    def __repr__(self) -> str:
        return "Zeros()"


NAMES: dict[str, type] = {
    "glorot_uniform": GlorotUniform,
    "glorot_normal": GlorotNormal,
    "xavier_uniform": GlorotUniform,
    "xavier_normal": GlorotNormal,
    "he_uniform": HeUniform,
    "he_normal": HeNormal,
    "lecun_uniform": LeCunUniform,
    "lecun_normal": LeCunNormal,
    "normal": Normal,
    "uniform": Uniform,
    "orthogonal": Orthogonal,
    "zeros": Zeros,
    "constant": Constant,
}


def describe(initializer: Initializer) -> str | dict[str, Any] | None:
    """Return a form of an initializer that JSON can store and `get` accepts; None for a user's own."""
    for name, kind in NAMES.items():
        if type(initializer) is kind:
            values = {} if kind is Zeros else vars(initializer)
            return {"name": name, **values} if values else name
    return None


def get(initializer: str | dict[str, Any] | Initializer) -> Initializer:
    """Return the initializer for a name, a dict or an initializer.

    A name is a key of `NAMES`. A dict is ``{"name": …}`` with the initializer's arguments.

    Raises
    ------
    ConfigurationError
        If the name is unknown; the text suggests the nearest one.
    """
    if callable(initializer) and not isinstance(initializer, type):
        return initializer
    made: Initializer = named.make("initializer", NAMES, initializer, {})
    return made


def generator(seed: int, purpose: str, *counters: int) -> np.random.Generator:
    """Return the random generator for a purpose (``"weights"``, ``"shuffles"``), a seed and counters."""
    return np.random.default_rng([seed, *purpose.encode(), *counters])


def fresh_seed() -> int:
    """Return a seed from the operating system's entropy, for ``seed=None``."""
    return int(np.random.SeedSequence().generate_state(1)[0])
