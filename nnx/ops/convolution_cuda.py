"""Convolution on the GPU; `nnx.ops.convolution` has the formulas."""

from __future__ import annotations

from nnx.ops.activations import ActivationsCuPy
from nnx.ops.base import Array
from nnx.ops.convolution import Buffer, Convolution
from nnx.ops.windows import Windows


class ConvolutionCuPy(ActivationsCuPy, Convolution):
    """Convolution on the GPU, in the plain form."""

    def convolution_forward(
        self, x: Array, W: Array, b: Array | None, y: Array, windows: Windows, groups: int, buffer: Buffer,
        kind: str = "identity", alpha: float = 0.0, factors: tuple[Array, ...] = (),
    ) -> Array:  # fmt: skip
        """Use the plain form."""
        with self._hold:
            return super().convolution_forward(x, W, b, y, windows, groups, buffer, kind, alpha, factors)

    def convolution_backward(
        self, dy: Array, x: Array, W: Array, dW: Array, db: Array | None, dx: Array | None, windows: Windows,
        groups: int, buffer: Buffer, kind: str = "identity", alpha: float = 0.0, y: Array | None = None,
        dz: Array | None = None, rounded_dz: Array | None = None,
    ) -> Array:  # fmt: skip
        """Use the plain form."""
        with self._hold:
            return super().convolution_backward(
                dy, x, W, dW, db, dx, windows, groups, buffer, kind, alpha, y, dz, rounded_dz
            )

    def transposed_convolution_forward(
        self, x: Array, W: Array, b: Array | None, y: Array, windows: Windows, buffer: Buffer,
        kind: str = "identity", alpha: float = 0.0, factors: tuple[Array, ...] = (),
    ) -> Array:  # fmt: skip
        """Use the plain form."""
        with self._hold:
            return super().transposed_convolution_forward(x, W, b, y, windows, buffer, kind, alpha, factors)

    def transposed_convolution_backward(
        self, dy: Array, x: Array, W: Array, dW: Array, db: Array | None, dx: Array | None, windows: Windows,
        buffer: Buffer, kind: str = "identity", alpha: float = 0.0, y: Array | None = None,
        dz: Array | None = None, rounded_dz: Array | None = None,
    ) -> Array:  # fmt: skip
        """Use the plain form."""
        with self._hold:
            return super().transposed_convolution_backward(
                dy, x, W, dW, db, dx, windows, buffer, kind, alpha, y, dz, rounded_dz
            )
