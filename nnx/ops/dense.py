"""The fully connected layer: y = f(x W + b), and the gradients of W, b and x."""

from __future__ import annotations

from nnx.ops.activations import Activations
from nnx.ops.base import Array
from nnx.ops.sums import Sums


class Dense(Activations, Sums):
    """A dense layer in the plain form."""

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
