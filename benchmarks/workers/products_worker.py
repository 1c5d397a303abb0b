"""Compute the matrix products of a step, ``matmul`` with ``out=``: forward, dW, dx (but for layer 1)."""

from __future__ import annotations

import numpy as np
from protocol import Gate, take_turns, weights


def main() -> None:
    """Multiply in turns."""
    gate = Gate()
    arrays, rows = gate.arrays(), gate.job["batch"]
    generator = np.random.default_rng(0)
    products = []
    x = arrays["x"][:rows]
    for position, (W, _) in enumerate(weights(arrays)):
        y = generator.standard_normal((rows, W.shape[1]), dtype=np.float32)
        products += [(x, W, y.copy()), (x.T, y, np.empty_like(W))]
        if position:
            products.append((y, W.T, np.empty_like(x)))
        x = y

    def turn(steps: int) -> None:
        for _ in range(steps):
            for a, b, out in products:
                np.matmul(a, b, out=out)

    take_turns(gate, turn, version=np.__version__, products=len(products))


if __name__ == "__main__":
    main()
