"""The estimators train on sparse X: the same numbers as on dense X, and no dense matrix on the way."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from support.sparse_matrices import drawn

import nnx
from nnx.estimators import Autoencoder, NetworkClassifier, NetworkRegressor
from nnx.estimators import sparse_data as module

pytestmark = pytest.mark.usefixtures("on_cpu")
X = drawn(120, 40).tocsr()
Y = np.arange(120) % 3
WEIGHTS = np.random.default_rng(0).uniform(0.5, 2.0, 120)
WEIGHTS[5] = 0.0
SETTINGS = {"epochs": 4, "random_state": 0, "batch_size": 20}
ALL = [Autoencoder(2, 5, **SETTINGS), NetworkClassifier(5, **SETTINGS), NetworkRegressor(5, **SETTINGS)]


@pytest.fixture(params=[0, module.SMALL], ids=["sparse", "small"])
def least(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small matrices stay sparse too, or become dense."""
    monkeypatch.setattr(module, "SMALL", request.param)


def outputs(model, x):
    return model.transform(x) if isinstance(model, Autoencoder) else model.predict(x)


@pytest.mark.usefixtures("least")
@pytest.mark.parametrize("estimator", ALL, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("options", [{}, {"early_stopping": True, "patience": 50}, {"optimizer": "sgd"}])
@pytest.mark.filterwarnings("ignore:.*validation loss still improved")
def test_the_numbers_are_those_of_dense_x(estimator, options):
    models = []
    for x in (X.toarray(), X, X.tocoo()):
        model = clone(estimator).set_params(**options).fit(x, Y, sample_weight=WEIGHTS)
        models.append((model, outputs(model, x), model.score(x, Y, sample_weight=WEIGHTS)))
    for model, values, score in models[1:]:
        np.testing.assert_allclose(model.loss_curve_, models[0][0].loss_curve_, rtol=1e-9)
        np.testing.assert_allclose(values, models[0][1], rtol=1e-6, atol=1e-9)
        assert score == pytest.approx(models[0][2], rel=1e-8)


def test_the_score_of_an_autoencoder_without_features_that_vary():
    x = sparse.csr_array(np.ones((6, 3)))
    model = Autoencoder(1, (), epochs=1, random_state=0).fit(x)
    assert model.score(x) == model.score(x.toarray()) == 0.0


def test_the_score_of_an_autoencoder_on_numbers_in_two_parts():
    """A CSR matrix may store a number as a sum; its square is not the sum of the squares."""
    csr = X.astype(np.float64)
    halves = sparse.csr_matrix(
        (np.repeat(csr.data / 2.0, 2), np.repeat(csr.indices, 2), 2 * csr.indptr), shape=csr.shape
    )
    model = Autoencoder(2, 5, **SETTINGS).fit(csr)
    assert model.score(halves) == pytest.approx(model.score(csr.toarray()), rel=1e-8)
    assert halves.nnz == 2 * csr.nnz  # it is left as it was


@pytest.mark.parametrize("estimator", ALL, ids=lambda one: type(one).__name__)
def test_nothing_becomes_dense(estimator):
    """Dense, X has 80 MB in float32. An autoencoder has one dense batch at a time."""
    rows, features = 1000, 20_000
    places = np.random.default_rng(0).integers(0, features, 20 * rows)
    ends = np.arange(0, 20 * rows + 1, 20)
    x = sparse.csr_array((np.ones(20 * rows, np.float32), places, ends), (rows, features))
    model = clone(estimator).set_params(epochs=1)
    tracemalloc.start()
    model.fit(x, Y[np.arange(rows) % 120])
    outputs(model, x)
    model.score(x, Y[np.arange(rows) % 120])
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < (80e6 if isinstance(model, Autoencoder) else 20e6)


def test_sparse_updates(monkeypatch):
    same = [
        clone(ALL[1]).set_params(optimizer="sgd", sparse_updates=wanted).fit(X, Y) for wanted in (False, True)
    ]
    assert [one.network_[0].sparse for one in same] == [False, True]
    np.testing.assert_allclose(same[0].loss_curve_, same[1].loss_curve_, rtol=1e-12)
    adam = clone(ALL[1]).set_params(sparse_updates=True).fit(X, Y)
    other = clone(ALL[1]).fit(X.toarray(), Y)
    assert not np.allclose(adam.loss_curve_, other.loss_curve_, rtol=1e-9)
    assert not clone(adam).fit(X.toarray(), Y).network_[0].sparse
    adam.partial_fit(X.toarray(), Y)
    assert len(adam.loss_curve_) == 5


def test_what_does_not_go_together_is_refused():
    with pytest.raises(nnx.ConfigurationError, match="sparse_updates must be True or False"):
        clone(ALL[1]).set_params(sparse_updates="yes").fit(X, Y)
    with pytest.raises(nnx.ConfigurationError, match="sparse_updates=True needs a dense first layer, not"):
        NetworkClassifier(["conv1d 2 3", 5], image_shape=(40, 1), sparse_updates=True, epochs=1).fit(X, Y)
    with pytest.raises(nnx.ConfigurationError, match=r"AdamW: weight_decay=0\.004 would shrink only"):
        clone(ALL[1]).set_params(optimizer="adamw", sparse_updates=True).fit(X, Y)
    with pytest.raises(nnx.ConfigurationError, match="cannot continue with"):
        clone(ALL[1]).set_params(warm_start=True).fit(X, Y).set_params(sparse_updates=True).fit(X, Y)


def test_text_in_a_pipeline():
    texts = ["good fine great", "bad awful poor", "fine good", "poor bad", "great", "awful"] * 5
    labels = np.array(["up", "down"] * 15)
    model = make_pipeline(
        TfidfVectorizer(),
        NetworkClassifier(8, sparse_updates=True, learning_rate=0.05, epochs=40, random_state=0),
    )
    assert model.fit(texts, labels).predict(["a great good day", "a poor one"]).tolist() == ["up", "down"]
