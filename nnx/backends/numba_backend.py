"""The CPU by compiled kernels: one pass where NumPy takes several, and one team of threads for everything.

Where Numba's threads are TBB's and ``scipy-openblas32`` is installed, a dense layer's rows are divided among
those threads, and each runs its own single-threaded product with the bias, the ReLU and the bias gradient
around it. NumPy's BLAS, whose threads would fight with these, is then not entered by a training step.
Elsewhere, and on small arrays, the kernels run on one thread and the products are NumPy's.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from nnx.backends import blas, threads
from nnx.backends.numpy_backend import NumpyBackend
from nnx.ops.base import Array

SMALL_PRODUCT = 2**18  # multiplications: up to here NumPy's OpenBLAS takes one thread too
SMALL_ARRAY = 2**15  # numbers: below, one thread is done before another has begun
# Activations within a dense layer's kernels, by the item's size; for the others `numpy_backend` has passes.
FORWARD = {4: {"relu": 1, "sigmoid": 2}, 8: {"relu": 1}}
BACKWARD = {"relu": 1, "sigmoid": 2, "tanh": 3}
ROWS = 16  # the least for a part: each packs the whole of W for itself

TBB_LIBRARIES = ("libtbb.so.12", "libtbb.12.dylib", "tbb12.dll")


class NumbaBackend(NumpyBackend):
    """Compiled kernels, on Numba's threads where they are TBB's.

    Attributes
    ----------
    blas : Blas or None
        The private BLAS that products run on, each on one thread; None where NumPy's is used.
    threads : int
        How many parts the work is divided into at most.

    Raises
    ------
    ImportError
        If Numba is not installed or does not fit the installed NumPy.
    """

    name = "numba"

    def __init__(self) -> None:
        super().__init__()
        load_tbb()
        import numba

        if numba.config.DISABLE_JIT:
            raise ImportError("NUMBA_DISABLE_JIT is set")

        from nnx.backends import numba_kernels

        self.kernels: Any = numba_kernels
        count = numba.get_num_threads()  # starts them, by which the threading layer is decided
        self.layer = numba.threading_layer()
        self.blas = blas.load() if self.layer == "tbb" else None
        if self.blas is not None:
            self.threads = count if threads.given() else min(count, threads.cores())

    def versions(self) -> dict[str, str]:
        """Of the libraries at work."""
        import numba

        return {"numba": numba.__version__}

    def describe(self) -> str:
        """The libraries, the threads and the BLAS kernels, in one line."""
        text = f"Numba {self.versions()['numba']}, "
        if self.blas is not None:
            text += f"{self.threads} thread{'s' * (self.threads > 1)} (TBB)"
            return f"{text}, OpenBLAS kernels for {self.blas.core}"
        if self.layer != "tbb":
            text += f"threading layer {self.layer}, "
        return f"{text}kernels on one thread, products by NumPy (more threads need tbb and {blas.PACKAGE})"

    def blas_threads(self) -> int:
        """See `Backend.blas_threads`."""
        return 0 if self.blas is not None else super().blas_threads()

    def small_loop(self) -> Any:
        """See `nnx.backends.numba_loop`; benchmarks/small.py."""
        from nnx.backends import numba_loop

        return numba_loop

    def _parts(self, rows: int) -> int:
        return max(1, min(self.threads, rows // ROWS))

    # ------------------------------------------------------------------ arrays

    def gather(self, source: Array, indices: Array, out: Array, divisor: float = 1.0) -> Array:
        """Rows copied by all threads; bytes in one pass; benchmarks/operations.py, gather."""
        scaled = source.dtype == np.uint8 and out.dtype.kind == "f"
        parts = self._parts(len(out)) if out.size >= SMALL_ARRAY else 1
        if out.ndim != 2 or (parts == 1 and not scaled) or not _usual(out, *([] if scaled else [source])):
            return super().gather(source, indices, out, divisor)
        if scaled:
            self.kernels.team_gather_bytes(source, indices, out, out.dtype.type(divisor), parts)
        else:
            self.kernels.team_gather(source, indices, out, parts)
        return out

    # ------------------------------------------------------------------ layers

    def dense_forward(
        self, x: Array, W: Array, b: Array, y: Array, kind: str = "identity", alpha: float = 0.0
    ) -> Array:
        """Product, bias and activation of a part's rows on one core; benchmarks/operations.py."""
        if not _usual(W, x, y):
            return super().dense_forward(x, W, b, y, kind, alpha)
        fused = FORWARD[y.itemsize].get(kind, 0)
        if self.blas is not None and len(x) * W.size > SMALL_PRODUCT:
            self.kernels.team_dense_forward(
                self.blas.gemm[y.itemsize], x, W, b, y, fused, self._parts(len(x))
            )
        else:
            np.matmul(x, W, out=y)
            self.kernels.add_bias(y, b, fused)
        if not fused and kind != "identity":
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
        """The activation's gradient, db and dx of a part's rows on one core; benchmarks/operations.py."""
        if not _usual(W, dy, x, dW, dx, y, dz):
            return super().dense_backward(dy, x, W, dW, db, dx, kind, alpha, y, dz)
        fused = BACKWARD.get(kind, 0)
        if not fused:  # then dz is all there is to read
            if kind != "identity":
                dy = self.activation_backward(kind, dy, None, y, dz, alpha)
            y = dz = dy
        assert dz is not None
        if self.blas is None or len(x) * W.size <= SMALL_PRODUCT:
            self.kernels.bias_gradient(dy, y, dz, db, self._scratch(db.shape, db.dtype), fused)
            return self._products(x, W, dz, dW, dx)
        parts = self._parts(len(x))
        self.kernels.team_dense_backward(
            self.blas.gemm[dW.itemsize], dy, x, W, dW, db, dz if dx is None else dx, y, dz,
            self._scratch((parts, 2, len(db)), db.dtype), fused, dx is not None, parts,
        )  # fmt: skip
        return dW

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
        """The losses of `NumpyBackend.loss` in one pass; benchmarks/operations.py, loss."""
        name = kind.removesuffix("_from_logits")
        by_kernel = kind == "squared_error" or (name != kind and y_pred.itemsize == 4)
        if (
            not by_kernel
            or dy is None
            or weights is not None
            or y_true.shape != y_pred.shape
            or not _usual(y_pred, y_true, dy)
        ):
            super().loss(kind, y_true, y_pred, value, dy, scale, parameter, weights)
            return
        factor = scale / len(y_pred)
        arguments = (y_true, y_pred, dy, dy.dtype.type(factor))
        parts = self._parts(len(y_pred)) if y_pred.size >= SMALL_ARRAY else 1
        if parts > 1 and name != "categorical_cross_entropy":
            total = self._total(f"team_{name}", arguments, parts)
        else:
            total = getattr(self.kernels, name)(*arguments)
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
        """One pass without momentum; benchmarks/operations.py, sgd_step."""
        if velocity is not None:
            return super().sgd_step(
                values, gradients, velocity, fault, learning_rate, momentum, nesterov, weight_decay, l2
            )
        if not fault[0]:
            shrink = 1.0 - learning_rate * weight_decay
            self._flat("sgd", (values, gradients), (learning_rate, shrink, l2))
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
        """One pass; benchmarks/operations.py, adam_step."""
        if not fault[0]:
            rate = learning_rate * math.sqrt(1.0 - beta2**step) / (1.0 - beta1**step)
            shrink = 1.0 - learning_rate * weight_decay
            self._flat(
                "adam", (values, gradients, m, v), (rate, 1.0 - beta1, 1.0 - beta2, epsilon, shrink, l2)
            )
        return values

    def _flat(self, name: str, buffers: tuple[Array, ...], constants: tuple[float, ...]) -> None:
        """A kernel over flat buffers, by one thread or by all."""
        number = buffers[0].dtype.type
        arguments = (*buffers, *map(number, constants))
        if self.threads > 1 and buffers[0].size >= SMALL_ARRAY:
            getattr(self.kernels, f"team_{name}")(*arguments, self.threads)
        else:
            getattr(self.kernels, name)(*arguments)

    def _sum_of_squares(self, g: Array) -> float:
        if self.threads > 1 and g.size >= SMALL_ARRAY:
            return self._total("team_sum_of_squares", (g,), self.threads)
        return float(self.kernels.sum_of_squares(g))

    def _total(self, name: str, arguments: tuple[Any, ...], parts: int) -> float:
        """The sum of what a kernel finds in each part, always in their order."""
        totals = self._scratch((parts,), np.float64)
        getattr(self.kernels, name)(*arguments, totals, parts)
        return float(sum(totals.tolist()))

    def clip_by_norm(self, gradients: Sequence[Array], limit: float) -> None:
        """As `NumpyBackend.clip_by_norm`, the squares by the kernel: NumPy's BLAS is not entered."""
        norm = math.sqrt(sum(self._sum_of_squares(g) for g in gradients))
        if not math.isfinite(norm):
            super().clip_by_norm(gradients, limit)
        elif norm > limit:
            for g in gradients:
                g *= limit / norm

    def raise_fault(self, value: Array, gradients: Array, fault: Array, step: int) -> Array:
        """One pass; only if the sum is not finite are gradients looked at one by one."""
        if fault[0] == 0 and not (
            math.isfinite(value[0])
            and (math.isfinite(self._sum_of_squares(gradients)) or np.isfinite(gradients).all())
        ):
            fault[0] = step
        return fault


def _usual(like: Array, *others: Array | None) -> bool:
    """Whether arrays are contiguous, writeable and of one type: what kernels are compiled for."""
    dtype = like.dtype
    return like.flags.carray and all(a is None or (a.flags.carray and a.dtype == dtype) for a in others)


def load_tbb() -> None:
    """Load the library of the wheel ``tbb``, which Numba's threads need and do not find in an environment.

    The wheel puts it beside Python's own libraries, where the system's loader does not look.
    """
    with suppress(importlib.metadata.PackageNotFoundError, OSError):
        for file in importlib.metadata.files("tbb") or ():
            if file.name in TBB_LIBRARIES:
                ctypes.CDLL(str(file.locate()))
