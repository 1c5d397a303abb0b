"""Compiled forms of bfloat16.py, with a BLAS that multiplies bfloat16 numbers (MKL).

A factor is stored as the 16 upper bits of its float32. Each thread rounds the rows of its segment just before
it multiplies them, so they are read from memory only once. The BLAS adds in float32, in another order than
the plain form. It may take numbers below 2⁻¹²⁶ as 0, because the processor's bfloat16 instructions do.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nnx.ops.activations_numba import IDENTITY
from nnx.ops.base import Array
from nnx.ops.base_numba import Compiled, inner, numbers, team
from nnx.ops.bfloat16 import Bfloat16NumPy
from nnx.ops.dense_numba import BACKWARD, FORWARD, backward_rows, forward_tile, team_dense_forward
from nnx.ops.products_numba import product
from nnx.ops.share_numba import share

INFINITE = np.uint32(0x7F800000)
SIGN_OFF = np.uint32(0x7FFFFFFF)
ROUND, ONE, QUIET = np.uint32(0x7FFF), np.uint32(1), np.uint32(0x40)
UPPER = np.uint32(16)
SMALL_PRODUCT = 2**18  # multiplications: up to this size one thread is faster


@inner
def upper_half(bits: Any, quiet: Any) -> Any:
    """Return the bits of the bfloat16 number nearest to a float32 with these bits; NaN stays NaN."""
    high = np.uint32(bits >> UPPER)
    rounded = np.uint32(np.uint32(bits + np.uint32(ROUND + np.uint32(high & ONE))) >> UPPER)
    return rounded if np.uint32(bits & SIGN_OFF) <= INFINITE else np.uint32(high | quiet)


@inner
def round_rows(bits: Array, out: Array, quiet: int) -> None:
    """Round each number of some rows; `quiet` is the bit that makes a NaN a quiet one."""
    for row in range(bits.shape[0]):
        for j in range(bits.shape[1]):
            out[row, j] = upper_half(bits[row, j], quiet)


@inner
def round_and_forward_rows(
    x: Array, rounded_x: Array, y: Array, gemm: int, rounded_W: Array, b: Array, kind: int, first: Array
) -> None:
    """y = f(r(x) r(W) + b)."""
    round_rows(x, rounded_x, QUIET)
    forward_tile(first, gemm, rounded_x, rounded_W, b, y, kind, 1, 1)  # all of these rows are one tile


@inner
def round_and_backward_rows(
    dy: Array, y: Array, dz: Array, dx: Array, partial: Array, dz_bits: Array, rounded_dz: Array, gemm: int,
    rounded_W: Array, kind: int, wants_dx: bool,
) -> None:  # fmt: skip
    """dz = dy ∘ f' and Σ_rows dz as in `backward_rows`; dx = r(dz) r(W)ᵀ."""
    backward_rows(dy, y, dz, dx, partial, gemm, rounded_W, kind, False)
    round_rows(dz_bits, rounded_dz, QUIET)
    if wants_dx:
        product(gemm, rounded_dz, rounded_W, dx, False, True)


@inner
def weight_rows(inputs: Array, dW: Array, gemm: int, rounded_dz: Array) -> None:
    """Compute rows of dW = r(x)ᵀ r(dz); `inputs` are the same rows of r(x)ᵀ."""
    product(gemm, inputs.T, rounded_dz, dW, True, False)


@team
def team_round(bits: Array, out: Array, segments: int) -> None:
    """Round the rows of each segment in parallel."""
    share(round_rows, (bits, out), (QUIET,), segments)


@team
def team_bfloat16_forward(
    gemm: int, x: Array, W: Array, b: Array, y: Array, rounded_x: Array, rounded_W: Array, kind: int,
    first: Array, segments: int,
) -> None:  # fmt: skip
    """Round W, and after that compute the rows of y = f(r(x) r(W) + b) of each segment in parallel."""
    share(round_rows, (W, rounded_W), (QUIET,), segments)
    share(round_and_forward_rows, (x, rounded_x, y), (gemm, rounded_W, b, kind, first), segments)


@team
def team_bfloat16_backward(
    gemm: int, dy: Array, rounded_x: Array, rounded_W: Array, dW: Array, db: Array, dx: Array, y: Array,
    dz: Array, dz_bits: Array, rounded_dz: Array, partial: Array, kind: int, wants_dx: bool, segments: int,
) -> None:  # fmt: skip
    """Compute the rows of dz and dx of each segment in parallel, and after that the rows of dW."""
    share(
        round_and_backward_rows, (dy, y, dz, dx, partial, dz_bits, rounded_dz),
        (gemm, rounded_W, kind, wants_dx), segments,
    )  # fmt: skip
    for j in range(db.size):
        db[j] = partial[0, 0, j]
    for index in range(1, segments):
        for j in range(db.size):
            db[j] += partial[index, 0, j]
    share(weight_rows, (rounded_x.T, dW), (gemm, rounded_dz), segments)


