"""Layers that damage their input in training: how much, where, and that a run is reproducible."""

from __future__ import annotations

import numpy as np
import pytest
from support.resumed import KillAt, Killed, same

import nnx
from nnx.backends import Backend
from nnx.errors import ConfigurationError

pytestmark = pytest.mark.usefixtures("on_cpu")
X = np.random.default_rng(2).uniform(1.0, 2.0, (61, 6))
NOISES = [lambda: nnx.GaussianNoise(0.3), lambda: nnx.MaskNoise(0.3)]


def noisy(layer: nnx.Layer, x: np.ndarray, backend: Backend, training: bool = True) -> np.ndarray:
    layer.seed = 3
    layer.build(x.shape[1:], device=backend, dtype="float64")
    return backend.to_numpy(layer.forward(backend.asarray(x), training)).copy()


def test_gaussian_noise_has_its_deviation(backend: Backend) -> None:
    x = np.full((400, 50), 5.0)
    change = noisy(nnx.GaussianNoise(0.3), x, backend) - x
    assert change.std() == pytest.approx(0.3, rel=0.03)
    assert abs(change.mean()) < 5 * 0.3 / np.sqrt(change.size)


def test_a_mask_removes_its_share_and_scales_nothing(backend: Backend) -> None:
    x = np.random.default_rng(0).uniform(1.0, 2.0, (400, 50))
    y = noisy(nnx.MaskNoise(0.3), x, backend)
    assert np.mean(y == 0.0) == pytest.approx(0.3, abs=0.02)
    np.testing.assert_array_equal(y[y != 0.0], x[y != 0.0])


@pytest.mark.parametrize("make", NOISES)
def test_inference_changes_nothing(backend: Backend, make) -> None:
    np.testing.assert_array_equal(noisy(make(), X, backend, training=False), X)


@pytest.mark.parametrize("make", NOISES)
def test_every_training_pass_has_other_noise_on_rows_of_any_shape(backend: Backend, make) -> None:
    layer, x = make(), np.ones((5, 4, 3))
    first = noisy(layer, x, backend)
    again = backend.to_numpy(layer.forward(backend.asarray(x), training=True))
    assert first.shape == x.shape
    assert not np.array_equal(first, again)
    assert not np.array_equal(first[:, 0], first[:, 1])


def train(make, callbacks=(), **options):
    made = nnx.Network([make(), nnx.Dense(6, 4), nnx.Tanh(), nnx.Dense(6)], seed=3, device="numpy")
    history = made.fit(
        X, X, loss="mse", optimizer=nnx.Adam(0.01), epochs=3, batch_size=8, callbacks=callbacks, **options
    )
    return made, history


@pytest.mark.parametrize("make", NOISES)
def test_a_resumed_run_has_the_same_noise(make, tmp_path) -> None:
    whole = train(make)
    with pytest.raises(Killed):
        train(make, [KillAt(13)], checkpoint=nnx.Checkpoint(tmp_path, every=3))
    same(train(make, checkpoint=nnx.Checkpoint(tmp_path, every=3, resume=True)), whole)
    same(train(make), whole)


def test_the_targets_are_not_damaged() -> None:
    """A network that can only return its input has the loss of the noise."""
    network = nnx.Network([nnx.MaskNoise(0.25), nnx.Identity()], seed=1, device="numpy").build(6)
    history = network.fit(X, X, loss="mse", optimizer="sgd", batch_size=61)
    assert history["loss"][0] == pytest.approx(0.25 * np.mean(X**2), rel=0.3)
    assert network.evaluate(X, X, loss="mse")["loss"] == 0.0


def test_wrong_levels_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="GaussianNoise: stddev"):
        nnx.GaussianNoise(-0.1)
    with pytest.raises(ConfigurationError, match="MaskNoise: rate"):
        nnx.MaskNoise(1.0)
