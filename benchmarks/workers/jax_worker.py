"""Run JAX in turns. VARIANT is ``step`` (jitted, donated buffers) or ``loop`` (all steps in one program)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from turns import InTurns, main

from nnx.experiments.compare.workers import jax_worker


class Jax(InTurns, jax_worker.Jax):
    """Functions over a tree of parameters, compiled by XLA."""

    def run(self, rows: Sequence[Any]) -> list[Any]:
        """Run all steps as one program, for the variant ``loop``."""
        if self.variant != "loop":
            return super().run(rows)
        self.state, loss = self.loop(self.state, self.x, self.y, len(rows))
        return [loss]

    @partial(jax.jit, static_argnums=0, donate_argnums=1)
    def loop(self, state: Any, x: Any, y: Any, steps: int) -> Any:
        """Take so many steps on all rows."""
        first = (state, jnp.zeros((), self.job["dtype"]))
        target = x if y is None else y
        return jax.lax.fori_loop(0, steps, lambda _, carry: self.update(carry[0], x, target), first)

    def kernel(self) -> str:
        """Name the matrix library."""
        return "XLA's own"


if __name__ == "__main__":
    main(Jax, jax_worker.about())
