"""Every hot operation in its plainest form: the documentation, and the oracle of the other backends.

An operation writes into the arrays it is given, returns the one named first among its outputs, and leaves
its inputs as they were; ``x`` has shape (rows, inputs), ``y`` (rows, units). Elementwise operations allow
the output to *be* the input (``y is x``), never to overlap it otherwise. Nothing here reads a device value
on the host, so a step can be queued on a GPU without waiting.

A subclass overrides an operation only where a benchmark shows that it pays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy

from nnx.backends import foreign, host_memory, threads
from nnx.backends.activations import ACTIVATIONS
from nnx.backends.losses import LOSSES
from nnx.backends.staging import Staging
from nnx.errors import DeviceError

Array = Any
NOTHING = nullcontext()
BLOCK = 128  # rows that are summed one by one


class Backend:
    """A device and the operations on its arrays; this class itself computes plainly with NumPy.

    Attributes
    ----------
    name : str
        ``"numpy"``, ``"cupy"``, …
    device : str
        What the work really ran on, as results record it: ``"cpu"``, ``"gpu:0"``.
    xp : module
        The array namespace, used in the subset that NumPy and CuPy share.
    tf32 : bool
        True where float32 products are rounded to TF32: on a GPU, if asked for.
    immediate : bool
        True where an operation has finished when it returns, so reading a value costs nothing.
    threads : int
        How many threads of its own divide the work.
    """

    name = "base"
    device = "cpu"
    xp: Any = numpy
    tf32 = False
    immediate = True
    threads = 1

    # ------------------------------------------------------------------ arrays

    def asarray(self, x: Any, dtype: Any = None) -> Array:
        """Host data of any library (or an array of this device) as a C-contiguous array of this device.

        Raises
        ------
        DataError
            If `x` has no form in NumPy.
        DeviceError
            If `x` is an array of another device: move it with ``to_numpy`` of its own backend first.
        """
        if foreign.on_gpu(x):
            raise DeviceError(
                f"an array on a GPU was given to the {self.name} backend: bring it to the host first "
                "(cupy.asnumpy(x)), or build the network with device='gpu'"
            )
        return numpy.ascontiguousarray(foreign.as_numpy(x), dtype=dtype)

    def to_numpy(self, x: Array) -> numpy.ndarray[Any, Any]:
        """`x` as a NumPy array on the host (not a copy where it already is one)."""
        return numpy.asarray(x)

    def owns(self, x: Any) -> bool:
        """Whether `x` is an array this backend computes with."""
        return isinstance(x, numpy.ndarray)

    def empty(self, shape: int | tuple[int, ...], dtype: Any) -> Array:
        """An array with arbitrary contents."""
        return self.xp.empty(shape, dtype=dtype)

    def zeros(self, shape: int | tuple[int, ...], dtype: Any) -> Array:
        """An array of zeros."""
        return self.xp.zeros(shape, dtype=dtype)

    def gather(self, source: Array, indices: Array, out: Array, divisor: float = 1.0) -> Array:
        """out[i] = source[indices[i]]; bytes are cast to out's type and divided there by `divisor`.

        The indices were drawn by nnx and lie within the source, which is C-contiguous.
        """
        rows = self.xp.take(source, indices, axis=0)
        out[...] = rows if source.dtype == out.dtype else rows.astype(out.dtype) / divisor
        return out

    def holds(self, nbytes: int, in_memory: bool) -> bool:
        """Whether so many bytes of data are to lie on the device while it trains; else they are streamed.

        `in_memory` tells whether they lie in the host's memory, which for the CPU decides it.
        """
        return in_memory

    def staging(self, shape: tuple[int, ...], dtype: Any) -> Staging:
        """Room for batches that are read on the host while the device computes."""
        return Staging(shape, dtype)

    def erfc(self, x: Array) -> Array:
        """The complementary error function, 1 − erf(x) = 2/√π ∫ₓ^∞ e^−t² dt, elementwise."""
        try:
            from scipy.special import erfc
        except ModuleNotFoundError:  # SciPy comes with an extra; Python's own function is as exact, and slow
            return numpy.vectorize(math.erfc, otypes=[x.dtype])(x)
        return erfc(x)

    def hold(self) -> AbstractContextManager[Any]:
        """A context for work on arrays outside operations: it lands on this device (a GPU is made current).

        Operations do so by themselves. The context may be kept, entered again, and from any thread.
        """
        return NOTHING

    def quiet(self) -> AbstractContextManager[Any]:
        """A context in which arithmetic on values that are not finite raises no warning."""
        return NOTHING

    def synchronize(self) -> None:
        """Wait until everything queued on the device is done."""

    def small_loop(self) -> Any:
        """The module of a compiled training loop for small networks (`numba_loop`), or None."""
        return None

    def room(self, nbytes: int, what: str, remedy: str) -> AbstractContextManager[None]:
        """A context for code that takes so much memory; `OutOfMemoryError` where the host has not got it."""
        return host_memory.room(nbytes, what, remedy)

    def blas_threads(self) -> int:
        """How many threads of NumPy's BLAS a step's products run on; 0 where they do not run on it."""
        return threads.of_blas()

    def memory(self) -> dict[str, int]:
        """Bytes in use and reserved on the device; empty where the host's own memory is the device."""
        return {}

    # ------------------------------------------------------------------ layers

    def dense_forward(
        self, x: Array, W: Array, b: Array, y: Array, kind: str = "identity", alpha: float = 0.0
    ) -> Array:
        """y = f(x W + b), W of shape (inputs, units) and b (units,); f by a kind that is `from_output`."""
        y[...] = self.xp.matmul(x, W) + b
        return self.activation_forward(kind, y, y, alpha)

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
        """dz = dy ∘ f'; dW = xᵀ dz, db = Σ_rows dz, dx = dz Wᵀ.

        `dz` is room for the activation's gradient and may be `dy` itself; neither it nor `y` is needed for
        the identity. ``dx=None`` skips the product that nobody reads (the first layer's).
        """
        if kind != "identity":
            dy = self.activation_backward(kind, dy, None, y, dz, alpha)
        dW[...] = self.xp.matmul(x.T, dy)
        db[...] = self._column_sums(dy)
        if dx is not None:
            dx[...] = self.xp.matmul(dy, W.T)
        return dW

    def activation_forward(self, kind: str, x: Array, y: Array, alpha: float = 0.0) -> Array:
        """y = f(x), f by `kind` from `ACTIVATIONS`."""
        y[...] = ACTIVATIONS[kind].forward(self, x, alpha)
        return y

    def activation_backward(
        self, kind: str, dy: Array, x: Array | None, y: Array, dx: Array, alpha: float = 0.0
    ) -> Array:
        """dx = dy ∘ f'(x) (softmax: with its whole Jacobian); `x` may be None for kinds written in y."""
        dx[...] = ACTIVATIONS[kind].backward(self, dy, x, y, alpha)
        return dx

    def dropout(self, x: Array, y: Array, rate: float, key: int, row: int = 0) -> Array:
        """y = x ∘ mask / (1 − rate); the mask is a hash of (key, row + i, j), so it is never stored.

        The same call on dy gives dx. The mixing is ``lowbias32`` by Chris Wellons
        (https://nullprogram.com/blog/2018/07/31/), applied to the row and then to the column.
        """
        xp = self.xp
        rows = xp.arange(row, row + x.shape[0], dtype=xp.uint32)[:, None]
        columns = xp.arange(x.shape[1], dtype=xp.uint32)[None, :]
        mixed = _mix(rows ^ (key & 0xFFFFFFFF)) ^ (key >> 32 & 0xFFFFFFFF)
        hashed = _mix(mixed + columns * 0x9E3779B1)
        keep = hashed >= min(int(rate * 2**32), 0xFFFFFFFF)
        y[...] = xp.where(keep, x * (1.0 / (1.0 - rate)), 0.0)
        return y

    def batch_moments(self, x: Array, mean: Array, variance: Array) -> Array:
        """The mean and the biased variance of each column; returns the mean.

        In two passes: what a first mean leaves of each number is small, so its mean corrects the first to the
        last digit, and the variance with it (Chan, Golub and LeVeque, 1983, eq. 1.7). A column that does not
        vary has exactly its value as mean and 0 as variance.
        """
        rows = x.shape[0]
        first = self._column_sums(x) / rows
        centred = x - first
        shift = self._column_sums(centred) / rows
        mean[...] = first + shift
        variance[...] = self.xp.maximum(self._column_sums(centred * centred) / rows - shift * shift, 0.0)
        return mean

    def batch_norm_forward(
        self, x: Array, mean: Array, variance: Array, gamma: Array, beta: Array, y: Array, epsilon: float
    ) -> Array:
        """y = γ x̂ + β with x̂ = (x − mean) / √(variance + ε), column by column."""
        y[...] = gamma * ((x - mean) / self.xp.sqrt(variance + epsilon)) + beta
        return y

    def batch_norm_backward(
        self,
        dy: Array,
        x: Array,
        mean: Array,
        variance: Array,
        gamma: Array,
        dgamma: Array,
        dbeta: Array,
        dx: Array | None,
        epsilon: float,
        constant: bool = False,
    ) -> Array:
        """dβ = Σ dy, dγ = Σ dy x̂, dx = γ/σ (dy − dβ/n − x̂ dγ/n).

        With ``constant`` the moments are running statistics that x does not move: dx = γ/σ dy.
        """
        xp = self.xp
        sigma = xp.sqrt(variance + epsilon)
        normalized = (x - mean) / sigma
        dbeta[...] = self._column_sums(dy)
        dgamma[...] = self._column_sums(dy * normalized)
        if dx is not None:
            centred = dy if constant else dy - (dbeta + normalized * dgamma) / x.shape[0]
            dx[...] = gamma / sigma * centred
        return dgamma

    def layer_norm_forward(self, x: Array, gamma: Array, beta: Array, y: Array, epsilon: float) -> Array:
        """y = γ x̂ + β with x̂ = (x − mean) / √(variance + ε), row by row."""
        y[...] = gamma * self._normalized_rows(x, epsilon)[0] + beta
        return y

    def layer_norm_backward(
        self, dy: Array, x: Array, gamma: Array, dgamma: Array, dbeta: Array, dx: Array | None, epsilon: float
    ) -> Array:
        """dβ = Σ dy, dγ = Σ dy x̂, dx = (g − mean(g) − x̂ mean(g x̂)) / σ with g = γ dy, row by row."""
        xp = self.xp
        normalized, sigma = self._normalized_rows(x, epsilon)
        dbeta[...] = self._column_sums(dy)
        dgamma[...] = self._column_sums(dy * normalized)
        if dx is not None:
            g = gamma * dy
            projection = xp.mean(g * normalized, axis=1, keepdims=True)
            dx[...] = (g - xp.mean(g, axis=1, keepdims=True) - normalized * projection) / sigma
        return dgamma

    def _column_sums(self, x: Array) -> Array:
        """Σ_rows x. Many rows are summed in blocks of about √rows, so that rounding grows as slowly."""
        rows, columns = x.shape
        if rows <= BLOCK:
            return self.xp.sum(x, axis=0)
        block = max(BLOCK, math.isqrt(rows))
        whole = rows - rows % block
        blocks = self.xp.sum(x[:whole].reshape(-1, block, columns), axis=1)
        sums = self.xp.sum(blocks, axis=0)
        return sums if whole == rows else sums + self.xp.sum(x[whole:], axis=0)

    def _normalized_rows(self, x: Array, epsilon: float) -> tuple[Array, Array]:
        xp = self.xp
        centred = x - xp.mean(x, axis=1, keepdims=True)
        centred -= xp.mean(centred, axis=1, keepdims=True)  # what rounding left of the first mean
        sigma = xp.sqrt(xp.mean(centred * centred, axis=1, keepdims=True) + epsilon)
        return centred / sigma, sigma

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
        """value = scale Σ_i w_i Σ_j ℓ_ij / Σ_i w_i and dy = its gradient in y_pred, in one call.

        Parameters
        ----------
        kind : str
            A key of `LOSSES`.
        value : array of shape (1,), or None
        dy : array like y_pred, or None
        scale : float
            1 / features for a mean over features, 1 for a sum.
        parameter : float
            The loss's own constant: Huber's δ, a cross-entropy's clipping ε.
        weights : array of shape (rows,), or None for equal weights
        """
        row_losses, gradient = LOSSES[kind](self, y_true, y_pred, parameter)
        self.average(row_losses, gradient, value, dy, scale, weights)

    def average(
        self,
        row_losses: Array,
        gradient: Array,
        value: Array | None,
        dy: Array | None,
        scale: float,
        weights: Array | None,
    ) -> None:
        """The second half of `loss`: from each row's loss and gradient to the weighted mean's."""
        xp = self.xp
        if weights is None:
            row_weights = scale / row_losses.shape[0]
            column = row_weights
        else:
            # only their ratios count: times a power of two, which is exact, so that their sum fits the type
            weights = xp.ldexp(weights, -xp.frexp(xp.max(weights))[1])
            total = xp.sum(weights)  # zero where a batch drew only rows that do not count
            row_weights = weights * (scale / xp.where(total > 0, total, 1.0))
            column = row_weights[:, None]
        if value is not None:
            value[...] = xp.sum(row_losses * row_weights)
        if dy is not None:
            dy[...] = gradient * column

    # -------------------------------------------------------------- optimizers
    #
    # Each updates flat buffers in place. `fault` is an integer array of shape (1,): while it is not zero,
    # nothing may change (see `raise_fault`). `l2` adds l2·w to the gradient; `weight_decay` is decoupled:
    # w shrinks by learning_rate·weight_decay·w before the update.

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
        """u = μ u − η g; w = w + u, or with Nesterov w = w + μ u − η g. Without momentum w = w − η g."""
        g = gradients + l2 * values
        w = values * (1.0 - learning_rate * weight_decay)
        if velocity is None:
            w = w - learning_rate * g
        else:
            u = momentum * velocity - learning_rate * g
            w = w + (momentum * u - learning_rate * g if nesterov else u)
            self._commit(velocity, u, fault)
        return self._commit(values, w, fault)

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
        """m = β₁ m + (1−β₁) g; v = β₂ v + (1−β₂) g²; w = w − η √(1−β₂ᵗ)/(1−β₁ᵗ) m / (√v + ε).

        `step` is t, counted from 1. ε stands outside the corrected root, as in section 2 of Kingma and Ba
        (2015) and in Keras.
        """
        rate = learning_rate * (1.0 - beta2**step) ** 0.5 / (1.0 - beta1**step)
        g = gradients + l2 * values
        new_m = m + (1.0 - beta1) * (g - m)
        new_v = v + (1.0 - beta2) * (g * g - v)
        w = values * (1.0 - learning_rate * weight_decay) - rate * new_m / (self.xp.sqrt(new_v) + epsilon)
        self._commit(m, new_m, fault)
        self._commit(v, new_v, fault)
        return self._commit(values, w, fault)

    def rmsprop_step(
        self,
        values: Array,
        gradients: Array,
        v: Array,
        velocity: Array | None,
        fault: Array,
        learning_rate: float,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        weight_decay: float = 0.0,
        l2: float = 0.0,
    ) -> Array:
        """v = ρ v + (1−ρ) g²; d = η g / √(v + ε); with momentum u = μ u + d, w = w − u; else w = w − d."""
        g = gradients + l2 * values
        new_v = v + (1.0 - rho) * (g * g - v)
        update = learning_rate * g / self.xp.sqrt(new_v + epsilon)
        if velocity is not None:
            update = momentum * velocity + update
            self._commit(velocity, update, fault)
        self._commit(v, new_v, fault)
        return self._commit(values, values * (1.0 - learning_rate * weight_decay) - update, fault)

    def adagrad_step(
        self,
        values: Array,
        gradients: Array,
        accumulator: Array,
        fault: Array,
        learning_rate: float,
        epsilon: float = 1e-7,
        weight_decay: float = 0.0,
        l2: float = 0.0,
    ) -> Array:
        """a = a + g²; w = w − η g / √(a + ε)."""
        g = gradients + l2 * values
        total = accumulator + g * g
        w = values * (1.0 - learning_rate * weight_decay) - learning_rate * g / self.xp.sqrt(total + epsilon)
        self._commit(accumulator, total, fault)
        return self._commit(values, w, fault)

    def _commit(self, target: Array, new: Array, fault: Array) -> Array:
        target[...] = self.xp.where(fault == 0, new, target)
        return target

    def clip_by_norm(self, gradients: Sequence[Array], limit: float) -> None:
        """g = g · min(1, limit / ‖g‖₂), the norm taken over all the given buffers together.

        ‖g‖ = t ‖g / t‖ with t the largest |g|, or the limit where that is larger: no square overflows.
        """
        xp = self.xp
        top = limit
        for g in gradients:
            top = xp.maximum(xp.max(xp.abs(g)), top) if g.size else top
        squares = sum(xp.sum(xp.square(g / top)) for g in gradients)
        factor = 1.0 / xp.maximum(xp.sqrt(squares) * (top / limit), 1.0)
        for g in gradients:
            g *= factor

    def clip_by_value(self, gradients: Array, limit: float) -> Array:
        """G = min(max(g, −limit), limit), elementwise."""
        gradients[...] = self.xp.clip(gradients, -limit, limit)
        return gradients

    def raise_fault(self, value: Array, gradients: Array, fault: Array, step: int) -> Array:
        """Write `step` (from 1) into `fault` if it is still zero and the loss or a gradient is not finite."""
        xp = self.xp
        finite = xp.all(xp.isfinite(value)) & xp.all(xp.isfinite(gradients))
        fault[...] = xp.where(finite | (fault != 0), fault, step)
        return fault


def _mix(h: Array) -> Array:
    """A bijection of 32-bit integers in which every output bit depends on every input bit."""
    h = h ^ (h >> 16)
    h = h * 0x7FEB352D
    h = h ^ (h >> 15)
    h = h * 0x846CA68B
    return h ^ (h >> 16)
