"""The fully connected layer with bfloat16 factors: y = f(r(x) r(W) + b), where r rounds to bfloat16.

bfloat16 is the upper half of a float32: the same exponent, and 8 bits of significand instead of 24. The
relative error of r is at most 2⁻⁸ (below 2⁻¹²⁶, the absolute error is at most 2⁻¹³⁴). A product of two
bfloat16 numbers is exact in float32, and the sums of products are float32.

Only the factors of the three products are rounded: x and W forward, and x, W and dz backward. Everything else
is float32: parameters, biases, outputs, gradients. A forward pass writes the rounded factors into arrays of
the caller, and the backward pass reads them. Every forward pass rounds W again, so no copy of W is ever old.

On a GPU, a kernel that writes a float32 array also writes its rounded form, if a product reads it next.
"""

from __future__ import annotations

import numpy as np

from nnx.ops.activations import ACTIVATIONS, CUDA_FUNCTIONS, Activations, ActivationsNumPy
from nnx.ops.base import Array
from nnx.ops.cuda import COLUMNS, FOURS, Elementwise, Raw
from nnx.ops.dense import BIAS_GRADIENT, BIAS_GRADIENT_SOURCE, BIAS_SOURCE, DenseCuPy
from nnx.ops.sums import Sums, SumsNumPy

HIDDEN = 16  # the bits of a float32 that bfloat16 does not have


