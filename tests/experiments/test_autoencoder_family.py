"""The presets denoising, sparse, contractive and tied: each measures what it is for."""

from __future__ import annotations

import numpy as np
import pytest

from nnx.experiments import autoencoder
from nnx.experiments.autoencoder_family import METRICS, measured

pytestmark = pytest.mark.usefixtures("device")
EXPECTED = {
    "denoising": {"damaged_mse", "denoised_mse"},
    "sparse": {"active_share"},
    "contractive": {"jacobian_norm"},
    "tied": set(),
    "deep": set(),
}


@pytest.mark.parametrize("preset", EXPECTED)
def test_each_preset_trains_and_measures_its_purpose(preset, digits):
    result = autoencoder.run(autoencoder.Config(preset, "digits", epochs=3), data=digits)
    assert {name for name in METRICS if name in result.metrics} == EXPECTED[preset]
    assert np.isfinite([result.metrics[name] for name in ("test_mse", *EXPECTED[preset])]).all()
    assert result.history["loss"][-1] < result.history["loss"][0]
    terms = {"sparse": {"sparsity"}, "contractive": {"contraction"}}.get(preset, set())
    assert set(result.history.metrics) == {"loss", "val_loss", *terms, *(f"val_{name}" for name in terms)}
    (table,) = autoencoder.tables(result)
    assert len(table.rows) == 4 + len(EXPECTED[preset])
    if preset == "denoising":
        assert result.metrics["damaged_mse"] > 0.01


def test_the_norm_of_the_jacobian_is_that_of_differences(digits):
    config = autoencoder.Config("contractive", "digits", dtype="float64")
    network = autoencoder.build(config, digits.features)
    x = digits.x_test[:20].astype(np.float64)
    encoder, total = network[: network.encoder_length], 0.0
    for pixel in range(x.shape[1]):
        step = np.zeros(x.shape[1])
        step[pixel] = 1e-5
        total += np.mean(
            np.sum(((encoder.predict(x + step) - encoder.predict(x - step)) / 2e-5) ** 2, axis=1)
        )
    assert measured(network, x, encoder.predict(x))["jacobian_norm"] == pytest.approx(total, rel=1e-6)
