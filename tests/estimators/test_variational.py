"""A variational autoencoder bounds the likelihood of its rows, draws rows like them, and goes between two."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import multivariate_normal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from support.estimated import DIGITS

import nnx
from nnx.errors import ConfigurationError, DataError
from nnx.estimators import VariationalAutoencoder
from nnx.estimators.variational import BernoulliNats, GaussianNats

pytestmark = pytest.mark.usefixtures("on_cpu")

BINARY = (np.random.default_rng(0).random(DIGITS.shape) < DIGITS).astype(np.float64)
MODEL = VariationalAutoencoder(
    4, 30, loss="binary_cross_entropy", epochs=5, learning_rate=0.01, random_state=0
)
LINEAR = VariationalAutoencoder(1, (), deviation=0.5, epochs=400, learning_rate=0.01, random_state=0)


@pytest.fixture(scope="module")
def fitted() -> VariationalAutoencoder:
    return clone(MODEL).fit(BINARY)


def test_the_bound_of_a_linear_model_is_the_likelihood_of_probabilistic_pca():
    """Encoder and decoder are linear and the noise is normal: the best ELBO is the likelihood itself."""
    random = np.random.default_rng(0)
    weights = np.array([[1.0, -2.0, 0.5]])
    x = random.normal(size=(1000, 1)) @ weights + 0.5 * random.normal(size=(1000, 3))
    exact = multivariate_normal(np.zeros(3), weights.T @ weights + 0.25 * np.eye(3)).logpdf(x).mean()
    bound = clone(LINEAR).fit(x).elbo(x, draws=20)["elbo"]
    assert exact - 0.05 < bound < exact + 0.02  # above: it was fitted to these rows


@pytest.mark.parametrize("draws", [1, 3])
def test_the_parts_are_what_the_network_gives(fitted, draws):
    found = fitted.elbo(BINARY[:50], draws=draws, random_state=1)
    network, length = fitted.network_, fitted.network_.encoder_length
    mean, log_variance = np.split(network[: length - 1].predict(BINARY[:50]), 2, axis=1)
    random, likelihood = np.random.RandomState(1), 0.0
    for _ in range(draws):
        z = mean + np.exp(0.5 * log_variance) * random.standard_normal(mean.shape)
        p = network[length:].predict(z)
        likelihood += np.sum(BINARY[:50] * np.log(p) + (1 - BINARY[:50]) * np.log(1 - p), axis=1).mean()
    kl = 0.5 * np.sum(mean**2 + np.exp(log_variance) - 1 - log_variance, axis=1).mean()
    assert found["reconstruction"] == pytest.approx(likelihood / draws)
    assert found["kl"] == pytest.approx(kl)
    assert found["elbo"] == pytest.approx(found["reconstruction"] - found["kl"])


def test_curves_are_in_nats_and_agree_with_the_bound(fitted):
    model = clone(MODEL).set_params(epochs=30).fit(BINARY)
    found = model.elbo(BINARY, draws=3)
    assert len(model.kl_curve_) == len(model.loss_curve_) == 30
    assert model.loss_curve_[-1] == pytest.approx(-found["elbo"], abs=0.3)
    assert model.kl_curve_[-1] == pytest.approx(found["kl"], abs=0.3)
    assert model.score(BINARY) == pytest.approx(found["elbo"], abs=0.2)
    assert found["elbo"] > fitted.score(BINARY) + 1.0  # more epochs, a better bound


def test_more_weight_gives_less_divergence():
    kls = [clone(MODEL).set_params(beta=beta).fit(BINARY).elbo(BINARY)["kl"] for beta in (0.1, 1.0, 10.0)]
    assert kls[0] > kls[1] > kls[2]


def test_samples_are_like_the_data(fitted):
    model = clone(MODEL).set_params(epochs=30).fit(BINARY)
    rows = model.sample(2000, random_state=1)
    assert rows.shape == (2000, 64)
    assert 0.0 <= rows.min() <= rows.max() <= 1.0
    assert np.abs(rows.mean(axis=0) - BINARY.mean(axis=0)).mean() < 0.05
    assert np.corrcoef(rows.std(axis=0), DIGITS.std(axis=0))[0, 1] > 0.8
    np.testing.assert_array_equal(model.sample(2), model.sample(2))
    assert not np.array_equal(model.sample(2), model.sample(2, random_state=1))


def test_interpolation_begins_and_ends_with_the_reconstructions(fitted):
    rows = fitted.interpolate(BINARY[0], BINARY[1], steps=7)
    assert rows.shape == (7, 64)
    ends = fitted.inverse_transform(fitted.transform(BINARY[:2]))
    np.testing.assert_allclose(rows[[0, -1]], ends, rtol=1e-9)
    middle = fitted.inverse_transform(fitted.transform(BINARY[:2]).mean(axis=0, keepdims=True))
    np.testing.assert_allclose(rows[3:4], middle, rtol=1e-9)
    with pytest.raises(DataError, match=r"end must be a row of shape \(64,\), not \(2, 64\)"):
        fitted.interpolate(BINARY[0], BINARY[:2])


def test_codes_are_means_and_have_names(fitted):
    codes = fitted.transform(BINARY[:3])
    np.testing.assert_array_equal(codes, fitted.transform(BINARY[:3]))
    assert codes.shape == (3, 4)
    assert fitted.get_feature_names_out()[0] == "variationalautoencoder0"


def test_sparse_rows_give_what_dense_rows_give(fitted):
    model = clone(MODEL).fit(sparse.csr_array(BINARY))
    assert model.elbo(sparse.csr_array(BINARY)) == pytest.approx(fitted.elbo(BINARY))


def test_images_give_images(fitted):
    images = clone(MODEL).fit(BINARY.reshape(-1, 8, 8))
    assert images.score(BINARY.reshape(-1, 8, 8)) == pytest.approx(fitted.score(BINARY), abs=0.5)
    assert images.sample(2).shape == (2, 8, 8)
    assert images.interpolate(BINARY[0].reshape(8, 8), BINARY[1].reshape(8, 8), 3).shape == (3, 8, 8)


def test_weights_count_rows(fitted):
    weights = np.zeros(len(BINARY))
    weights[:50] = 2.0
    assert fitted.elbo(BINARY, sample_weight=weights) == pytest.approx(fitted.elbo(BINARY[:50]), abs=2.0)
    kl = fitted.elbo(BINARY, sample_weight=weights)["kl"]
    assert kl == pytest.approx(fitted.elbo(BINARY[:50])["kl"])


def test_a_search_chooses_by_the_bound():
    search = GridSearchCV(clone(MODEL), {"n_components": [1, 8]}, cv=2).fit(BINARY[:400])
    assert search.best_params_ in ({"n_components": 1}, {"n_components": 8})
    assert search.cv_results_["mean_test_score"].max() == search.best_score_ < 0.0


def test_a_second_fit_extends_the_curves_only_with_warm_start():
    model = clone(MODEL).set_params(epochs=2, warm_start=True).fit(BINARY)
    assert len(model.fit(BINARY).kl_curve_) == 4
    model.partial_fit(BINARY)
    assert len(model.kl_curve_) == len(model.loss_curve_) == 5
    with pytest.raises(ConfigurationError, match=r"beta=3\.0"):
        model.set_params(beta=3.0).fit(BINARY)
    assert len(model.set_params(warm_start=False).fit(BINARY).kl_curve_) == 2


@pytest.mark.parametrize("loss", [BernoulliNats(), GaussianNats(0.3)])
def test_gradients_of_the_likelihoods(loss):
    assert nnx.gradcheck.check(loss, 4, rows=5).passed
    y, p = np.random.default_rng(0).uniform(0.1, 0.9, (2, 5, 4))
    output = np.log(p / (1.0 - p)) if isinstance(loss, BernoulliNats) else p
    assert float(loss(y, p)) == pytest.approx(-loss.log_likelihood(y, output).mean())


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"beta": -1.0}, "beta"),
        ({"deviation": 0.0}, "deviation"),
        ({"loss": "huber"}, "unknown loss 'huber'"),
        ({"loss": nnx.MeanSquaredError()}, "unknown loss"),
    ],
)
def test_wrong_parameters_are_refused(options, named):
    with pytest.raises(ConfigurationError, match=named):
        clone(MODEL).set_params(**options).fit(BINARY)


def test_a_cross_entropy_needs_numbers_from_0_to_1():
    with pytest.raises(DataError, match=r"targets must lie in \[0, 1\]"):
        clone(MODEL).fit(BINARY * 2.0)
