"""Code that trains in a new process, or in this one, where the number of threads matters."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import nnx
from nnx.backends import threads

X = np.random.default_rng(0).random((64, 8), dtype=np.float32)


def fit(callbacks=(), device="numpy"):
    network = nnx.Network([nnx.Dense(8, 4), nnx.Tanh(), nnx.Dense(8)], seed=0, device=device)
    network.fit(
        X, X, loss=nnx.MeanSquaredError(), optimizer=nnx.Adam(), batch_size=16, callbacks=list(callbacks)
    )


def python(code: str, before: Sequence[str] = (), **variables: str) -> str:
    """Return what a new process prints; the command `before`, if any, starts it."""
    kept = {name: value for name, value in os.environ.items() if name not in threads.VARIABLES}
    path = os.pathsep.join([str(Path(nnx.__file__).parents[1]), kept.get("PYTHONPATH", "")])
    done = subprocess.run(
        [*before, sys.executable, "-c", code], env=kept | {"PYTHONPATH": path} | variables, text=True,
        timeout=100, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr
