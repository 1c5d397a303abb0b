"""The classifier learns, for any kind of target, and counts the weights of classes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_multilabel_classification
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from support.estimated import CLASSIFIER, DIGITS, LABELS, X, Y, fitted

import nnx
from nnx.estimators import NetworkClassifier

pytestmark = pytest.mark.usefixtures("on_cpu")


def test_the_classifier_learns_digits():
    model = NetworkClassifier(32, epochs=20, learning_rate=0.01, random_state=0).fit(
        DIGITS[:1400], LABELS[:1400]
    )
    assert model.score(DIGITS[1400:], LABELS[1400:]) > 0.9


def test_a_backend_as_device_and_callbacks_are_cloned():
    model = NetworkClassifier(
        4, epochs=1, device=nnx.resolve("cpu"), callbacks=[nnx.EarlyStopping("loss")], random_state=0
    ).fit(X, Y)
    twin = clone(model).fit(X, Y)
    assert twin.callbacks[0] is not model.callbacks[0]
    assert (twin.predict(X) == model.predict(X)).all()


def test_two_classes_several_and_labels_that_come_together():
    two = fitted(CLASSIFIER, X[:100], np.array(["no", "yes"])[Y[:100]])
    assert two.network_.outputs == 1
    assert set(two.predict(X[:100])) == {"no", "yes"}
    assert two.decision_function(X).shape == (150,)
    p = fitted(CLASSIFIER, y=np.array([3, 5, 9])[Y]).predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    x, y = make_multilabel_classification(n_classes=4, random_state=0)
    several = fitted(CLASSIFIER, x, y, epochs=200)
    assert several.predict(x).shape == y.shape
    assert several.score(x, y) > 0.7
    assert (fitted(CLASSIFIER, x, sparse.csr_array(y), epochs=200).predict(x) == several.predict(x)).all()


def test_labels_that_are_not_written_out_teach_the_same(monkeypatch):
    expected = fitted(CLASSIFIER).predict_proba(X)
    monkeypatch.setattr("nnx.estimators.checks.ONE_HOT", 0)
    np.testing.assert_allclose(fitted(CLASSIFIER).predict_proba(X), expected, rtol=1e-9)


def test_a_search_in_two_processes_finds_what_one_finds():
    pipeline = make_pipeline(StandardScaler(), clone(CLASSIFIER))
    grid = {"networkclassifier__hidden_layer_sizes": [2, (10, 5)], "networkclassifier__dropout": [0.0, 0.2]}
    alone, together = (
        GridSearchCV(pipeline, grid, cv=2, n_jobs=jobs).fit(X, Y).cv_results_["mean_test_score"]
        for jobs in (1, 2)
    )
    assert (alone == together).all()


def test_classes_that_come_later_are_announced():
    model = clone(CLASSIFIER).partial_fit(X[Y < 2], Y[Y < 2], classes=[2, 0, 1])
    model.partial_fit(X, Y)
    assert model.classes_.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="unseen labels"):
        model.partial_fit(X, Y + 1)
    with pytest.raises(nnx.ConfigurationError, match=r"'balanced'.* partial_fit"):
        clone(CLASSIFIER).set_params(class_weight="balanced").partial_fit(X, Y)


def test_weights_of_classes_are_weights_of_their_rows():
    by_class = fitted(CLASSIFIER, class_weight={0: 1.0, 1: 5.0, 2: 1.0})
    by_row = clone(CLASSIFIER).fit(X, Y, sample_weight=np.array([1.0, 5.0, 1.0])[Y])
    assert (by_class.predict_proba(X) == by_row.predict_proba(X)).all()
    both = clone(by_class).fit(X, Y, sample_weight=np.where(Y == 1, 0.2, 1.0))
    np.testing.assert_allclose(both.predict_proba(X), fitted(CLASSIFIER).predict_proba(X), rtol=1e-6)
    few = np.r_[0:50, 50:60]
    found = [
        (fitted(CLASSIFIER, X[few], Y[few], class_weight=w).predict(X) == 1).sum() for w in (None, "balanced")
    ]
    assert found[1] >= found[0]


def test_images_go_through_a_search_and_weights():
    images = DIGITS[:120].reshape(-1, 8, 8)
    search = GridSearchCV(CLASSIFIER, {"dropout": [0.0, 0.1]}, cv=2)
    search.fit(images, LABELS[:120], sample_weight=np.arange(120.0))
    assert search.best_score_ > 0.6
    assert search.predict_proba(images).shape == (120, 10)


def test_scores_of_a_cross_validation_are_those_of_a_classifier():
    assert cross_val_score(clone(CLASSIFIER), X, Y, cv=3).mean() > 0.8


@pytest.mark.parametrize(("label", "shown"), [(0, "0"), ("a", "'a'")])
def test_a_single_class_is_refused_and_shown_as_the_user_wrote_it(label, shown):
    with pytest.raises(nnx.DataError, match=f"only one class, {shown}: a classifier"):
        NetworkClassifier(epochs=1).fit(np.zeros((3, 2)), np.array([label] * 3))
