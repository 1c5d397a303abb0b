"""Estimators under scikit-learn's array API dispatch leave X of CuPy on its GPU; on the stand-in."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn

from nnx.estimators import Autoencoder, NetworkClassifier, NetworkRegressor
from nnx.estimators.array_api import SUPPORTED

pytestmark = [
    pytest.mark.standin,
    pytest.mark.skipif(not SUPPORTED, reason="needs scikit-learn 1.9: pip install -U scikit-learn"),
]
cupy = pytest.importorskip("cupy", reason="needs CuPy's wheel: nox -s ladder")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 40)).astype(np.float32)
LABELS = RNG.integers(0, 3, 120)
WEIGHTS = np.where(np.arange(120) % 5, 1.0, 0.0)
OPTIONS = {"epochs": 3, "random_state": 0, "device": "gpu"}
STOPPED = {"early_stopping": True, "validation_fraction": 0.3, "patience": 1, "learning_rate": 0.3}
MODELS = {
    "classes": (NetworkClassifier(8, **OPTIONS), LABELS),
    "two classes": (NetworkClassifier(8, **OPTIONS, class_weight="balanced"), LABELS > 1),
    "several labels": (NetworkClassifier(8, **OPTIONS), 1 * np.stack([LABELS > 0, LABELS > 1], 1)),
    "names": (NetworkClassifier(8, **OPTIONS), np.array(["a", "b", "c"])[LABELS]),
    "numbers": (NetworkRegressor(8, **OPTIONS), X[:, 0]),
    "stopped": (NetworkClassifier(8, **OPTIONS | STOPPED | {"epochs": 60}), LABELS),
    "codes": (Autoencoder(2, 8, **OPTIONS), LABELS),
}
METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function", "transform")


@pytest.fixture(autouse=True)
def dispatch(monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")  # scikit-learn asks for it
    with sklearn.config_context(array_api_dispatch=True):
        yield


@pytest.mark.parametrize(("model", "y"), MODELS.values(), ids=list(MODELS))
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["rows alike", "weights"])
def test_x_stays_on_the_gpu_and_the_answers_are_those_for_the_host(model, y, weights):
    expected = sklearn.clone(model).fit(X, y, sample_weight=weights)
    there = cupy.asarray(X)
    targets = y if y.dtype.kind == "U" else cupy.asarray(y)
    with cupy.recorded() as log:
        found = sklearn.clone(model).fit(there, targets, sample_weight=weights)
    moved = [event.size for event in log if event.kind in ("h2d", "d2h")]
    assert max(moved) < X.nbytes // 4
    assert found.loss_curve_ == expected.loss_curve_
    for name in METHODS:
        if hasattr(model, name):
            answer, right = getattr(found, name)(there), getattr(expected, name)(X)
            if right.dtype.kind == "U":
                np.testing.assert_array_equal(answer, right)
            else:
                assert isinstance(answer, cupy.ndarray)
                assert answer.dtype == right.dtype
                np.testing.assert_array_equal(answer.get(), right)
    if isinstance(model, Autoencoder):
        codes = found.transform(there)
        restored = expected.inverse_transform(codes.get())
        np.testing.assert_array_equal(found.inverse_transform(codes).get(), restored)
        assert found.score(there) == pytest.approx(expected.score(X))


def test_what_is_wrong_is_one_line():
    model = NetworkRegressor(8, **OPTIONS).fit(cupy.asarray(X), X[:, 0])
    with pytest.raises(ValueError, match="40 features"):
        model.predict(cupy.asarray(X[:, :3]))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(cupy.asarray(X), X[:7, 0])
    bad = X.copy()
    bad[3, 3] = np.nan
    with pytest.raises(ValueError, match="first in row 3"):
        model.fit(cupy.asarray(bad), X[:, 0])
    with pytest.raises(ValueError, match="must have two dimensions"):
        model.fit(cupy.asarray(X[:, 0]), X[:, 0])
    with cupy.cuda.Device(1):
        stranger = cupy.asarray(X)
    with pytest.raises(ValueError, match="x lies on gpu:1, but the network computes on gpu:0"):
        model.fit(stranger, X[:, 0])
