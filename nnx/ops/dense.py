"""The fully connected layer: y = f(x W + b), and the gradients of W, b and x.

The derivative of the activation f is computed from f's output (`Activation.from_output`), so f's input needs
no separate array.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nnx.ops.activations import ACTIVATIONS, CUDA_FUNCTIONS, Activations, ActivationsCuPy, ActivationsNumPy
from nnx.ops.base import Array
from nnx.ops.cuda import COLUMNS, FOURS, Raw
from nnx.ops.sums import Sums, SumsNumPy


class Dense(Activations, Sums):
    """A dense layer in the plain form."""

    def dense_forward(
        self, x: Array, W: Array, b: Array, y: Array, kind: str = "identity", alpha: float = 0.0
    ) -> Array:
        """y = f(x W + b); W has shape (inputs, units), b (units,); `kind` names f, which is `from_output`."""
        y[...] = self.xp.matmul(x, W) + b
        return self.activation_forward(kind, y, y, alpha)

    def dense_backward(
        self, dy: Array, x: Array, W: Array, dW: Array, db: Array, dx: Array | None,
        kind: str = "identity", alpha: float = 0.0, y: Array | None = None, dz: Array | None = None,
    ) -> Array:  # fmt: skip
        """dz = dy ∘ f'; dW = xᵀ dz, db = Σ_rows dz, dx = dz Wᵀ.

        `dz` is an array for the activation's gradient, and may be `dy` itself. The identity needs neither
        `dz` nor `y`. ``dx=None`` skips this product (in the first layer nothing needs it).
        """
        if kind != "identity":
            dy = self.activation_backward(kind, dy, None, y, dz, alpha)
        dW[...] = self.xp.matmul(x.T, dy)
        db[...] = self._column_sums(dy)
        if dx is not None:
            dx[...] = self.xp.matmul(dy, W.T)
        return dW


class DenseNumPy(ActivationsNumPy, SumsNumPy, Dense):
    """A dense layer in place."""

    def dense_forward(
        self, x: Array, W: Array, b: Array, y: Array, kind: str = "identity", alpha: float = 0.0
    ) -> Array:
        """Write the product directly into y, then add the bias and apply f in place."""
        np.matmul(x, W, out=y)
        np.add(y, b, out=y)
        if kind != "identity":
            self.activation_forward(kind, y, y, alpha)
        return y

    def dense_backward(
        self, dy: Array, x: Array, W: Array, dW: Array, db: Array, dx: Array | None,
        kind: str = "identity", alpha: float = 0.0, y: Array | None = None, dz: Array | None = None,
    ) -> Array:  # fmt: skip
        """Write both products directly into their outputs."""
        if kind != "identity":
            dy = self.activation_backward(kind, dy, None, y, dz, alpha)
        db[...] = self._column_sums(dy)
        return self._products(x, W, dy, dW, dx)

    def _products(self, x: Array, W: Array, dz: Array, dW: Array, dx: Array | None) -> Array:
        np.matmul(x.T, dz, out=dW)
        if dx is not None:
            np.matmul(dz, W.T, out=dx)
        return dW


# y = f(product + b); bfloat16.py stores y in another form too, in an array {also}
BIAS_SOURCE = """
extern "C" __global__ void nnx_bias(
        const T* products, const T* b, T* ys{also}, long long rows, long long columns, T alpha) {{
    const long long size = rows * columns;
    const bool fours = columns % 4 == 0 && nnx_aligned(products) && nnx_aligned(b) && nnx_aligned(ys);
    NNX_PARTS_OF(size, part) {{
        nnx_four four = nnx_read(products, part, size, fours);
        const nnx_four biases = nnx_read_at<T>(
            [=](long long i) {{ return b + i % columns; }}, part, size, fours);
        NNX_FOUR(k) {{
            const T x = four.at[k] + biases.at[k];
            four.at[k] = {forward};
        }}
        nnx_store(ys, part, size, fours, four);
        {store}
    }}
}}
"""
BIAS = {
    kind: Raw(
        f"{kind}_bias",
        "nnx_bias",
        CUDA_FUNCTIONS + FOURS + BIAS_SOURCE.format(forward=activation.cuda_forward, also="", store=""),
    )
    for kind, activation in ACTIVATIONS.items()
    if activation.cuda_forward
}

# db = Σ_rows dz with dz = dy ∘ f' on the way. For the identity only db is written ({store} is empty). dz may
# be dy. bfloat16.py stores dz in another form: {stored} is the type.
BIAS_GRADIENT_SOURCE = """
extern "C" __global__ void NNX_OVER_COLUMNS nnx_bias_gradient(
        const T* dys, const T* ys, {stored}* dzs, T* db, T* parts, unsigned int* done, long long rows,
        long long columns, T alpha) {{
    const bool fours = columns % 4 == 0 && nnx_aligned(dys) && nnx_aligned(ys) && nnx_aligned(dzs)
        && nnx_aligned(db);
    T* const sums[1] = {{db}};
    nnx_columns(
        [=](long long row, long long part, nnx_four* found) {{
            const long long start = row * columns;
            const nnx_four slopes = nnx_read(dys + start, part, columns, fours);
            const nnx_four outputs = nnx_read(ys + start, part, columns, fours);
            NNX_FOUR(k) {{
                const T dy = slopes.at[k], y = outputs.at[k];
                found[0].at[k] = {gradient};
            }}
            {store}
        }},
        sums, parts, done, rows, columns, fours);
}}
"""

BIAS_GRADIENT = {
    kind: Raw(
        f"{kind}_bias_gradient",
        "nnx_bias_gradient",
        CUDA_FUNCTIONS
        + COLUMNS
        + BIAS_GRADIENT_SOURCE.format(
            gradient=activation.cuda_backward,
            stored="T",
            store="" if kind == "identity" else "nnx_store(dzs + start, part, columns, fours, found[0]);",
        ),
    )
    for kind, activation in ACTIVATIONS.items()
    if activation.cuda_backward and activation.from_output
}


class DenseCuPy(ActivationsCuPy, Dense):
    """A dense layer on the GPU: cuBLAS computes the products, and one kernel does the rest."""

    def dense_forward(
        self, x: Array, W: Array, b: Array, y: Array, kind: str = "identity", alpha: float = 0.0
    ) -> Array:
        """Use one launch of cuBLASLt, or two: the product goes into y, a kernel does the rest.

        An activation of whole rows (softmax) is one more launch.
        """
        of_elements = kind if kind in BIAS else "identity"
        with self._hold:
            if not self._biased_product(x, W, b, y, of_elements):
                self._product(x, W, y)
                arrays = (y, self.xp.ascontiguousarray(b), y)
                BIAS[of_elements].over_elements(y, arrays, y.dtype.type(alpha))
            return y if kind in BIAS else self.activation_forward(kind, y, y, alpha)

    def dense_backward(
        self, dy: Array, x: Array, W: Array, dW: Array, db: Array, dx: Array | None,
        kind: str = "identity", alpha: float = 0.0, y: Array | None = None, dz: Array | None = None,
    ) -> Array:  # fmt: skip
        """Use three launches: a kernel for dz and db, and two products; cuBLAS reads x and W transposed."""
        with self._hold:
            found = self._activation_and_bias_backward(dy, db, kind, alpha, y, dz)
            return self._weights_and_input_backward(found, x, W, dW, dx)

    def _activation_and_bias_backward(
        self, dy: Array, db: Array, kind: str, alpha: float, y: Array | None, dz: Array | None,
        kernels: Mapping[str, Raw] = BIAS_GRADIENT, into: Array | None = None,
    ) -> Array:  # fmt: skip
        """dz = dy ∘ f', db = Σ_rows dz; return dz. Other `kernels` store another form of dz, in `into`."""
        xp = self.xp
        if kind not in BIAS_GRADIENT:
            dy = self.activation_backward(kind, dy, None, y, dz, alpha)
            kind = "identity"
        dy = xp.ascontiguousarray(dy)
        ys, dzs = (dy, dy) if kind == "identity" else (xp.ascontiguousarray(y), dz)
        arrays = (dy, ys, dzs if into is None else into, db)
        kernels[kind].over_columns(self, dy, arrays, dy.dtype.type(alpha))
        return dzs

    def _weights_and_input_backward(
        self, dz: Array, x: Array, W: Array, dW: Array, dx: Array | None
    ) -> Array:
        """dW = xᵀ dz, dx = dz Wᵀ."""
        self._product(x.T, dz, dW)
        if dx is not None:
            self._product(dz, W.T, dx)
        return dW
