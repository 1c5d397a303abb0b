"""The preset `variational`: its ELBO is that of its network, and it draws new images."""

from __future__ import annotations

import numpy as np
import pytest

import nnx
from nnx.experiments import autoencoder

pytestmark = pytest.mark.usefixtures("on_cpu")


@pytest.fixture(scope="module")
def result():
    from nnx import datasets

    config = autoencoder.Config("variational", "digits", epochs=40, seed=0, device="cpu")
    return autoencoder.run(config, data=datasets.load_digits())


def test_the_loss_is_minus_the_elbo_of_a_pixel(result):
    found = result.metrics
    assert found["test_elbo"] == found["test_reconstruction_nats"] - found["test_kl"]
    assert found["test_kl"] > 1.0  # the code is used
    assert result.history["loss"][-1] * 64 == pytest.approx(-found["test_elbo"], rel=0.05)
    assert result.history["kl"][-1] * 64 == pytest.approx(found["test_kl"], rel=0.1)


def test_mean_codes_are_those_of_its_network(result):
    network = result.network
    assert isinstance(network.layers[network.encoder_length - 1], nnx.GaussianCode)
    assert result.arrays["codes"].shape[1] == 16
    assert result.metrics["test_mse"] < 0.06  # the mean image has 0.08


def test_the_divergence_of_each_number_adds_up_to_that_of_the_code(result):
    divergence, spread = result.arrays["code_kl"], result.arrays["code_spread"]
    assert divergence.shape == spread.shape == (16,)
    assert divergence.sum() == pytest.approx(result.metrics["test_kl"], rel=1e-12)
    means = result.arrays["codes"].astype(np.float64)  # all 360 test images
    np.testing.assert_allclose(spread, means.var(axis=0), rtol=1e-4)
    assert result.metrics["active_numbers"] == (spread > 0.01).sum()


def test_images_are_drawn_and_interpolated(result):
    from nnx import reports

    assert result.arrays["samples"].shape == (40, 64)
    between = result.arrays["interpolation"].reshape(4, 10, 64)
    ends = result.network.predict(result.arrays["originals"][:8]).reshape(4, 2, 64)
    np.testing.assert_allclose(between[:, [0, -1]], ends, atol=1e-5)
    drawn = autoencoder.figures(result, reports)
    assert {"samples", "interpolation"} <= drawn.keys()
    assert len(drawn["interpolation"].axes) == 40


def test_its_table_has_the_bound_and_others_have_not(result, shallow):
    texts = ["".join(str(table) for table in autoencoder.tables(one)) for one in (result, shallow)]
    assert ["ELBO" in text for text in texts] == [True, False]