class Bfloat16(Activations, Sums):
    """A dense layer with bfloat16 factors in the plain form."""

    @property
    def factor_type(self) -> str:
        """Return the type of the arrays for rounded factors; the plain form stores float32 numbers."""
        return "float32"

    @property
    def rounds_ahead(self) -> bool:
        """Return whether to round all weights in one launch, and each output where it is computed."""
        return False

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

    def round_both_to_bfloat16(self, W: Array, rounded_W: Array, x: Array, rounded_x: Array) -> None:
        """rounded_W = r(W), rounded_x = r(x): the weights of all layers, and the input of the first one."""
        self.round_to_bfloat16(W, rounded_W)
        self.round_to_bfloat16(x, rounded_x)

    def bfloat16_dense_forward(
        self, x: Array, W: Array, b: Array, y: Array, rounded_x: Array, rounded_W: Array,
        kind: str = "identity", alpha: float = 0.0,
    ) -> Array:  # fmt: skip
        """y = f(r(x) r(W) + b); r(x) and r(W) are written too, for the backward pass."""
        self.round_to_bfloat16(x, rounded_x)
        self.round_to_bfloat16(W, rounded_W)
        return self.rounded_dense_forward(rounded_x, rounded_W, b, y, kind, alpha)

    def rounded_dense_forward(
        self, rounded_x: Array, rounded_W: Array, b: Array, y: Array, kind: str = "identity",
        alpha: float = 0.0, rounded_y: Array | None = None,
    ) -> Array:  # fmt: skip
        """y = f(r(x) r(W) + b), from factors that are rounded; r(y) is written too, if there is an array."""
        y[...] = self.xp.matmul(rounded_x, rounded_W) + b
        self.activation_forward(kind, y, y, alpha)
        if rounded_y is not None:
            self.round_to_bfloat16(y, rounded_y)
        return y

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

    def rounded_dense_forward(
        self, rounded_x: Array, rounded_W: Array, b: Array, y: Array, kind: str = "identity",
        alpha: float = 0.0, rounded_y: Array | None = None,
    ) -> Array:  # fmt: skip
        """Write the product directly into y."""
        np.matmul(rounded_x, rounded_W, out=y)
        np.add(y, b, out=y)
        if kind != "identity":
            self.activation_forward(kind, y, y, alpha)
        if rounded_y is not None:
            self.round_to_bfloat16(y, rounded_y)
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
__device__ inline unsigned short nnx_upper_half(float x) {
    const unsigned int bits = __float_as_uint(x);
    return (unsigned short)(x != x ? bits >> 16 | 0x40 : (bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}
"""
ROUND = {
    "float32": Elementwise(
        "round_to_bfloat16",
        inputs="float32 x",
        outputs="float32 y",
        body="y = __uint_as_float((unsigned int)nnx_upper_half(x) << 16);",
        preamble=UPPER_HALF,
    ),
    "uint16": Elementwise(
        "upper_half",
        inputs="float32 x",
        outputs="uint16 y",
        body="y = nnx_upper_half(x);",
        preamble=UPPER_HALF,
    ),
}
# four numbers, and where their upper halves are stored
STORE_HALVES = """
__device__ inline void nnx_store_halves(
        unsigned short* to, long long part, long long size, bool fours, const nnx_four& four) {
    nnx_pack<unsigned short> halves;
    NNX_FOUR(k) halves.at[k] = nnx_upper_half(four.at[k]);
    nnx_store(to, part, size, fours && nnx_aligned(to), halves);
}
"""
# of two arrays; the second may be empty
ROUND_BOTH = Raw(
    "upper_halves",
    "nnx_upper_halves",
    FOURS
    + UPPER_HALF
    + STORE_HALVES
    + """
extern "C" __global__ void nnx_upper_halves(
        const T* x, unsigned short* y, const T* others, unsigned short* rounded, long long size,
        long long more) {
    NNX_PARTS_OF(size, part)
        nnx_store_halves(y, part, size, true, nnx_read(x, part, size, nnx_aligned(x)));
    NNX_PARTS_OF(more, part)
        nnx_store_halves(rounded, part, more, true, nnx_read(others, part, more, nnx_aligned(others)));
}
""",
)
# y = f(product + b) and r(y)
ROUNDED_BIAS = {
    kind: Raw(
        f"rounded_{kind}_bias",
        "nnx_bias",
        CUDA_FUNCTIONS
        + FOURS
        + UPPER_HALF
        + STORE_HALVES
        + BIAS_SOURCE.format(
            forward=ACTIVATIONS[kind].cuda_forward,
            also=", unsigned short* rounded",
            store="nnx_store_halves(rounded, part, size, fours, four);",
        ),
    )
    for kind in BIAS_GRADIENT
}
# r(dz) with dz = dy ∘ f', and db = Σ_rows dz; dz itself is not stored
ROUNDED_BIAS_GRADIENT = {
    kind: Raw(
        f"rounded_{kind}_bias_gradient",
        "nnx_bias_gradient",
        CUDA_FUNCTIONS
        + COLUMNS
        + UPPER_HALF
        + STORE_HALVES
        + BIAS_GRADIENT_SOURCE.format(
            gradient=ACTIVATIONS[kind].cuda_backward,
            stored="unsigned short",
            store="nnx_store_halves(dzs + start, part, columns, fours, found[0]);",
        ),
    )
    for kind in BIAS_GRADIENT
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

    @property
    def rounds_ahead(self) -> bool:
        """Return True: a launch costs more than its arithmetic."""
        return True

    def round_to_bfloat16(self, x: Array, out: Array) -> Array:
        """Write the bits of r(x) if `out` has their type, else r(x) as float32 numbers; one launch."""
        with self._hold:
            if out.dtype == "uint16" and x.flags.c_contiguous:
                ROUND_BOTH.over_elements(x.reshape(-1), (x, out, x, out), 0)
            else:
                ROUND[out.dtype.name].kernel(x, out)
        return out

    def round_both_to_bfloat16(self, W: Array, rounded_W: Array, x: Array, rounded_x: Array) -> None:
        """Use one launch; two if factors are float32 numbers, or x is not contiguous."""
        with self._hold:
            if rounded_W.dtype == "uint16" and x.flags.c_contiguous:
                if x.size > W.size:  # the launch has threads for the first array
                    W, rounded_W, x, rounded_x = x, rounded_x, W, rounded_W
                ROUND_BOTH.over_elements(W.reshape(-1), (W, rounded_W, x, rounded_x), x.size)
            else:
                super().round_both_to_bfloat16(W, rounded_W, x, rounded_x)

    def bfloat16_dense_forward(
        self, x: Array, W: Array, b: Array, y: Array, rounded_x: Array, rounded_W: Array,
        kind: str = "identity", alpha: float = 0.0,
    ) -> Array:  # fmt: skip
        """Use two launches more than `dense_forward`, which round x and W."""
        with self._hold:
            return super().bfloat16_dense_forward(x, W, b, y, rounded_x, rounded_W, kind, alpha)

    def rounded_dense_forward(
        self, rounded_x: Array, rounded_W: Array, b: Array, y: Array, kind: str = "identity",
        alpha: float = 0.0, rounded_y: Array | None = None,
    ) -> Array:  # fmt: skip
        """Use two launches with r(y), else one with cuBLASLt: its products have no r(y).

        (cuBLASLt can store y as bfloat16 numbers, but only adds a bias of bfloat16 numbers then.)
        """
        with self._hold:
            if rounded_y is None or rounded_y.dtype != "uint16" or kind not in ROUNDED_BIAS:
                self.dense_forward(rounded_x, rounded_W, b, y, kind, alpha)
            elif not self._biased_product(rounded_x, rounded_W, b, y, kind):
                self._product(rounded_x, rounded_W, y)
                arrays = (y, self.xp.ascontiguousarray(b), y, rounded_y)
                ROUNDED_BIAS[kind].over_elements(y, arrays, y.dtype.type(alpha))
                return y
            if rounded_y is not None:
                self.round_to_bfloat16(y, rounded_y)
            return y

    def bfloat16_dense_backward(
        self, dy: Array, rounded_x: Array, rounded_W: Array, dW: Array, db: Array, dx: Array | None,
        rounded_dz: Array, kind: str = "identity", alpha: float = 0.0, y: Array | None = None,
        dz: Array | None = None,
    ) -> Array:  # fmt: skip
        """Use as many launches as `dense_backward`; if factors are float32 numbers, one more."""
        with self._hold:
            if rounded_dz.dtype == "uint16":
                kernels = ROUNDED_BIAS_GRADIENT
                self._activation_and_bias_backward(dy, db, kind, alpha, y, dz, kernels, rounded_dz)
            else:
                found = self._activation_and_bias_backward(dy, db, kind, alpha, y, dz)
                self.round_to_bfloat16(found, rounded_dz)
            return self._weights_and_input_backward(rounded_dz, rounded_x, rounded_W, dW, dx)
