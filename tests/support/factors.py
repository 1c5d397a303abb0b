"""Networks in bfloat16 whose products get their factors from everything that there is."""

from __future__ import annotations

from typing import Any

import numpy as np

import nnx

X = np.random.default_rng(7).normal(size=(40, 6)).astype("f4")


class Own(nnx.Dense):
    """A dense layer with passes of its own: it neither reads nor writes rounded arrays."""

    def forward_into(self, x: Any, y: Any, workspace: Any) -> None:
        y[...] = workspace.backend.xp.matmul(x, self.W) + self.b

    def backward_into(self, dy: Any, dx: Any, workspace: Any) -> None:
        xp = workspace.backend.xp
        self.dW[...] = xp.matmul(workspace.x.T, dy)
        self.db[...] = xp.sum(dy, axis=0)
        if dx is not None:
            dx[...] = xp.matmul(dy, self.W.T)


def layers() -> list[nnx.Layer]:
    """Dense layers whose input comes from everything that a factor may come from."""
    first = nnx.Dense(8)
    return [
        first, nnx.ReLU(), nnx.Dense(6), nnx.Tanh(), nnx.Dense(8), nnx.TiedDense(first), nnx.LeakyReLU(),
        nnx.Reshape((3, 2)), nnx.Dense(4), nnx.Sigmoid(), nnx.Dense(2), nnx.Flatten(), nnx.Dense(7),
        nnx.GELU(), nnx.Dense(6), nnx.Dropout(0.2),
        nnx.Residual([nnx.Dense(5), nnx.ELU(), nnx.Dense(6)]), nnx.Dense(5), Own(6), nnx.Dense(6),
        nnx.Concatenate([[nnx.Dense(3), nnx.Dense(3)], [nnx.Dense(4)]]), nnx.Dense(6),
    ]  # fmt: skip
