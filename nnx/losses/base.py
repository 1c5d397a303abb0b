"""The base of all losses: checks of shapes, and value and gradient in one call."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from nnx.backends import Array, Backend, foreign, host, resolve
from nnx.errors import DataError
from nnx.records import LossRecord

ROUNDING = 1e-6  # eight units in the last place of a float32 near 1: the largest rounding outside [0, 1]


class Loss:
    """Base of the losses; a loss has a kind in `nnx.ops.losses.LOSSES`, a reduction and a constant.

    Your own loss leaves `kind` empty and defines `formula` instead.

    Attributes
    ----------
    kind : str
        Name of the formula in `nnx.ops.losses.LOSSES`.
    fused : dict of str to str
        For the kind of a final activation: the kind of loss that takes the input of this activation.
    activation : str
        The final activation that this loss needs; empty if predictions can be any numbers.
    estimates : bool
        Whether predictions estimate the targets themselves: 1.2 is then as far from a target of 1 as 0.8 is.
        Metrics of classes depend on it.
    by_position : bool
        Whether each position of a row counts like a row, with its features on the last axis; else all
        numbers of a row are its features.
    takes_labels : bool
        Whether targets may be integer labels, without the axis of classes.
    bounded : bool
        Whether targets must lie in [0, 1]. Values outside by at most `ROUNDING` count as 0 or 1.
    parameter : float or tuple of float
        δ of Huber, ε of a cross-entropy, or the levels of pinball.
    per_target : bool
        Whether the network returns `width` numbers for each target, on the last axis.
    width : int
        The numbers for each target.
    decides : bool
        Whether predictions are decision values, where 0 separates two classes.
    label_smoothing : float
        s: targets y become (1 − s) y + s / `classes`, where 0 classes means those of the output.
    """

    record: ClassVar[LossRecord]  # only losses of nnx have it, see `nnx.records`
    kind: ClassVar[str] = ""
    fused: ClassVar[dict[str, str]] = {}
    by_position: ClassVar[bool] = False
    registry: ClassVar[dict[str, type[Loss]]] = {}
    activation: ClassVar[str] = ""
    estimates: ClassVar[bool] = False
    takes_labels: ClassVar[bool] = False
    bounded: ClassVar[bool] = False
    per_target: ClassVar[bool] = False
    decides: ClassVar[bool] = False
    classes: ClassVar[int] = 0
    sums_features: bool = False
    parameter: float | tuple[float, ...] = 0.0
    width: int = 1
    label_smoothing: float = 0.0

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Loss.registry[cls.__name__] = cls

    def __call__(self, y_true: Array, y_pred: Array, sample_weight: Array | None = None) -> Array:
        """Compute the loss.

        Parameters
        ----------
        y_true, y_pred : array of shape (rows, …)
            Arrays on one device (NumPy arrays stay on the CPU), also of PyTorch, JAX and others.
        sample_weight : array of shape (rows,), optional
            Weights that are not negative and not all zero; `fit` checks this, but this call does not.

        Returns
        -------
        array of shape ()
            The loss on the device; ``float(...)`` copies it to the host.

        Raises
        ------
        DataError
            If the shapes differ, or predictions are outside the loss's range.
        """
        backend = _backend_of(y_pred)
        with backend.hold():
            y_true, y_pred, sample_weight = self._checked(backend, y_true, y_pred, sample_weight)
            value = backend.empty(1, y_pred.dtype)
            self.evaluate(backend, y_true, y_pred, value, None, sample_weight)
            return value[0]

    def gradient(self, y_true: Array, y_pred: Array, sample_weight: Array | None = None) -> Array:
        """Compute ∂L/∂y_pred, with y_pred's shape; parameters and errors as for the call."""
        backend = _backend_of(y_pred)
        with backend.hold():
            y_true, y_pred, sample_weight = self._checked(backend, y_true, y_pred, sample_weight)
            dy = backend.empty(y_pred.shape, y_pred.dtype)
            self.evaluate(backend, y_true, y_pred, None, dy, sample_weight)
            return dy

    def evaluate(
        self,
        backend: Backend,
        y_true: Array,
        y_pred: Array,
        value: Array | None,
        dy: Array | None,
        weights: Array | None = None,
        kind: str | None = None,
    ) -> None:
        """Write value and gradient into the caller's arrays, in one call; shapes are not checked again."""
        if y_pred.ndim > 2 or (self.per_target and y_true.ndim > 1):
            self._evaluate_flat(backend, y_true, y_pred, value, dy, weights, kind)
            return
        if self.label_smoothing:
            share = self.label_smoothing / (self.classes or y_pred.shape[1])
            y_true = backend.smooth_targets(y_true, y_pred, 1.0 - self.label_smoothing, share)
        scale = 1.0 if self.sums_features else 1.0 / y_pred.shape[1]
        kind = kind or self.kind
        if type(self).formula is Loss.formula:
            backend.loss(kind, y_true, y_pred, value, dy, scale, self.parameter, weights)
        else:
            backend.average(*self.formula(backend, y_true, y_pred), value, dy, scale, weights)

    def _evaluate_flat(
        self,
        backend: Backend,
        y_true: Array,
        y_pred: Array,
        value: Array | None,
        dy: Array | None,
        weights: Array | None,
        kind: str | None,
    ) -> None:
        """Do `evaluate` with the rows, or all their positions, viewed as rows of features."""
        features = y_pred.shape[-1] if self.by_position else math.prod(y_pred.shape[1:])
        features = self.width if self.per_target else features
        labels = y_true.ndim < y_pred.ndim or self.per_target
        flat = y_pred.reshape(-1, features)
        if weights is not None and len(flat) > len(y_pred):
            weights = backend.repeat_weights(weights, len(flat) // len(y_pred))
        target = dy if dy is None or dy.flags.c_contiguous else backend.empty(dy.shape, dy.dtype)
        self.evaluate(
            backend, y_true.reshape(-1) if labels else y_true.reshape(-1, features), flat, value,
            None if target is None else target.reshape(-1, features), weights, kind,
        )  # fmt: skip
        if dy is not None and dy is not target:
            dy[...] = target

    def fused_kind(self, activation: str) -> str | None:
        """Return the kind of loss that takes the input of a final activation; None if there is none."""
        return self.fused.get(activation) if type(self).formula is Loss.formula else None

    def formula(self, backend: Backend, y: Array, p: Array) -> tuple[Array, Array]:
        """Return (Σ_j ℓ_ij, ∂ℓ_ij/∂p_ij) of shapes (rows,) and (rows, features); define it in your own loss.

        nnx averages over features (unless ``sums_features``), rows and sample weights. Use ``backend.xp``, so
        that the formula runs on every device.
        """
        raise NotImplementedError(f"{type(self).__name__} must define kind or formula")

    def check_predictions(self, backend: Backend, p: Array) -> None:
        """Refuse predictions that this loss cannot take; most losses take any numbers.

        Raises
        ------
        DataError
            If a value is outside its range.
        """

    def predictions(self, backend: Backend, y_pred: Array) -> Array:
        """Return the predictions for metrics: the output, or probabilities if the output is logits."""
        return y_pred

    def check_targets(self, y: Any, features: int | tuple[int, ...]) -> None:
        """Refuse targets (host arrays) that do not fit the network's output.

        Parameters
        ----------
        y : array
        features : int or tuple of int
            The number of outputs per row, or the shape of a row's output if it has several axes.

        Raises
        ------
        DataError
            If a shape does not fit; in subclasses, also if a value is outside its range.
        """
        shape = features if isinstance(features, tuple) else (features,)
        if self.width > 1 and shape[-1] != self.width:
            raise DataError(
                f"{self!r} needs {self.width} outputs for each target, but the network returns rows of shape "
                f"{shape}: end it with nnx.Dense({self.width}) for one target"
            )
        shape = self.target_shape(shape)
        if y.shape[1:] != shape:
            expected = (y.shape[0], *shape)
            flat = len(shape) > 1 and y.ndim <= 2
            advice = ": put nnx.Flatten() before the last layers, for one answer a row" if flat else ""
            raise DataError(
                f"targets of shape {tuple(y.shape)} do not fit an output of shape {expected}{advice}"
            )

    def target_shape(self, output: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of a row's targets for the shape of a row's output."""
        if not self.per_target or self.width == 1:
            return output
        return output[:-1] or (1,)

    def answers(self, y_pred: Array) -> Array:
        """Return predictions in the shape of the targets: means, or quantiles near the median."""
        if not self.per_target or self.width == 1:
            return y_pred
        place = self.middle()
        return y_pred[..., place : place + 1] if y_pred.ndim == 2 else y_pred[..., place]

    def middle(self) -> int:
        """Return the place of the number that predicts the target, for a loss with several."""
        return 0

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {}

    def _checked(
        self, backend: Backend, y_true: Array, y_pred: Array, weights: Array | None
    ) -> tuple[Array, Array, Array | None]:
        if not backend.owns(y_pred):  # of another library
            y_pred = backend.asarray(y_pred)
        elif not y_pred.dtype.isnative:
            y_pred = backend.asarray(y_pred, y_pred.dtype.newbyteorder("="))
        if y_pred.ndim < 2 or y_pred.dtype.kind != "f":
            raise DataError(
                "y_pred must be floats of shape (rows, features), "
                f"not {y_pred.dtype} of {tuple(y_pred.shape)}"
            )
        self.check_predictions(backend, y_pred)
        y_true = backend.asarray(y_true)
        labels = y_true.ndim == y_pred.ndim - 1 and self.takes_labels
        targets = (y_pred.shape[0], *self.target_shape(y_pred.shape[1:]))
        if self.per_target and y_pred.shape[-1] == self.width and y_true.shape == y_pred.shape[:-1]:
            y_true = y_true.reshape(targets)
        if not (labels and y_true.shape == y_pred.shape[:-1]) and (
            y_true.shape != targets or (self.width > 1 and y_pred.shape[-1] != self.width)
        ):
            given = f"y_true of shape {tuple(y_true.shape)} and y_pred of shape {tuple(y_pred.shape)}"
            several = f"{self!r}: {given} do not fit: y_pred needs {self.width} numbers for each target"
            raise DataError(several if self.width > 1 else f"{given} must have equal shapes")
        if labels:
            self.check_targets(backend.to_numpy(y_true), row_features(y_pred.shape[1:]))
        elif y_true.dtype != y_pred.dtype:
            y_true = y_true.astype(y_pred.dtype)
        if weights is not None:
            weights = backend.asarray(weights, y_pred.dtype)
            if weights.shape != (y_pred.shape[0],):
                raise DataError(
                    f"sample_weight must have shape ({y_pred.shape[0]},), one weight for each row, not "
                    f"{tuple(weights.shape)}"
                )
        return y_true, y_pred, weights

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.config().items())
        return f"{type(self).__name__}({arguments})"


def activated(backend: Backend, kind: str, x: Array) -> Array:
    """Apply an activation to rows of any shape (a softmax to the last axis), and return a new array."""
    y = backend.empty(x.shape, x.dtype)
    backend.activation_forward(kind, x.reshape(-1, x.shape[-1]), y.reshape(-1, x.shape[-1]))
    return y


def row_features(shape: tuple[int, ...]) -> int | tuple[int, ...]:
    """Return a row's output as `Loss.check_targets` takes it: the number of features, or the shape."""
    return shape[0] if len(shape) == 1 else tuple(shape)


def _backend_of(y_pred: Any) -> Backend:
    """Return the backend for the device of `y_pred`."""
    if not hasattr(y_pred, "dtype"):
        raise DataError(f"y_pred must be an array, not {type(y_pred).__name__}")
    if not foreign.on_gpu(y_pred):
        return host()
    there = foreign.place(y_pred)
    if not there.startswith("gpu:"):
        raise DataError(f"y_pred lies on {there}, where nnx cannot read it: y_pred = cupy.asarray(y_pred)")
    return resolve(there)
