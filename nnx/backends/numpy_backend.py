"""The CPU by NumPy alone: every hot operation in place, without temporaries.

What the overrides buy is measured by ``benchmarks/operations.py``: the plain forms of `base` allocate a
fresh array for each intermediate, and on arrays of this size the page faults cost more than the arithmetic.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from nnx.backends.base import Backend
from nnx.ops.base import Array
from nnx.ops.sums import BLOCK

CHUNK = 32768  # elements an optimizer treats at a time, so that its temporaries stay in the first caches
ONES = 2  # the slot of scratch that holds ones
SUMMED = 2**17  # elements whose squares BLAS sums in their own type; sums of these are added in float64


class NumpyBackend(Backend):
    """In-place NumPy."""

    name = "numpy"

    def __init__(self) -> None:
        self._local = threading.local()

    def _scratch(self, shape: tuple[int, ...], dtype: Any, slot: int = 0) -> Array:
        """Room for an intermediate, kept for each thread; slots never overlap."""
        try:
            views = self._local.views
        except AttributeError:
            views = self._local.views = {}
        key = (shape, dtype, slot)
        view = views.get(key)
        if view is None:
            if len(views) > 256:  # shapes come and go: a bound, so that a long life does not collect them
                views.clear()
            view = views[key] = np.empty(shape, dtype=dtype)
        return view

    def quiet(self) -> AbstractContextManager[Any]:
        """No warnings from NumPy: training looks for what is not finite itself, and names it."""
        return np.errstate(all="ignore")

    def gather(self, source: Array, indices: Array, out: Array, divisor: float = 1.0) -> Array:
        """One pass, two for bytes; ``mode="clip"`` because ``"raise"`` buffers the whole output first."""
        if source.dtype == out.dtype:
            return np.take(source, indices, axis=0, out=out, mode="clip")
        rows = np.take(source, indices, axis=0, out=self._scratch(out.shape, source.dtype), mode="clip")
        return np.divide(rows, divisor, out=out, dtype=out.dtype)

    # ------------------------------------------------------------------ layers

    def dense_forward(
        self, x: Array, W: Array, b: Array, y: Array, kind: str = "identity", alpha: float = 0.0
    ) -> Array:
        """The product goes straight into y; bias and activation follow in place."""
        np.matmul(x, W, out=y)
        np.add(y, b, out=y)
        if kind != "identity":
            self.activation_forward(kind, y, y, alpha)
        return y

    def dense_backward(
        self,
        dy: Array,
        x: Array,
        W: Array,
        dW: Array,
        db: Array,
        dx: Array | None,
        kind: str = "identity",
        alpha: float = 0.0,
        y: Array | None = None,
        dz: Array | None = None,
    ) -> Array:
        """Both products go straight into their outputs."""
        if kind != "identity":
            dy = self.activation_backward(kind, dy, None, y, dz, alpha)
        db[...] = self._column_sums(dy)
        return self._products(x, W, dy, dW, dx)

    def _products(self, x: Array, W: Array, dz: Array, dW: Array, dx: Array | None) -> Array:
        np.matmul(x.T, dz, out=dW)
        if dx is not None:
            np.matmul(dz, W.T, out=dx)
        return dW

    def _column_sums(self, x: Array) -> Array:
        """Blocks of rows as in `Backend`, each by BLAS as a product with ones, which reads x once."""
        rows, columns = x.shape
        block = min(rows, max(BLOCK, math.isqrt(rows)))
        whole = rows - rows % block
        ones = self._ones(block, x.dtype)
        sums = np.add.reduce(np.matmul(ones, x[:whole].reshape(-1, block, columns)), axis=0)
        if whole < rows:
            sums += np.matmul(ones[: rows - whole], x[whole:])
        return sums

    def _ones(self, size: int, dtype: Any) -> Array:
        ones = self._scratch((size,), dtype, ONES)
        ones.fill(1.0)
        return ones

    def batch_moments(self, x: Array, mean: Array, variance: Array) -> Array:
        """In place, with the sums of `_column_sums`."""
        rows = x.shape[0]
        np.divide(self._column_sums(x), rows, out=mean)
        centred = np.subtract(x, mean, out=self._scratch(x.shape, x.dtype))
        shift = self._column_sums(centred) / rows
        mean += shift
        np.multiply(centred, centred, out=centred)
        np.divide(self._column_sums(centred), rows, out=variance)
        variance -= shift * shift
        np.maximum(variance, 0.0, out=variance)
        return mean

    def layer_norm_forward(self, x: Array, gamma: Array, beta: Array, y: Array, epsilon: float) -> Array:
        """In place."""
        np.multiply(self._normalized_rows(x, epsilon)[0], gamma, out=y)
        return np.add(y, beta, out=y)

    def _normalized_rows(self, x: Array, epsilon: float) -> tuple[Array, Array]:
        """In place; both means by BLAS as products with ones, the second of what the first leaves."""
        columns, centred = x.shape[1], self._scratch(x.shape, x.dtype)
        ones = self._ones(columns, x.dtype)
        np.subtract(x, (np.matmul(x, ones) / columns)[:, None], out=centred)
        centred -= (np.matmul(centred, ones) / columns)[
            :, None
        ]  # added to the first it would be rounded away
        squares = np.multiply(centred, centred, out=self._scratch(x.shape, x.dtype, 1))
        sigma = np.sqrt(np.mean(squares, axis=1, keepdims=True) + epsilon)
        centred /= sigma
        return centred, sigma

    def activation_forward(self, kind: str, x: Array, y: Array, alpha: float = 0.0) -> Array:
        """ReLU, tanh, the sigmoid and SiLU in place; the others are rarely the bottleneck and stay plain."""
        if kind == "relu":
            return np.maximum(x, 0.0, out=y)
        if kind == "tanh":
            return np.tanh(x, out=y)
        if kind == "sigmoid":
            return _sigmoid(x, y)
        if kind == "silu":
            return np.multiply(x, _sigmoid(x, self._scratch(x.shape, x.dtype)), out=y)
        return super().activation_forward(kind, x, y, alpha)

    def activation_backward(
        self, kind: str, dy: Array, x: Array | None, y: Array, dx: Array, alpha: float = 0.0
    ) -> Array:
        """The same kinds as forward, in place."""
        if kind == "relu":
            # 1 where y > 0, else 0, in y's own type: a boolean mask would be cast through a buffer
            mask = np.sign(y, out=self._scratch(y.shape, y.dtype))
            return np.multiply(dy, mask, out=dx)
        if kind == "tanh" or kind == "sigmoid":
            slope = np.multiply(y, y, out=self._scratch(y.shape, y.dtype))
            np.subtract(1.0 if kind == "tanh" else y, slope, out=slope)
            return np.multiply(dy, slope, out=dx)
        if kind == "silu":  # σ + x σ (1 − σ) = (1 − σ) y + σ
            sigma = _sigmoid(x, self._scratch(y.shape, y.dtype, 1))
            slope = np.subtract(1.0, sigma, out=self._scratch(y.shape, y.dtype))
            slope *= y
            slope += sigma
            return np.multiply(dy, slope, out=dx)
        return super().activation_backward(kind, dy, x, y, dx, alpha)

    # ------------------------------------------------------------------ losses

    def loss(
        self,
        kind: str,
        y_true: Array,
        y_pred: Array,
        value: Array | None,
        dy: Array | None,
        scale: float = 1.0,
        parameter: float = 0.0,
        weights: Array | None = None,
    ) -> None:
        """Squared error and the two fused cross-entropies, unweighted, in place; the rest plainly."""
        in_place = _LOSSES.get(kind) if dy is not None and weights is None and dy is not y_pred else None
        if in_place is None or y_true.ndim != y_pred.ndim:
            super().loss(kind, y_true, y_pred, value, dy, scale, parameter, weights)
            return
        assert dy is not None
        factor = scale / y_pred.shape[0]
        total = in_place(self, y_true, y_pred, dy, factor)
        if value is not None:
            value[0] = total * factor

    # -------------------------------------------------------------- optimizers

    def sgd_step(
        self,
        values: Array,
        gradients: Array,
        velocity: Array | None,
        fault: Array,
        learning_rate: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        l2: float = 0.0,
    ) -> Array:
        """Chunk by chunk, in place."""
        if fault[0]:
            return values
        for w, g, u in _chunks(values, gradients, velocity):
            update = self._scratch(w.shape, w.dtype)
            if l2:
                np.multiply(w, l2, out=update)
                update += g
                update *= learning_rate
            else:
                np.multiply(g, learning_rate, out=update)
            if weight_decay:
                w *= 1.0 - learning_rate * weight_decay
            if u is None:
                w -= update
                continue
            u *= momentum
            u -= update
            if nesterov:
                w -= update
                w += np.multiply(u, momentum, out=update)
            else:
                w += u
        return values

    def adam_step(
        self,
        values: Array,
        gradients: Array,
        m: Array,
        v: Array,
        fault: Array,
        learning_rate: float,
        step: int,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float = 0.0,
        l2: float = 0.0,
    ) -> Array:
        """Chunk by chunk, in place."""
        if fault[0]:
            return values
        rate = learning_rate * math.sqrt(1.0 - beta2**step) / (1.0 - beta1**step)
        for w, g, m_, v_ in _chunks(values, gradients, m, v):
            a, b = self._scratch(w.shape, w.dtype), self._scratch(w.shape, w.dtype, 1)
            if l2:
                np.multiply(w, l2, out=b)
                g = np.add(b, g, out=b)
            np.multiply(g, g, out=a)
            a -= v_
            a *= 1.0 - beta2
            v_ += a
            np.subtract(g, m_, out=a)
            a *= 1.0 - beta1
            m_ += a
            np.sqrt(v_, out=a)
            a += epsilon
            np.divide(m_, a, out=a)
            a *= rate
            if weight_decay:
                w *= 1.0 - learning_rate * weight_decay
            w -= a
        return values

    def clip_by_norm(self, gradients: Sequence[Array], limit: float) -> None:
        """The squares are summed by BLAS in one pass; nothing is written where nothing is clipped."""
        norm = math.sqrt(sum(_sum_of_squares(g) for g in gradients))
        if not math.isfinite(norm):
            super().clip_by_norm(gradients, limit)
        elif norm > limit:
            for g in gradients:
                g *= limit / norm

    def clip_by_value(self, gradients: Array, limit: float) -> Array:
        """In place."""
        return np.clip(gradients, -limit, limit, out=gradients)

    def raise_fault(self, value: Array, gradients: Array, fault: Array, step: int) -> Array:
        """A dot product meets every gradient once; only if it is not finite are they looked at one by one."""
        if fault[0] == 0 and not (
            math.isfinite(value[0])
            and (math.isfinite(_sum_of_squares(gradients)) or np.isfinite(gradients).all())
        ):
            fault[0] = step
        return fault


def _chunks(*buffers: Array | None) -> Iterable[tuple[Array, ...]]:
    """Flat buffers of one size (or None), in parts that stay in the caches."""
    size = buffers[0].size  # type: ignore[union-attr]
    if size <= CHUNK:
        return (buffers,)
    starts = range(0, size, CHUNK)
    return (tuple(None if b is None else b[start : start + CHUNK] for b in buffers) for start in starts)


def _sigmoid(x: Array, y: Array) -> Array:
    """σ(x) = 1 / (1 + e^−x): where the exponential overflows, 1 / ∞ = 0 is right."""
    with np.errstate(over="ignore"):
        np.exp(np.negative(x, out=y), out=y)
    y += 1.0
    return np.reciprocal(y, out=y)


def _sum_of_squares(flat: Array) -> float:
    """Σ x² of a flat array, infinite where it does not fit; BLAS sums long ones naively, so in pieces."""
    if flat.size <= SUMMED:
        return float(np.dot(flat, flat))
    whole = flat.size - flat.size % SUMMED
    pieces, rest = flat[:whole].reshape(-1, SUMMED), flat[whole:]
    return float(np.vecdot(pieces, pieces).sum(dtype=np.float64)) + float(np.dot(rest, rest))


def _sum(x: Array) -> float:
    """Σ x in x's own type, where NumPy adds pairwise; another type would be cast through a buffer."""
    return float(np.add.reduce(x, axis=None))


