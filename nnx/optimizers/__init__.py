"""Optimizers over flat buffers: one backend call updates a network's parameters.

The update rules are Keras's, stated in `nnx.backends.base`. An optimizer object holds hyper-parameters only;
its moments and its step count live in the arena of the network it trains, so one object may serve several
networks, and several may take turns on one. All take ``weight_decay`` (decoupled: w shrinks by
η·weight_decay·w before the update, Loshchilov and Hutter, 2019), ``l2`` (adds l2·w to the gradient, the
gradient of ½ l2 ‖w‖²), ``clip_norm`` (the norm of all trainable gradients together) and ``clip_value``
(elementwise); clipping comes first.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

from nnx.backends import Array, Backend
from nnx.errors import ConfigurationError, flag, number
from nnx.parameters import Arena, Optimized, OptimizerState
from nnx.schedules import Schedule, as_schedule

Slot = tuple[str, float] | None
SHARE, POSITIVE = "[0, 1)", "(0, inf)"  # the ranges of settings
HIDDEN = ("schedule", "slots")  # attributes that no constructor takes by that name


class Trainable(Protocol):
    """What an optimizer asks of a network."""

    @property
    def arena(self) -> Arena:
        """Where the parameters live."""
        ...

    @property
    def span(self) -> tuple[int, int]:
        """Which of the arena's layers are meant: first, and one past the last."""
        ...


class Optimizer:
    """Base of the optimizers.

    A subclass names its slots and writes `update`, one backend call over a contiguous range.
    """

    slots: tuple[Slot, ...] = ()

    def __init__(
        self,
        learning_rate: float | Schedule,
        *,
        weight_decay: float,
        l2: float,
        clip_norm: float | None,
        clip_value: float | None,
    ) -> None:
        self.schedule = as_schedule(learning_rate, type(self).__name__)
        self.weight_decay = self._setting("weight_decay", weight_decay)
        self.l2 = self._setting("l2", l2)
        self.clip_norm = None if clip_norm is None else self._setting("clip_norm", clip_norm, POSITIVE)
        self.clip_value = None if clip_value is None else self._setting("clip_value", clip_value, POSITIVE)

    def _setting(self, name: str, value: Any, interval: str = "[0, inf)") -> float:
        return number(f"{type(self).__name__}: {name}", value, interval)

    def prepare(self, network: Trainable) -> tuple[OptimizerState, list[Optimized]]:
        """What it keeps over a network, and the ranges to update; its first call allocates both."""
        return network.arena.optimized(self, self.slots, *network.span)

    def step(self, network: Trainable) -> None:
        """Update the trainable parameters of a network (or slice) from its gradients, in place."""
        arena = network.arena
        kept, ranges = self.prepare(network)
        backend = arena.backend
        if self.clip_value is not None:
            for part in ranges:
                backend.clip_by_value(part.gradients, self.clip_value)
        if self.clip_norm is not None:
            backend.clip_by_norm([part.gradients for part in ranges], self.clip_norm)
        learning_rate = self.rate(kept.step) * kept.scale
        arena.step += 1
        kept.step += 1
        for part in ranges:
            self.update(backend, part, arena.fault, learning_rate, kept.step)

    def rate(self, step: int) -> float:
        """Return the schedule's learning rate after that many steps.

        Raises
        ------
        ConfigurationError
            If a schedule of your own gives a rate that is negative or not finite.
        """
        rate = self.schedule(step)
        if type(rate) is float and 0.0 <= rate < math.inf:  # every step asks: the check below takes longer
            return rate
        return number(f"{self.schedule!r}: the learning rate of step {step}", rate, "[0, inf)")

    def update(
        self, backend: Backend, part: Optimized, fault: Array, learning_rate: float, step: int
    ) -> None:
        """One step over one contiguous range; `step` counts this one, from 1."""
        raise NotImplementedError

    def __repr__(self) -> str:
        own = {"learning_rate": self.schedule} | {k: v for k, v in vars(self).items() if k not in HIDDEN}
        arguments = ", ".join(f"{name}={value!r}" for name, value in own.items())
        return f"{type(self).__name__}({arguments})"


