"""Outliers have the largest errors, the threshold is where it should be, and shares name the odd feature."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler
from support.estimated import DIGITS, X

import nnx
from nnx.errors import ConfigurationError
from nnx.estimators import AutoencoderOutlier
from nnx.estimators.outlier import threshold

pytestmark = pytest.mark.usefixtures("on_cpu")

MIXED = np.vstack([X, [[4.0, -4.0, 4.0, -4.0], [-4.0, 4.0, -4.0, 4.0]]])
DETECTOR = AutoencoderOutlier(2, 10, epochs=100, learning_rate=0.01, random_state=0, contamination=0.05)


def fitted(x=MIXED, **options):
    return AutoencoderOutlier(**DETECTOR.get_params() | options).fit(x)


def test_rows_that_are_unlike_the_others_have_the_lowest_scores():
    model = fitted()
    assert set(np.argsort(model.score_samples(MIXED))[:2]) == {150, 151}
    assert model.predict(MIXED)[-2:].tolist() == [-1, -1]


def test_a_digit_that_is_rare_in_training_is_found():
    labels = load_digits().target
    rows = np.concatenate([np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)[:10]])
    scores = AutoencoderOutlier(epochs=100, random_state=0).fit(DIGITS[rows]).score_samples(DIGITS[rows])
    assert roc_auc_score(labels[rows] == 0, -scores) > 0.95


def test_without_hidden_layers_the_errors_are_those_of_pca():
    z = StandardScaler().fit_transform(X)
    pca = PCA(2).fit(z)
    exact = ((z - pca.inverse_transform(pca.transform(z))) ** 2).mean(axis=1)
    model = fitted(X, hidden_layer_sizes=(), loss="squared_error", epochs=1500)
    np.testing.assert_allclose(-model.score_samples(X), exact, atol=0.01)


def test_scores_decisions_and_predictions_agree():
    model = fitted()
    scores = model.score_samples(MIXED)
    z = model.scaler_.transform(MIXED)
    np.testing.assert_allclose(-scores, np.mean((z - model.network_.predict(z)) ** 2, axis=1), rtol=1e-12)
    np.testing.assert_allclose(model.decision_function(MIXED), scores - model.offset_)
    np.testing.assert_array_equal(model.predict(MIXED), np.where(scores < model.offset_, -1, 1))
    np.testing.assert_array_equal(fitted().fit_predict(MIXED), model.predict(MIXED))


@pytest.mark.parametrize("share", [0.01, 0.07, 0.1, 0.25, 0.5])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_contamination_is_the_share_of_outliers_in_training(share, precision):
    x = np.random.default_rng(0).normal(size=(100, 5))
    model = fitted(x, contamination=share, precision=precision, epochs=5)
    assert np.sum(model.predict(x) == -1) == round(100 * share)
    assert np.sum(model.predict(x[:50]) == -1) + np.sum(model.predict(x[50:]) == -1) == round(100 * share)


def test_the_threshold_counts_weights():
    errors, weights = np.array([5.0, 1.0, 4.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0, 1.0, 3.0])
    assert threshold(errors, weights, 0.1) == 4.5  # one of ten
    assert threshold(errors, weights, 0.39) == 4.5  # the next row would make four of ten
    assert threshold(errors, weights, 0.4) == 3.5
    assert threshold(errors, weights, 0.05) == 5.0  # no row may be above
    repeated = np.repeat(errors, weights.astype(int))
    for share in (0.1, 0.39, 0.4, "auto"):
        assert threshold(repeated, None, share) == threshold(errors, weights, share)


def test_the_automatic_threshold_is_tukey_s_outer_fence():
    errors = np.arange(100.0)
    assert threshold(errors, None, "auto") == 74.0 + 3.0 * (74.0 - 24.0)
    model = fitted(contamination="auto")
    assert model.offset_ == -threshold(-model.score_samples(MIXED), None, "auto")


def test_equal_errors_give_no_outliers():
    constant = np.ones((20, 3))
    for share in (0.2, "auto"):
        assert fitted(constant, contamination=share).predict(constant).tolist() == [1] * 20


def test_the_largest_share_of_an_error_is_the_odd_feature_s():
    model = fitted(X)
    odd = X[:20].copy()
    odd[:, 2] += 8.0
    shares = model.error_shares(odd)
    assert shares.shape == odd.shape
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    assert shares.min() >= 0.0
    assert (shares.argmax(axis=1) == 2).mean() > 0.8
    z = model.scaler_.transform(odd)
    squares = (z - model.network_.predict(z)) ** 2
    np.testing.assert_allclose(shares, squares / squares.sum(axis=1, keepdims=True))


def test_a_row_without_error_has_no_shares():
    constant = np.full((20, 3), 2.0)
    model = fitted(constant, epochs=1)
    for layer in model.network_.layers:
        for _, value, _ in layer.named_parameters():
            value[...] = 0.0
    assert not model.error_shares(constant).any()


def test_the_scale_of_a_feature_does_not_matter():
    factors = np.array([1e-3, 1.0, 10.0, 1e4])
    scaled = MIXED * factors + 7.0
    np.testing.assert_allclose(fitted(scaled).score_samples(scaled), fitted().score_samples(MIXED), rtol=1e-4)
    assert fitted(standardize=False).scaler_ is None


def test_fit_leaves_the_data_unchanged():
    for standardize in (True, False):
        x = MIXED.copy()
        fitted(x, standardize=standardize).error_shares(x)
        np.testing.assert_array_equal(x, MIXED)


def test_images_and_sparse_rows_give_the_scores_of_flat_rows():
    flat = fitted(DIGITS, epochs=2)
    images = fitted(DIGITS.reshape(-1, 8, 8), epochs=2)
    scores = flat.score_samples(DIGITS)
    np.testing.assert_allclose(images.score_samples(DIGITS.reshape(-1, 8, 8)), scores)
    assert images.error_shares(DIGITS.reshape(-1, 8, 8)).shape == (len(DIGITS), 8, 8)
    np.testing.assert_allclose(fitted(sparse.csr_array(DIGITS), epochs=2).score_samples(DIGITS), scores)
    np.testing.assert_allclose(flat.score_samples(sparse.csr_array(DIGITS)), scores)


def test_a_second_fit_keeps_the_scaling_with_warm_start():
    model = fitted(warm_start=True, epochs=3)
    scaling = model.scaler_
    model.fit(MIXED + 1.0)
    assert model.scaler_ is scaling
    assert model.n_iter_ == 6
    model.set_params(warm_start=False).fit(MIXED + 1.0)
    assert model.scaler_ is not scaling


def test_validation_data_are_scaled_like_the_rows():
    model = AutoencoderOutlier(2, 10, epochs=20, random_state=0).fit(MIXED * 100.0, X_val=X * 100.0)
    z = model.scaler_.transform(X * 100.0)
    expected = model.network_.evaluate(z, z, loss="huber")["loss"]
    assert model.validation_loss_curve_[-1] == pytest.approx(expected)


def test_rows_of_weight_zero_change_nothing():
    weights = np.r_[np.ones(150), 0.0, 0.0]
    model = AutoencoderOutlier(2, 10, epochs=20, random_state=0).fit(MIXED, sample_weight=weights)
    alone = AutoencoderOutlier(2, 10, epochs=20, random_state=0).fit(X)
    assert model.offset_ == pytest.approx(alone.offset_)
    np.testing.assert_allclose(model.score_samples(MIXED), alone.score_samples(MIXED))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"contamination": 0.0}, r"contamination must lie in \(0, 0.5\]"),
        ({"contamination": 0.51}, r"contamination must lie in \(0, 0.5\]"),
        ({"contamination": "all"}, "contamination must be 'auto' or a number"),
        ({"standardize": "yes"}, "standardize must be True or False"),
        ({"loss": "binary_cross_entropy"}, "set standardize=False"),
        ({"loss": nnx.BinaryCrossEntropy()}, "set standardize=False"),
    ],
)
def test_wrong_parameters_are_refused(options, named):
    with pytest.raises(ConfigurationError, match=named):
        fitted(**options)
