"""Optimizers over flat buffers: one backend call updates a network's parameters.

The update rules are those of Keras; `nnx.ops.updates` contains them. An optimizer object holds only
hyper-parameters. Its moments and its step count lie in the arena of the network that it trains, so one object
can train several networks, and several objects can train one network in turn. All optimizers but `LBFGS` take

- ``weight_decay`` shrinks w by η·weight_decay·w before the update (decoupled, Loshchilov and Hutter, 2019);
- ``l2`` adds l2·w to the gradient; this is the gradient of ½ l2 ‖w‖²;
- ``clip_norm`` limits the norm of all trainable gradients together, ``clip_value`` each element;
  clipping comes before everything else;
- ``groups`` gives a different ``learning_rate``, ``weight_decay`` or ``l2`` to parameters whose names match a
  pattern, see `nnx.optimizers.groups`.
"""

from __future__ import annotations

from typing import Any

from nnx import named
from nnx.backends import Array, Backend
from nnx.errors import ConfigurationError, flag
from nnx.ops.steps import Number
from nnx.ops.updates import corrected_rate
from nnx.optimizers.base import POSITIVE, SHARE, Groups, Optimizer
from nnx.optimizers.lbfgs import LBFGS
from nnx.parameters import Span
from nnx.records import Counterpart, OptimizerRecord, by_name
from nnx.schedules import Schedule
from nnx.used_rows import UsedRows

__all__ = ["LBFGS", "SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop"]

_KERAS = {
    "learning_rate": "learning_rate", "weight_decay": "weight_decay",
    "global_clipnorm": "clip_norm", "clipvalue": "clip_value",
}  # fmt: skip
_KERAS_ADAM = {**_KERAS, "beta_1": "beta1", "beta_2": "beta2", "epsilon": "epsilon"}


class SGD(Optimizer):
    """Gradient descent: w = w − η g. With momentum: u = μ u − η g, w = w + u (Nesterov: w = w + μ u − η g).

    Parameters
    ----------
    learning_rate : float or Schedule
    momentum : float in [0, 1)
    nesterov : bool
    weight_decay, l2, clip_norm, clip_value : float
    groups : dict
        As for all optimizers, see the module.

    Raises
    ------
    ConfigurationError
        If a value is outside its range.

    References
    ----------
    Sutskever et al. (2013), On the importance of initialization and momentum in deep learning, eq. 1 to 4.
    """

    record = OptimizerRecord(
        names=("sgd",),
        keras=Counterpart("SGD", {**_KERAS, "momentum": "momentum", "nesterov": "nesterov"}),
    )

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
        groups: Groups | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay, l2, clip_norm, clip_value, groups)
        self.momentum = self.setting("momentum", momentum, SHARE)
        self.nesterov = flag("SGD: nesterov", nesterov)
        if self.nesterov and not self.momentum:
            raise ConfigurationError("SGD: nesterov=True needs a momentum: set, for example, momentum=0.9")
        self.slots = (("velocity", 0.0) if self.momentum else None,)

    @property
    def keeps_rest(self) -> bool:
        """Return True without momentum, decay and l2, unless a subclass has its own update."""
        return type(self).update is SGD.update and not (self.momentum or self.weight_decay or self.l2)

    def update(self, backend: Backend, span: Span, fault: Array, learning_rate: Number, step: int) -> None:
        """Call `sgd_step`; its formulas are in `nnx.ops.updates`."""
        backend.sgd_step(
            span.values, span.gradients, span.slots[0], fault, learning_rate,
            self.momentum, self.nesterov, self.weight_decay, self.l2,
        )  # fmt: skip

    def update_rows(
        self, backend: Backend, span: Span, used: UsedRows, fault: Array, learning_rate: Number, step: int
    ) -> None:
        """Update the rows where they lie, if the backend can and the rule is that without momentum."""
        if not (backend.updates_rows and self.keeps_rest):
            super().update_rows(backend, span, used, fault, learning_rate, step)
            return
        backend.sgd_rows(span.values, used.sums, used.rows, fault, learning_rate)


class Adam(Optimizer):
    """Adam: update by running means of the gradient and of its square.

    m = β₁ m + (1−β₁) g; v = β₂ v + (1−β₂) g²; w = w − η √(1−β₂ᵗ)/(1−β₁ᵗ) m / (√v + ε).

    Parameters
    ----------
    learning_rate : float or Schedule
    beta1, beta2 : float in [0, 1)
    epsilon : float > 0
        1e-7 as in Keras (PyTorch has 1e-8). It is added to √v, as the formula shows.
    weight_decay, l2, clip_norm, clip_value : float
    groups : dict
        As for all optimizers, see the module.

    Raises
    ------
    ConfigurationError
        If a value is out of its range.

    References
    ----------
    Kingma and Ba (2015), Adam: a method for stochastic optimization, section 2.
    """

    record = OptimizerRecord(
        names=("adam",),
        keras=Counterpart("Adam", _KERAS_ADAM),
    )

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
        groups: Groups | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay, l2, clip_norm, clip_value, groups)
        self.beta1 = self.setting("beta1", beta1, SHARE)
        self.beta2 = self.setting("beta2", beta2, SHARE)
        self.epsilon = self.setting("epsilon", epsilon, POSITIVE)

    def numbers(self, learning_rate: float, step: int) -> tuple[float, float]:
        """Return the rate with the corrections of the step, and 1 − η·weight_decay."""
        rate, shrink = super().numbers(learning_rate, step)
        return corrected_rate(rate, step, self.beta1, self.beta2), shrink

    def update(self, backend: Backend, span: Span, fault: Array, learning_rate: Number, step: int) -> None:
        """Call `adam_step`; its formulas are in `nnx.ops.updates`."""
        m, v = span.slots
        backend.adam_step(
            span.values, span.gradients, m, v, fault, learning_rate, step,
            self.beta1, self.beta2, self.epsilon, self.weight_decay, self.l2,
        )  # fmt: skip

    def update_rows(
        self, backend: Backend, span: Span, used: UsedRows, fault: Array, learning_rate: Number, step: int
    ) -> None:
        """Update the rows where they lie, if the backend can; a sparse parameter has no decay."""
        if not backend.updates_rows or type(self).update is not Adam.update:
            super().update_rows(backend, span, used, fault, learning_rate, step)
            return
        m, v = (slot.reshape(span.values.shape) for slot in span.slots if slot is not None)
        backend.adam_rows(
            span.values, used.sums, m, v, used.rows, fault, learning_rate, step,
            self.beta1, self.beta2, self.epsilon,
        )  # fmt: skip