class SGD(Optimizer):
    """Gradient descent: w = w − η g. With momentum u = μ u − η g, w = w + u (Nesterov: w = w + μ u − η g).

    Parameters
    ----------
    learning_rate : float or Schedule
    momentum : float in [0, 1)
    nesterov : bool
    weight_decay, l2, clip_norm, clip_value : float
        As for all optimizers, see the module.

    Raises
    ------
    ConfigurationError
        If a value is out of its range.

    References
    ----------
    Sutskever et al. (2013), On the importance of initialization and momentum in deep learning, eq. 1 to 4.
    """

    def __init__(
        self,
        learning_rate: float | Schedule = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        *,
        l2: float = 0.0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(
            learning_rate, weight_decay=weight_decay, l2=l2, clip_norm=clip_norm, clip_value=clip_value
        )
        self.momentum = self._setting("momentum", momentum, SHARE)
        self.nesterov = flag("SGD: nesterov", nesterov)
        if self.nesterov and not self.momentum:
            raise ConfigurationError("SGD: nesterov=True needs a momentum")
        self.slots = (("velocity", 0.0) if self.momentum else None,)

    def update(
        self, backend: Backend, part: Optimized, fault: Array, learning_rate: float, step: int
    ) -> None:
        """See `nnx.backends.base.Backend.sgd_step`."""
        backend.sgd_step(
            part.values, part.gradients, part.slots[0], fault, learning_rate,
            self.momentum, self.nesterov, self.weight_decay, self.l2,
        )  # fmt: skip


class Adam(Optimizer):
    """Adam: steps by running means of the gradient and of its square.

    m = β₁ m + (1−β₁) g; v = β₂ v + (1−β₂) g²; w = w − η √(1−β₂ᵗ)/(1−β₁ᵗ) m / (√v + ε).

    Parameters
    ----------
    learning_rate : float or Schedule
    beta1, beta2 : float in [0, 1)
    epsilon : float > 0
        1e-7 as in Keras (PyTorch has 1e-8). It is added to √v, as the formula shows.
    weight_decay, l2, clip_norm, clip_value : float
        As for all optimizers, see the module.

    Raises
    ------
    ConfigurationError
        If a value is out of its range.

    References
    ----------
    Kingma and Ba (2015), Adam: a method for stochastic optimization, section 2.
    """

    slots = (("m", 0.0), ("v", 0.0))

    def __init__(
        self,
        learning_rate: float | Schedule = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-7,
        *,
        weight_decay: float = 0.0,
        l2: float = 0.0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(
            learning_rate, weight_decay=weight_decay, l2=l2, clip_norm=clip_norm, clip_value=clip_value
        )
        self.beta1 = self._setting("beta1", beta1, SHARE)
        self.beta2 = self._setting("beta2", beta2, SHARE)
        self.epsilon = self._setting("epsilon", epsilon, POSITIVE)

    def update(
        self, backend: Backend, part: Optimized, fault: Array, learning_rate: float, step: int
    ) -> None:
        """See `nnx.backends.base.Backend.adam_step`."""
        m, v = part.slots
        backend.adam_step(
            part.values, part.gradients, m, v, fault, learning_rate, step,
            self.beta1, self.beta2, self.epsilon, self.weight_decay, self.l2,
        )  # fmt: skip


class AdamW(Adam):
    """Adam with decoupled weight decay, 0.004 unless stated otherwise, as in Keras.

    Parameters as for `Adam`.

    References
    ----------
    Loshchilov and Hutter (2019), Decoupled weight decay regularization, algorithm 2.
    """

    def __init__(
        self,
        learning_rate: float | Schedule = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-7,
        *,
        weight_decay: float = 0.004,
        l2: float = 0.0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(
            learning_rate, beta1, beta2, epsilon,
            weight_decay=weight_decay, l2=l2, clip_norm=clip_norm, clip_value=clip_value,
        )  # fmt: skip


class RMSprop(Optimizer):
    """v = ρ v + (1−ρ) g²; d = η g / √(v + ε); w = w − d, or with momentum u = μ u + d, w = w − u.

    Parameters
    ----------
    learning_rate : float or Schedule
    rho, momentum : float in [0, 1)
    epsilon : float > 0
        Inside the root, as in Keras.
    weight_decay, l2, clip_norm, clip_value : float
        As for all optimizers, see the module.

    Raises
    ------
    ConfigurationError
        If a value is out of its range.

    References
    ----------
    Hinton (2012), Neural networks for machine learning, lecture 6e.
    """

    def __init__(
        self,
        learning_rate: float | Schedule = 1e-3,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        *,
        weight_decay: float = 0.0,
        l2: float = 0.0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(
            learning_rate, weight_decay=weight_decay, l2=l2, clip_norm=clip_norm, clip_value=clip_value
        )
        self.rho = self._setting("rho", rho, SHARE)
        self.momentum = self._setting("momentum", momentum, SHARE)
        self.epsilon = self._setting("epsilon", epsilon, POSITIVE)
        self.slots = (("v", 0.0), ("velocity", 0.0) if self.momentum else None)

    def update(
        self, backend: Backend, part: Optimized, fault: Array, learning_rate: float, step: int
    ) -> None:
        """See `nnx.backends.base.Backend.rmsprop_step`."""
        v, velocity = part.slots
        backend.rmsprop_step(
            part.values, part.gradients, v, velocity, fault, learning_rate,
            self.rho, self.momentum, self.epsilon, self.weight_decay, self.l2,
        )  # fmt: skip


class Adagrad(Optimizer):
    """a = a + g², a₀ given; w = w − η g / √(a + ε).

    Parameters
    ----------
    learning_rate : float or Schedule
    initial_accumulator : float ≥ 0
        The value a₀, 0.1 as in Keras.
    epsilon : float > 0
        Inside the root, as in Keras.
    weight_decay, l2, clip_norm, clip_value : float
        As for all optimizers, see the module.

    Raises
    ------
    ConfigurationError
        If a value is out of its range.

    References
    ----------
    Duchi, Hazan and Singer (2011), Adaptive subgradient methods, figure 1.
    """

    def __init__(
        self,
        learning_rate: float | Schedule = 1e-3,
        initial_accumulator: float = 0.1,
        epsilon: float = 1e-7,
        *,
        weight_decay: float = 0.0,
        l2: float = 0.0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(
            learning_rate, weight_decay=weight_decay, l2=l2, clip_norm=clip_norm, clip_value=clip_value
        )
        self.initial_accumulator = self._setting("initial_accumulator", initial_accumulator)
        self.epsilon = self._setting("epsilon", epsilon, POSITIVE)
        self.slots = (("accumulator", self.initial_accumulator),)

    def update(
        self, backend: Backend, part: Optimized, fault: Array, learning_rate: float, step: int
    ) -> None:
        """See `nnx.backends.base.Backend.adagrad_step`."""
        backend.adagrad_step(
            part.values, part.gradients, part.slots[0], fault, learning_rate,
            self.epsilon, self.weight_decay, self.l2,
        )  # fmt: skip
