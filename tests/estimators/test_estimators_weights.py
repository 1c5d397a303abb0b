"""Weights in the estimators: k counts as k equal rows, 0 as a missing row; what a second fit keeps."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_iris, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, r2_score
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight

import nnx
from nnx.estimators import Autoencoder, NetworkClassifier, NetworkRegressor

pytestmark = pytest.mark.usefixtures("on_cpu")

RNG = np.random.default_rng(4)
X, Y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)
COUNTS = RNG.integers(0, 4, len(X))
TOGETHER = make_multilabel_classification(150, 4, n_classes=3, random_state=0)[1]

# one batch holds all rows, so that the order of rows does not matter
ONE_BATCH = {
    "hidden_layer_sizes": 5,
    "learning_rate": 0.02,
    "epochs": 15,
    "batch_size": 1000,
    "random_state": 0,
}
CLASSIFIER, REGRESSOR = NetworkClassifier(**ONE_BATCH), NetworkRegressor(**ONE_BATCH)
AUTOENCODER = Autoencoder(2, **ONE_BATCH)


def outputs(model):
    for name in ("predict_proba", "transform", "predict"):
        if hasattr(model, name):
            return getattr(model, name)(X)
    raise AssertionError


CASES = {
    "classes": (CLASSIFIER, Y),
    "balanced classes": (clone(CLASSIFIER).set_params(class_weight="balanced"), Y),
    "classes with factors": (clone(CLASSIFIER).set_params(class_weight={0: 1.0, 1: 3.0, 2: 0.5}), Y),
    "two classes, balanced": (clone(CLASSIFIER).set_params(class_weight="balanced"), (Y == 1).astype(int)),
    "labels that come together": (CLASSIFIER, TOGETHER),
    "such labels, balanced": (clone(CLASSIFIER).set_params(class_weight="balanced"), TOGETHER),
    "numbers": (REGRESSOR, X @ np.ones((4, 2))),
    "an autoencoder": (AUTOENCODER, None),
}


@pytest.mark.parametrize("case", CASES)
def test_a_weight_is_so_many_rows_and_a_weight_of_0_none(case):
    model, y = CASES[case]
    rows = np.repeat(np.arange(len(X)), COUNTS)
    weighted = clone(model).fit(X, y, sample_weight=COUNTS)
    repeated = clone(model).fit(X[rows], None if y is None else y[rows])
    np.testing.assert_allclose(outputs(weighted), outputs(repeated), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(weighted.loss_curve_, repeated.loss_curve_, rtol=1e-9)


@pytest.mark.parametrize("stops", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_rows_of_weight_0_change_nothing_in_batches_of_any_size_and_with_early_stopping(case, stops):
    model, y = CASES[case]
    model = clone(model).set_params(batch_size=16, early_stopping=stops, patience=50, validation_fraction=0.2)
    rows = np.flatnonzero(COUNTS)
    with_zeros = clone(model).set_params(epochs=3)
    without = clone(with_zeros)
    for one, which in ((with_zeros, slice(None)), (without, rows)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the epochs end before the loss is least
            one.fit(X[which], None if y is None else y[which], sample_weight=COUNTS[which])
    np.testing.assert_array_equal(outputs(with_zeros), outputs(without))
    assert with_zeros.validation_loss_curve_ == without.validation_loss_curve_


def test_a_class_that_has_only_rows_of_weight_0_is_no_class():
    weights = np.where(Y == 2, 0.0, 1.0)
    model = clone(CLASSIFIER).fit(X, Y, sample_weight=weights)
    assert model.classes_.tolist() == [0, 1]
    assert model.predict_proba(X).shape == (150, 2)
    fewer = clone(CLASSIFIER).fit(sparse.csr_matrix(X), Y, sample_weight=weights)
    np.testing.assert_allclose(outputs(fewer), outputs(model), rtol=1e-12)
    later = clone(CLASSIFIER).partial_fit(X, Y, classes=[0, 1, 2], sample_weight=weights)
    assert later.classes_.tolist() == [0, 1, 2]


def test_a_class_of_factor_0_stays_a_class_that_is_not_trained_on():
    without = np.flatnonzero(Y != 2)
    model = clone(CLASSIFIER).set_params(class_weight={2: 0.0}, batch_size=16).fit(X, Y)
    other = clone(CLASSIFIER).set_params(batch_size=16).partial_fit(X[without], Y[without], classes=[0, 1, 2])
    for _ in range(14):
        other.partial_fit(X[without], Y[without])
    np.testing.assert_allclose(outputs(model), outputs(other), rtol=1e-9)


def test_balanced_factors_are_scikit_learns():
    """scikit-learn counts rows in `compute_class_weight` before version 1.7: repeated rows say the same."""
    few = np.r_[0:50, 50:60, 100:130]
    factors = compute_class_weight("balanced", classes=np.arange(3), y=Y[few])
    by_name = clone(CLASSIFIER).set_params(class_weight="balanced").fit(X[few], Y[few])
    by_hand = clone(CLASSIFIER).set_params(class_weight=dict(enumerate(factors))).fit(X[few], Y[few])
    np.testing.assert_allclose(outputs(by_name), outputs(by_hand), rtol=1e-12)
    product = compute_sample_weight("balanced", TOGETHER)
    together = clone(CLASSIFIER).set_params(class_weight="balanced").fit(X, TOGETHER)
    weighted = clone(CLASSIFIER).fit(X, TOGETHER, sample_weight=product)
    np.testing.assert_allclose(outputs(together), outputs(weighted), rtol=1e-12)
    listed = [{0: 1.0, 1: 2.0}, {0: 1.0, 1: 1.0}, {0: 3.0, 1: 1.0}]
    together = clone(CLASSIFIER).set_params(class_weight=listed).fit(X, TOGETHER)
    weights = np.where(TOGETHER[:, 0], 2.0, 1.0) * np.where(TOGETHER[:, 2], 1.0, 3.0)
    weighted = clone(CLASSIFIER).fit(X, TOGETHER, sample_weight=weights)
    np.testing.assert_allclose(outputs(together), outputs(weighted), rtol=1e-12)


def test_balanced_with_weights_is_scikit_learns_logistic_regression():
    x = RNG.normal(size=(60, 2))
    y = (np.arange(60) >= 50).astype(int)
    w = np.where(y == 1, 4, 1)
    model = NetworkClassifier((), optimizer=nnx.SGD(1.0), epochs=1500, batch_size=60, class_weight="balanced",
                              random_state=0).fit(x, y, w)  # fmt: skip
    rows = np.repeat(np.arange(60), w)
    exact = LogisticRegression(C=1e10, class_weight="balanced", tol=1e-10, max_iter=9999).fit(
        x[rows], y[rows]
    )
    np.testing.assert_allclose(model.network_[0].W.ravel(), exact.coef_.ravel(), rtol=1e-5)
    np.testing.assert_allclose(model.network_[0].b, exact.intercept_, rtol=1e-4)


def test_scores_count_weights():
    model = clone(CLASSIFIER).set_params(epochs=2).fit(X, Y)
    assert model.score(X, Y, COUNTS) == accuracy_score(Y, model.predict(X), sample_weight=COUNTS)
    numbers = X @ np.ones((4, 1))
    regressor = clone(REGRESSOR).fit(X, numbers)
    assert regressor.score(X, numbers, COUNTS) == r2_score(
        numbers, regressor.predict(X), sample_weight=COUNTS
    )
    coder = clone(AUTOENCODER).fit(X)
    rows = np.repeat(np.arange(len(X)), COUNTS)
    assert coder.score(X, sample_weight=COUNTS) == pytest.approx(coder.score(X[rows]), rel=1e-12)


@pytest.mark.parametrize("weights", [np.zeros(150), -np.ones(150), np.r_[-1.0, np.ones(149)]])
def test_weights_that_are_none_are_refused(weights):
    for model, y in CASES.values():
        with pytest.raises(ValueError, match=r"must not hold negative|at least one non-zero"):
            clone(model).fit(X, y, sample_weight=weights)


# ---------------------------------------------------------------- what a second fit may not change


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (
            (X, Y, [0, 1, 2]),
            (X, Y, [0, 1, 2, 3]),
            r"classes=\[0, 1, 2, 3\] is not the same as before, which was \[0, 1",
        ),
        ((X, Y, [0, 1, 2]), (X, Y, [0, 1]), r"classes=\[0, 1\] is not the same as before"),
        ((X, Y, None), (X, Y + 1, None), r"y contains unseen labels \[3\].*\[0, 1, 2\]"),
        ((X, Y, [0, 1]), None, r"y contains unseen labels \[2\].*\[0, 1\]"),
        (
            (X, Y, None),
            (X[:, :3], Y, None),
            "X has 3 features, but NetworkClassifier is expecting 4 features",
        ),
        (
            (X, TOGETHER, None),
            (X, TOGETHER[:, :2], None),
            "y has 2 labels, but NetworkClassifier is expecting 3",
        ),
        ((X, TOGETHER, None), (X, TOGETHER, [0, 1]), r"classes=\[0, 1\] is not the same"),
        ((X, TOGETHER, None), (X, Y, None), r"y of shape \(\d+,\)"),
    ],
)
def test_partial_fit_refuses_other_classes_labels_and_features(first, second, words):
    model = clone(CLASSIFIER)
    calls = [(x, y, classes) for x, y, classes in (first, second) if x is not None] if second else [first]
    if second:
        model.partial_fit(*calls[0])
        before = model.network_.weights()
    with pytest.raises(ValueError, match=words):
        model.partial_fit(*calls[-1])
    if second:
        np.testing.assert_equal(model.network_.weights(), before)
        model.partial_fit(*first)  # what is the same is taken still


def test_partial_fit_after_fit_takes_the_classes_of_the_fit():
    model = clone(CLASSIFIER).fit(X, Y)
    model.partial_fit(X, Y, classes=[2, 1, 0])
    with pytest.raises(nnx.DataError, match="is not the same as before"):
        model.partial_fit(X, Y, classes=[0, 1, 2, 5])


def test_a_regressor_refuses_another_number_of_outputs():
    model = clone(REGRESSOR).partial_fit(X, X[:, :2])
    with pytest.raises(nnx.DataError, match="y has 3 outputs, but NetworkRegressor is expecting 2"):
        model.partial_fit(X, X[:, :3])
    with pytest.raises(nnx.DataError, match="y has 1 outputs"):
        model.partial_fit(X, X[:, 0])


def test_a_warm_start_without_one_of_the_classes_balances_those_that_are_there():
    model = clone(CLASSIFIER).set_params(warm_start=True, class_weight="balanced").fit(X, Y)
    rows = np.flatnonzero(Y < 2)
    other = clone(CLASSIFIER).set_params(warm_start=True).fit(X, Y)  # iris has as many rows of each class
    model.fit(X[rows], Y[rows])
    other.fit(X[rows], Y[rows])
    np.testing.assert_allclose(outputs(model), outputs(other), rtol=1e-12)
