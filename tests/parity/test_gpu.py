"""Training on the GPU: it follows the CPU's training from the same seed, and its memory does not grow.

Also the script that measures a GPU, on a machine without one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.devices_here import shortened, without_gpu
from support.places import ROOT

import nnx
from nnx import datasets
from nnx.backends import Backend
from nnx.experiments import autoencoder, xor

# steps, and how far apart after them: after more, rounding alone drives float32 runs apart
RUNS = {"float64": (200, 1e-6), "float32": (50, 1e-3)}
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
@pytest.mark.parametrize("dtype", RUNS)
def test_a_run_follows_the_cpus_from_the_same_seed(gpu: Backend, dtype: str) -> None:
    steps, tolerance = RUNS[dtype]
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


def histories(run, dtype, **options):
    """The losses of both, and what else they measured."""
    results = [run(device=device, dtype=dtype, **options) for device in ("numpy", "gpu")]
    assert [result.device for result in results] == ["cpu", "gpu:0"]
    return results


def alike(results, tolerance, steps):
    cpu, gpu = results
    assert gpu.timing["steps"] >= steps
    np.testing.assert_allclose(gpu.history["loss"], cpu.history["loss"], rtol=tolerance)
    for name, value in cpu.metrics.items():
        if name.startswith(("loss", "test_")) and isinstance(value, float):
            assert gpu.metrics[name] == pytest.approx(value, rel=10 * tolerance), name


@pytest.mark.gpu
@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("dtype", RUNS)
@pytest.mark.parametrize("preset", xor.PRESETS)
def test_xor(preset, dtype):
    steps, tolerance = RUNS[dtype]
    alike(histories(lambda **o: xor.run(xor.Config(preset, epochs=steps, **o)), dtype), tolerance, steps)


@pytest.mark.gpu
@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("dtype", RUNS)
@pytest.mark.parametrize("preset", autoencoder.PRESETS)
def test_autoencoders_on_the_digits(preset, dtype):
    steps, tolerance = RUNS[dtype]
    digits = datasets.load_digits()
    epochs = -(-steps // (len(digits.x_train) // 32))

    def run(**options):
        return autoencoder.run(autoencoder.Config(preset, "digits", epochs=epochs, **options), data=digits)

    alike(histories(run, dtype), tolerance, steps)


@pytest.mark.gpu
@pytest.mark.usefixtures("gpu")
@pytest.mark.mnist
@pytest.mark.parametrize("dtype", RUNS)
def test_the_deep_autoencoder_on_mnist(mnist_directory, dtype):
    """An epoch of its first images."""
    steps, tolerance = RUNS[dtype]
    steps //= 10 if shortened("gpu") else 1
    data = datasets.load_mnist(mnist_directory, download=False)
    few = replace(data, x_train=data.x_train[: 256 * steps], y_train=data.y_train[: 256 * steps],
                  x_test=data.x_test[:500], y_test=data.y_test[:500])  # fmt: skip

    def run(**options):
        return autoencoder.run(autoencoder.Config("deep", "mnist", epochs=1, **options), data=few)

    alike(histories(run, dtype), tolerance, steps)


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
