"""The fully connected layer with bfloat16 factors: y = f(r(x) r(W) + b), where r rounds to bfloat16.

bfloat16 is the upper half of a float32: the same exponent, and 8 bits of significand instead of 24. The
relative error of r is at most 2⁻⁸ (below 2⁻¹²⁶, the absolute error is at most 2⁻¹³⁴). A product of two
bfloat16 numbers is exact in float32, and the sums of products are float32.

Only the factors of the three products are rounded: x and W forward, and x, W and dz backward. Everything else
is float32: parameters, biases, outputs, gradients. A forward pass writes the rounded factors into arrays of
the caller, and the backward pass reads them. Every forward pass rounds W again, so no copy of W is ever old.
"""

from __future__ import annotations

import numpy as np

from nnx.ops.activations import Activations, ActivationsNumPy
from nnx.ops.base import Array
from nnx.ops.cuda import Elementwise
from nnx.ops.dense import DenseCuPy
from nnx.ops.sums import Sums, SumsNumPy

HIDDEN = 16  # the bits of a float32 that bfloat16 does not have


class Bfloat16(Activations, Sums):
    """A dense layer with bfloat16 factors in the plain form."""

    @property
    def factor_type(self) -> str:
        """Return the type of the arrays for rounded factors; the plain form stores float32 numbers."""
        return "float32"

    def round_to_bfloat16(self, x: Array, out: Array) -> Array:
        """out = r(x): the nearest bfloat16 number; of two that are equally near, the one whose last bit is 0.

        Infinite values and NaN stay; values from 2¹²⁸ (1 − 2⁻⁹) become infinite.
        """
        single = x.astype("float32")
        bits = single.view("uint32")
        bits += 0x7FFF + ((bits >> HIDDEN) & 1)  # carries into the upper half where that half is rounded up
        bits >>= HIDDEN
        bits <<= HIDDEN
        out[...] = self.xp.where(self.xp.isnan(x), x, single)
        return out

    def bfloat16_dense_forward(
        self, x: Array, W: Array, b: Array, y: Array, rounded_x: Array, rounded_W: Array,
        kind: str = "identity", alpha: float = 0.0,
    ) -> Array:  # fmt: skip
        """y = f(r(x) r(W) + b); r(x) and r(W) are written too, for the backward pass."""
        self.round_to_bfloat16(x, rounded_x)
        self.round_to_bfloat16(W, rounded_W)
        y[...] = self.xp.matmul(rounded_x, rounded_W) + b
        return self.activation_forward(kind, y, y, alpha)

    def bfloat16_dense_backward(
        self, dy: Array, rounded_x: Array, rounded_W: Array, dW: Array, db: Array, dx: Array | None,
        rounded_dz: Array, kind: str = "identity", alpha: float = 0.0, y: Array | None = None,
        dz: Array | None = None,
    ) -> Array:  # fmt: skip
        """dz = dy ∘ f'; dW = r(x)ᵀ r(dz), db = Σ_rows dz, dx = r(dz) r(W)ᵀ; r(dz) is written too.

        The other arguments are those of `dense_backward`.
        """
        if kind != "identity":
            dy = self.activation_backward(kind, dy, None, y, dz, alpha)
        self.round_to_bfloat16(dy, rounded_dz)
        dW[...] = self.xp.matmul(rounded_x.T, rounded_dz)
        db[...] = self._column_sums(dy)
        if dx is not None:
            dx[...] = self.xp.matmul(rounded_dz, rounded_W.T)
        return dW


