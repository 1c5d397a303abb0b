"""Training on the GPU: it follows the CPU's training from the same seed, and its memory does not grow.

Also the script that measures a GPU, on a machine without one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.devices_here import without_gpu
from support.places import ROOT

import nnx
from nnx.backends import Backend

TOLERANCES = {"float64": (200, 1e-6), "float32": (50, 1e-3)}  # steps, and how far apart after them
BATCH = 32
SCRIPT = ROOT / "benchmarks" / "gpu.sh"


def network(device: str, dtype: str) -> nnx.Network:
    """Of every kind of layer whose kernels differ: fused and not, random and of a batch's statistics."""
    layers = [
        nnx.Dense(64, 48), nnx.BatchNorm(), nnx.ReLU(), nnx.Dropout(0.2), nnx.Dense(16), nnx.Tanh(),
        nnx.Dense(48), nnx.LayerNorm(), nnx.GELU(), nnx.Dense(64), nnx.Sigmoid(),
    ]  # fmt: skip
    return nnx.Network(layers, device=device, dtype=dtype, seed=3)


def trained(device: str, dtype: str, steps: int) -> tuple[list[float], dict[str, np.ndarray]]:
    """The loss of each epoch of ten steps, and the weights in the end."""
    x = np.random.default_rng(1).uniform(size=(10 * BATCH, 64)).astype(dtype)
    net = network(device, dtype)
    history = net.fit(x, x, loss=nnx.BinaryCrossEntropy(), optimizer=nnx.Adam(1e-3), batch_size=BATCH,
                      epochs=steps // 10)  # fmt: skip
    assert history.steps == steps
    return history["loss"], net.weights()


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_a_run_follows_the_cpus_from_the_same_seed(gpu: Backend, dtype: str) -> None:
    steps, tolerance = TOLERANCES[dtype]
    losses, weights = trained(gpu.device, dtype, steps)
    expected, reference = trained("numpy", dtype, steps)
    np.testing.assert_allclose(losses, expected, rtol=tolerance)
    for name, value in reference.items():
        difference = np.linalg.norm(weights[name] - value) / max(np.linalg.norm(value), 1.0)
        assert difference < tolerance, name


@pytest.mark.gpu
def test_memory_does_not_grow_in_a_thousand_steps(gpu: Backend) -> None:
    x = np.random.default_rng(1).uniform(size=(10 * BATCH, 64)).astype("float32")
    reserved = []

    class Reserved(nnx.Callback):
        def on_epoch_end(self, run: nnx.callbacks.Run) -> None:
            reserved.append(gpu.memory()["pool_total"])

    network(gpu.device, "float32").fit(
        x, x, loss=nnx.BinaryCrossEntropy(), optimizer=nnx.Adam(1e-3), batch_size=BATCH, epochs=100,
        callbacks=[Reserved()],
    )  # fmt: skip
    assert len(reserved) == 100
    assert set(reserved[1:]) == {reserved[1]}  # the first epoch makes the workspaces


@without_gpu
def test_without_a_gpu_the_benchmark_says_so_in_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(SCRIPT)], cwd=tmp_path, env=os.environ | {"PYTHON": sys.executable},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: no GPU to measure: ")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