class Bfloat16Numba(Compiled, Bfloat16NumPy):
    """A dense layer with bfloat16 factors that computes everything of a segment's rows on one core."""

    @property
    def bfloat16_gemm(self) -> int:
        """Return the address of ``cblas_gemm_bf16bf16f32``; 0 if there is none: the form is NumPy's then."""
        return 0

    @property
    def factor_type(self) -> str:
        """Return the type of the arrays for rounded factors: of their bits, if there is a BLAS for them."""
        return "uint16" if self.bfloat16_gemm else super().factor_type

    def round_to_bfloat16(self, x: Array, out: Array) -> Array:
        """Write the bits of r(x) if `out` has their type, else r(x) as float32 numbers."""
        if out.dtype != np.uint16:
            return super().round_to_bfloat16(x, out)
        team_round(_bits(x), out, 1)
        return out

    def bfloat16_dense_forward(
        self, x: Array, W: Array, b: Array, y: Array, rounded_x: Array, rounded_W: Array,
        kind: str = "identity", alpha: float = 0.0,
    ) -> Array:  # fmt: skip
        """Compute rounding, product, bias and activation of a segment on one core, from factors as bits."""
        if rounded_x.dtype != np.uint16:
            return super().bfloat16_dense_forward(x, W, b, y, rounded_x, rounded_W, kind, alpha)
        fused = FORWARD[y.itemsize].get(kind, IDENTITY)
        segments = self._segments(len(x)) if len(x) * W.size > SMALL_PRODUCT else 1
        team_bfloat16_forward(
            self.bfloat16_gemm, _bits(x), _bits(W), b, y, rounded_x, rounded_W, fused, numbers(1), segments
        )
        if not fused and kind != "identity":
            self.activation_forward(kind, y, y, alpha)
        return y

    def rounded_dense_forward(
        self, rounded_x: Array, rounded_W: Array, b: Array, y: Array, kind: str = "identity",
        alpha: float = 0.0, rounded_y: Array | None = None,
    ) -> Array:  # fmt: skip
        """Compute on one core, since on a CPU no layer uses this operation (`rounds_ahead`)."""
        if rounded_x.dtype != np.uint16:
            return super().rounded_dense_forward(rounded_x, rounded_W, b, y, kind, alpha, rounded_y)
        fused = FORWARD[y.itemsize].get(kind, IDENTITY)
        team_dense_forward(numbers(1), self.bfloat16_gemm, rounded_x, rounded_W, b, y, fused, 1, 1)
        if not fused and kind != "identity":
            self.activation_forward(kind, y, y, alpha)
        if rounded_y is not None:
            self.round_to_bfloat16(y, rounded_y)
        return y

    def bfloat16_dense_backward(
        self, dy: Array, rounded_x: Array, rounded_W: Array, dW: Array, db: Array, dx: Array | None,
        rounded_dz: Array, kind: str = "identity", alpha: float = 0.0, y: Array | None = None,
        dz: Array | None = None,
    ) -> Array:  # fmt: skip
        """Compute dz, db and dx of a segment on one core, from factors as bits."""
        if rounded_x.dtype != np.uint16:
            return super().bfloat16_dense_backward(
                dy, rounded_x, rounded_W, dW, db, dx, rounded_dz, kind, alpha, y, dz
            )
        dy = np.ascontiguousarray(dy)
        fused = BACKWARD.get(kind, IDENTITY)
        if not fused:  # then the kernel only reads dz
            if kind != "identity":
                dy = self.activation_backward(kind, dy, None, y, dz, alpha)
            y = dz = dy
        assert dz is not None
        segments = self._segments(len(dy)) if len(dy) * dW.size > SMALL_PRODUCT else 1
        team_bfloat16_backward(
            self.bfloat16_gemm, dy, rounded_x, rounded_W, dW, db, dy if dx is None else dx, y, dz, _bits(dz),
            rounded_dz, self._scratch((segments, 2, len(db)), db.dtype), fused, dx is not None, segments,
        )  # fmt: skip
        return dW


def _bits(x: Array) -> Array:
    """Return the bits of a float32 array, without a copy if its rows are contiguous."""
    return np.ascontiguousarray(x).view(np.uint32)
