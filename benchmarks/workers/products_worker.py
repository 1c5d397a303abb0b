"""Compute the matrix products of a step by one BLAS: forward, dW, and dx (but for layer 1)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import multiply
import numpy as np

from nnx.backends import resolve
from nnx.experiments.compare.protocol import Gate, Job, Line, Store, serve

LIBRARY = sys.argv[2]


def turns(line: Line, store: Store, job: Job) -> dict[str, Any]:
    """Multiply in turns."""
    gate = Gate(line)
    weights = [W for W, _ in store.weights(job)]
    products = multiply.of_step(job["batch_size"], [len(weights[0]), *(W.shape[1] for W in weights)])
    name, blas = multiply.chosen(LIBRARY)
    compute = multiply.by_address(blas.gemm[4], resolve("cpu").threads) if blas else multiply.by_numpy

    def turn(steps: int) -> None:
        for _ in range(steps):
            compute(products)

    turn(job["turn"])
    more = gate.open(loss=None, kernel=name)
    while more:
        turn(job["turn"])
        more = gate.stop(loss=None)
    return {}


if __name__ == "__main__":
    if fault := multiply.fault(LIBRARY):
        sys.exit(fault)
    serve(Path(sys.argv[1]), {"turns": turns}, {"versions": {"numpy": np.__version__}}, Line())