class Bfloat16NumPy(ActivationsNumPy, SumsNumPy, Bfloat16):
    """A dense layer with bfloat16 factors in place."""

    def round_to_bfloat16(self, x: Array, out: Array) -> Array:
        """Round on the bits of `out`, without temporary arrays."""
        bits, rounded = x.view(np.uint32), out.view(np.uint32)
        np.right_shift(bits, HIDDEN, out=rounded)
        np.bitwise_and(rounded, 1, out=rounded)
        np.add(rounded, 0x7FFF, out=rounded)
        np.add(rounded, bits, out=rounded)
        np.bitwise_and(rounded, 0xFFFF0000, out=rounded)
        np.copyto(out, x, where=np.isnan(x, out=self._scratch(x.shape, np.bool_)))
        return out

    def bfloat16_dense_forward(
        self, x: Array, W: Array, b: Array, y: Array, rounded_x: Array, rounded_W: Array,
        kind: str = "identity", alpha: float = 0.0,
    ) -> Array:  # fmt: skip
        """Write the product directly into y."""
        self.round_to_bfloat16(x, rounded_x)
        self.round_to_bfloat16(W, rounded_W)
        np.matmul(rounded_x, rounded_W, out=y)
        np.add(y, b, out=y)
        if kind != "identity":
            self.activation_forward(kind, y, y, alpha)
        return y

    def bfloat16_dense_backward(
        self, dy: Array, rounded_x: Array, rounded_W: Array, dW: Array, db: Array, dx: Array | None,
        rounded_dz: Array, kind: str = "identity", alpha: float = 0.0, y: Array | None = None,
        dz: Array | None = None,
    ) -> Array:  # fmt: skip
        """Write both products directly into their outputs."""
        if kind != "identity":
            dy = self.activation_backward(kind, dy, None, y, dz, alpha)
        self.round_to_bfloat16(dy, rounded_dz)
        db[...] = self._column_sums(dy)
        np.matmul(rounded_x.T, rounded_dz, out=dW)
        if dx is not None:
            np.matmul(rounded_dz, rounded_W.T, out=dx)
        return dW


# The upper half of a number's bits, rounded. NaN stays NaN, also if only bits of its lower half are set.
UPPER_HALF = """
const unsigned int bits = __float_as_uint(x);
const unsigned int upper = x != x ? bits >> 16 | 0x40 : (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
"""
ROUND = {
    "float32": Elementwise(
        "round_to_bfloat16",
        inputs="float32 x",
        outputs="float32 y",
        body=f"{UPPER_HALF}y = __uint_as_float(upper << 16);",
    ),
    "uint16": Elementwise(
        "upper_half",
        inputs="float32 x",
        outputs="uint16 y",
        body=f"{UPPER_HALF}y = (unsigned short)upper;",
    ),
}


class Bfloat16CuPy(DenseCuPy, Bfloat16):
    """A dense layer with bfloat16 factors on the GPU.

    If cuBLAS multiplies bfloat16 numbers, a factor is stored as the 16 upper bits of its float32, else as a
    float32.
    """

    @property
    def _bfloat16_products(self) -> bool:
        """Return whether cuBLAS multiplies bfloat16 numbers."""
        return False

    @property
    def factor_type(self) -> str:
        """Return the type of the arrays for rounded factors: of their bits, if cuBLAS multiplies them."""
        return "uint16" if self._bfloat16_products else super().factor_type

    def round_to_bfloat16(self, x: Array, out: Array) -> Array:
        """Write the bits of r(x) if `out` has their type, else r(x) as float32 numbers; one launch."""
        with self._hold:
            ROUND[out.dtype.name].kernel(x, out)
        return out

    def bfloat16_dense_forward(
        self, x: Array, W: Array, b: Array, y: Array, rounded_x: Array, rounded_W: Array,
        kind: str = "identity", alpha: float = 0.0,
    ) -> Array:  # fmt: skip
        """Use two launches more than `dense_forward`, which round x and W."""
        with self._hold:
            self.round_to_bfloat16(x, rounded_x)
            self.round_to_bfloat16(W, rounded_W)
            return self.dense_forward(rounded_x, rounded_W, b, y, kind, alpha)

    def bfloat16_dense_backward(
        self, dy: Array, rounded_x: Array, rounded_W: Array, dW: Array, db: Array, dx: Array | None,
        rounded_dz: Array, kind: str = "identity", alpha: float = 0.0, y: Array | None = None,
        dz: Array | None = None,
    ) -> Array:  # fmt: skip
        """Use one launch more than `dense_backward`, which rounds dz."""
        with self._hold:
            found = self._activation_and_bias_backward(dy, db, kind, alpha, y, dz)
            self.round_to_bfloat16(found, rounded_dz)
            return self._weights_and_input_backward(rounded_dz, rounded_x, rounded_W, dW, dx)