class AdamW(Adam):
    """Adam with decoupled weight decay, by default 0.004 as in Keras.

    Parameters as for `Adam`.

    References
    ----------
    Loshchilov and Hutter (2019), Decoupled weight decay regularization, algorithm 2.
    """

    record = OptimizerRecord(
        names=("adamw",),
        keras=Counterpart("AdamW", _KERAS_ADAM),
    )

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
        groups: Groups | None = None,
    ) -> None:
        super().__init__(
            learning_rate, beta1, beta2, epsilon,
            weight_decay=weight_decay, l2=l2, clip_norm=clip_norm, clip_value=clip_value, groups=groups,
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
    groups : dict
        As for all optimizers, see the module.

    Raises
    ------
    ConfigurationError
        If a value is out of its range.

    References
    ----------
    Hinton (2012), Neural networks for machine learning, lecture 6e.
    """

    record = OptimizerRecord(
        names=("rmsprop",),
        keras=Counterpart("RMSprop", {**_KERAS, "rho": "rho", "momentum": "momentum", "epsilon": "epsilon"}),
    )

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
        groups: Groups | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay, l2, clip_norm, clip_value, groups)
        self.rho = self.setting("rho", rho, SHARE)
        self.momentum = self.setting("momentum", momentum, SHARE)
        self.epsilon = self.setting("epsilon", epsilon, POSITIVE)
        self.slots = (("v", 0.0), ("velocity", 0.0) if self.momentum else None)

    def update(self, backend: Backend, span: Span, fault: Array, learning_rate: Number, step: int) -> None:
        """Call `rmsprop_step`; its formulas are in `nnx.ops.updates`."""
        v, velocity = span.slots
        backend.rmsprop_step(
            span.values, span.gradients, v, velocity, fault, learning_rate,
            self.rho, self.momentum, self.epsilon, self.weight_decay, self.l2,
        )  # fmt: skip


class Adagrad(Optimizer):
    """a = a + g², starting at a₀; w = w − η g / √(a + ε).

    Parameters
    ----------
    learning_rate : float or Schedule
    initial_accumulator : float ≥ 0
        The value a₀, 0.1 as in Keras.
    epsilon : float > 0
        Inside the root, as in Keras.
    weight_decay, l2, clip_norm, clip_value : float
    groups : dict
        As for all optimizers, see the module.

    Raises
    ------
    ConfigurationError
        If a value is out of its range.

    References
    ----------
    Duchi, Hazan and Singer (2011), Adaptive subgradient methods, figure 1.
    """

    record = OptimizerRecord(
        names=("adagrad",),
        keras=Counterpart(
            "Adagrad", {**_KERAS, "initial_accumulator_value": "initial_accumulator", "epsilon": "epsilon"}
        ),
    )

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
        groups: Groups | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay, l2, clip_norm, clip_value, groups)
        self.initial_accumulator = self.setting("initial_accumulator", initial_accumulator)
        self.epsilon = self.setting("epsilon", epsilon, POSITIVE)
        self.slots = (("accumulator", self.initial_accumulator),)

    @property
    def keeps_rest(self) -> bool:
        """Return True without decay and l2, unless a subclass has its own update."""
        return type(self).update is Adagrad.update and not (self.weight_decay or self.l2)

    def update(self, backend: Backend, span: Span, fault: Array, learning_rate: Number, step: int) -> None:
        """Call `adagrad_step`; its formulas are in `nnx.ops.updates`."""
        backend.adagrad_step(
            span.values, span.gradients, span.slots[0], fault, learning_rate,
            self.epsilon, self.weight_decay, self.l2,
        )  # fmt: skip


KINDS: tuple[type[Optimizer], ...] = (Adam, AdamW, SGD, RMSprop, Adagrad, LBFGS)
NAMES = by_name(KINDS)


def get(optimizer: str | dict[str, Any] | Optimizer, **arguments: Any) -> Optimizer:
    """Make an optimizer from its name (a key of `NAMES`) and its arguments.

    ``get("adam", learning_rate=1e-4)`` and ``get({"name": "adam", "learning_rate": 1e-4})`` do the same. An
    optimizer object is returned unchanged.

    Raises
    ------
    ConfigurationError
        If the name is unknown (the text suggests the nearest), or an argument is invalid.
    """
    made: Optimizer = named.make("optimizer", NAMES, optimizer, arguments, Optimizer)
    return made
