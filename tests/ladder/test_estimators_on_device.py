"""Estimators under scikit-learn's array API dispatch leave X on its GPU, of any library; on the stand-in."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import sklearn
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nnx.estimators import (
    Autoencoder,
    AutoencoderOutlier,
    NetworkClassifier,
    NetworkRegressor,
    VariationalAutoencoder,
)
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
    "outliers": (AutoencoderOutlier(2, 8, **OPTIONS), LABELS),
    "drawn codes": (VariationalAutoencoder(2, 8, **OPTIONS), LABELS),
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


@pytest.mark.parametrize("name", ["classes", "numbers", "codes"])
def test_a_pipeline_stays_on_the_gpu_from_the_scaler_to_the_answer(name):
    def pipeline():
        return make_pipeline(StandardScaler(), sklearn.clone(model))

    model, y = MODELS[name]
    far = 100.0 + 5.0 * X
    expected, there = pipeline().fit(far, y), cupy.asarray(far)
    method = "transform" if name == "codes" else "predict"
    with cupy.recorded() as log:
        found = getattr(pipeline().fit(there, cupy.asarray(y)), method)(there)
    assert max(event.size for event in log if event.kind in ("h2d", "d2h")) < X.nbytes // 4
    assert isinstance(found, cupy.ndarray)
    right = getattr(expected, method)(far)
    np.testing.assert_allclose(found.get(), right, rtol=1e-4, atol=1e-5)  # of other sums of the columns


class Tensor:
    """An array on a GPU of another library, such as PyTorch: all that nnx and scikit-learn ask of it."""

    def __init__(self, array):
        self.array, self.dtype, self.shape, self.ndim = array, array.dtype, array.shape, array.ndim
        self.device = f"cuda:{array.device.id}"

    def __len__(self):
        return self.shape[0]

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()

    def __array_namespace__(self, api_version=None):
        return LIBRARY


class Info:
    def dtypes(self, kind=None, device=None):
        return {"float32": np.dtype("f4"), "float64": np.dtype("f8")}


LIBRARY = ModuleType("another_library")
LIBRARY.int64, LIBRARY.float32, LIBRARY.float64 = np.dtype("i8"), np.dtype("f4"), np.dtype("f8")
LIBRARY.__array_namespace_info__ = Info
LIBRARY.zeros = lambda shape, dtype, device: Tensor(cupy.zeros(shape, dtype))
LIBRARY.from_dlpack = lambda x, device=None: Tensor(cupy.from_dlpack(x))


@pytest.mark.parametrize("name", ["classes", "several labels", "numbers", "stopped", "codes"])
def test_x_of_another_library_is_used_by_dlpack_and_answered_in_kind(name):
    model, y = MODELS[name]
    expected = sklearn.clone(model).fit(X, y)
    there = Tensor(cupy.asarray(X))
    with cupy.recorded() as log:
        found = sklearn.clone(model).fit(there, cupy.asarray(y))
        answers = {name: getattr(found, name)(there) for name in METHODS if hasattr(model, name)}
    assert max(event.size for event in log if event.kind in ("h2d", "d2h")) < X.nbytes // 4
    assert found.loss_curve_ == expected.loss_curve_
    for method, answer in answers.items():
        assert type(answer) is Tensor, method
        right = getattr(expected, method)(X)
        assert answer.dtype == right.dtype
        np.testing.assert_array_equal(answer.array.get(), right)
    if isinstance(model, Autoencoder):
        restored = found.inverse_transform(answers["transform"])
        assert type(restored) is Tensor
        np.testing.assert_array_equal(restored.array.get(), expected.inverse_transform(expected.transform(X)))
    with pytest.raises(ValueError, match="must use the same namespace"):
        getattr(found, method)(X)  # of NumPy, unlike that of fit


def test_without_a_copy_x_has_the_memory_of_the_other_library():
    seen = []

    class Own(NetworkRegressor):
        def _train(self, x, *args, **options):
            seen.append(x)
            return super()._train(x, *args, **options)

    array = cupy.asarray(X)
    Own(8, **OPTIONS).fit(Tensor(array), X[:, 0])
    assert seen[0].data.ptr == array.data.ptr
    Own(8, **OPTIONS | {"device": None}).fit(Tensor(array), X[:, 0])
    assert seen[1].data.ptr == array.data.ptr


def test_an_estimator_for_the_cpu_takes_what_lies_on_a_gpu_to_the_host():
    """Dispatch means that data of any library may come; on the CPU they are computed there."""
    model = NetworkRegressor(8, **OPTIONS | {"device": "cpu"}).fit(Tensor(cupy.asarray(X)), X[:, 0])
    expected = NetworkRegressor(8, **OPTIONS | {"device": "cpu"}).fit(X, X[:, 0])
    assert model.network_.device == "cpu"
    assert model.loss_curve_ == expected.loss_curve_


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