def _squared_error(backend: NumpyBackend, y: Array, p: Array, dy: Array, factor: float) -> float:
    np.subtract(p, y, out=dy)
    flat = dy.reshape(-1)
    total = _sum_of_squares(flat)
    dy *= 2.0 * factor
    return total


def _binary_cross_entropy_from_logits(
    backend: NumpyBackend, y: Array, z: Array, dy: Array, factor: float
) -> float:
    """Σ (max(z, 0) − y z) + log(1 + e^−|z|), summed once: sums of large terms would cancel."""
    e = np.abs(z, out=backend._scratch(z.shape, z.dtype))
    np.log1p(np.exp(np.negative(e, out=e), out=e), out=e)
    np.maximum(z, 0.0, out=dy)
    dy -= np.multiply(y, z, out=backend._scratch(z.shape, z.dtype, 1))
    dy += e
    total = _sum(dy)
    _sigmoid(z, dy)
    dy -= y
    dy *= factor
    return total


def _categorical_cross_entropy_from_logits(
    backend: NumpyBackend, y: Array, z: Array, dy: Array, factor: float
) -> float:
    np.subtract(z, np.max(z, axis=1, keepdims=True), out=dy)
    scratch = np.multiply(y, dy, out=backend._scratch(z.shape, z.dtype))
    picked = _sum(scratch)
    if not math.isfinite(picked):  # a difference that overflowed counts for nothing where y_j = 0
        picked = _sum(np.where(y != 0.0, scratch, 0.0))
    np.exp(dy, out=dy)
    total, mass = np.sum(dy, axis=1, keepdims=True), np.sum(y, axis=1, keepdims=True)
    value = _sum(mass * np.log(total)) - picked
    dy *= mass / total
    dy -= y
    dy *= factor
    return value


_LOSSES = {
    "squared_error": _squared_error,
    "binary_cross_entropy_from_logits": _binary_cross_entropy_from_logits,
    "categorical_cross_entropy_from_logits": _categorical_cross_entropy_from_logits,
}
