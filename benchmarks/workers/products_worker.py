"""Compute the matrix products of a step, ``matmul`` with ``out=``: forward, dW, dx (but for layer 1)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from turns import blas

from nnx.experiments.compare.protocol import Gate, Job, Line, Store, serve


def turns(line: Line, store: Store, job: Job) -> dict[str, Any]:
    """Multiply in turns."""
    gate, rows = Gate(line), job["batch_size"]
    generator = np.random.default_rng(0)
    products = []
    x = store.array("x", "float32")[:rows]
    for position, (W, _) in enumerate(store.weights(job)):
        y = generator.standard_normal((rows, W.shape[1]), dtype=np.float32)
        products += [(x, W, y.copy()), (x.T, y, np.empty_like(W))]
        if position:
            products.append((y, W.T, np.empty_like(x)))
        x = y

    def turn(steps: int) -> None:
        for _ in range(steps):
            for a, b, out in products:
                np.matmul(a, b, out=out)

    turn(job["turn"])
    more = gate.open(loss=None, kernel=blas())
    while more:
        turn(job["turn"])
        more = gate.stop(loss=None)
    return {}


if __name__ == "__main__":
    serve(Path(sys.argv[1]), {"turns": turns}, {"versions": {"numpy": np.__version__}}, Line())
