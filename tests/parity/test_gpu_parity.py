"""A GPU and the CPU train alike from one seed: every preset of every experiment, also on real MNIST."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.devices_here import shortened

from nnx import datasets
from nnx.experiments import autoencoder, xor

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("gpu")]

# steps, and how far the losses may be apart: after more, rounding alone drives float32 runs apart
RUNS = {"float64": (200, 1e-6), "float32": (50, 1e-3)}


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


@pytest.mark.parametrize("dtype", RUNS)
@pytest.mark.parametrize("preset", xor.PRESETS)
def test_xor(preset, dtype):
    steps, tolerance = RUNS[dtype]
    alike(histories(lambda **o: xor.run(xor.Config(preset, epochs=steps, **o)), dtype), tolerance, steps)


@pytest.mark.parametrize("dtype", RUNS)
@pytest.mark.parametrize("preset", autoencoder.PRESETS)
def test_autoencoders_on_the_digits(preset, dtype):
    steps, tolerance = RUNS[dtype]
    digits = datasets.load_digits()
    epochs = -(-steps // (len(digits.x_train) // 32))

    def run(**options):
        return autoencoder.run(autoencoder.Config(preset, "digits", epochs=epochs, **options), data=digits)

    alike(histories(run, dtype), tolerance, steps)


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
