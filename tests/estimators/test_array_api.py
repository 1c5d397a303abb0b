"""scikit-learn's checks of its array API dispatch: array-api-strict, PyTorch and CuPy, if they are there."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn
from sklearn.utils import estimator_checks
from support.devices_here import usable

from nnx.estimators import (
    Autoencoder,
    ConformalRegressor,
    NetworkClassifier,
    NetworkRegressor,
    TabularRegressor,
)
from nnx.estimators.array_api import SUPPORTED

pytestmark = [
    pytest.mark.usefixtures("on_cpu"),
    pytest.mark.skipif(not SUPPORTED, reason="needs scikit-learn 1.9: pip install -U scikit-learn"),
]
ESTIMATORS = [
    Autoencoder(2, 8, epochs=3),
    NetworkClassifier(8, epochs=3, class_weight="balanced"),
    NetworkClassifier(8, epochs=3, early_stopping=True, validation_fraction=0.3, patience=9),
    NetworkRegressor(8, epochs=3),
]
X = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
Y = (X[:, 0] > 0.0).astype(np.int64)


@pytest.fixture(autouse=True)
def with_scipy(monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")  # scikit-learn asks for it


def checks():
    """Every check of scikit-learn for estimators with this tag that nnx could pass somewhere."""
    for check in estimator_checks._yield_array_api_checks(ESTIMATORS[0]):
        names = "-".join(str(getattr(value, "xp", value)) for value in check.keywords.values())
        if any(name in str(check.keywords) for name in ("dpnp", "xpu", "mps")):
            continue  # devices that nnx does not compute on
        there = any(name in str(check.keywords) for name in ("cupy", "cuda"))
        marks = pytest.mark.gpu if there else ()
        yield pytest.param(check, id=f"{check.func.__name__}-{names}", marks=marks)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda one: f"{type(one).__name__}-{one.epochs}")
@pytest.mark.parametrize("check", [*checks()] if SUPPORTED else [])
def test_scikit_learn_s_checks(check, estimator, request, monkeypatch):
    if request.node.get_closest_marker("gpu"):
        monkeypatch.setenv("NNX_DEVICE", usable("gpu").device)  # NumPy's arrays are compared with those there
    same = check.func is estimator_checks.check_array_api_same_namespace
    # of PyTorch's predictions, scikit-learn computes the accuracy in float32, and compares it in float64
    values = "torch" not in str(check.keywords)
    options = {} if same else {"check_values": values, "check_sample_weight": True}
    check(type(estimator).__name__, estimator, **options)


def test_without_dispatch_answers_are_numpy_as_ever():
    strict = pytest.importorskip("array_api_strict", reason="pip install array-api-strict")
    model = NetworkClassifier(8, epochs=2, random_state=0).fit(strict.asarray(X), strict.asarray(Y))
    assert type(model.predict(strict.asarray(X))) is np.ndarray


@pytest.mark.parametrize(
    "model",
    [
        TabularRegressor(4, members=1, epochs=2, random_state=0),
        ConformalRegressor(NetworkRegressor(4, epochs=2, random_state=0), random_state=0),
    ],
    ids=lambda one: type(one).__name__,
)
def test_estimators_that_answer_with_numpy_take_arrays_of_others(model):
    strict = pytest.importorskip("array_api_strict", reason="pip install array-api-strict")
    given = [X, X[:, 0], np.ones(len(X))]
    expected = model.fit(*given[:2], sample_weight=given[2]).predict(X)
    with sklearn.config_context(array_api_dispatch=True):
        x, y, weights = map(strict.asarray, given)
        predicted = model.fit(x, y, sample_weight=weights).predict(x)
    assert predicted.tobytes() == expected.tobytes()


def test_an_array_that_was_not_expected_is_refused():
    strict = pytest.importorskip("array_api_strict", reason="pip install array-api-strict")
    with sklearn.config_context(array_api_dispatch=True):
        model = NetworkRegressor(8, epochs=2, random_state=0).fit(strict.asarray(X), strict.asarray(X[:, 0]))
        with pytest.raises(ValueError, match=r"NetworkRegressor\.predict\(\) must use the same namespace"):
            model.predict(X)


def test_answers_for_pytorch_are_those_for_numpy():
    torch = pytest.importorskip("torch", reason="pip install torch")
    expected = NetworkClassifier(8, epochs=3, random_state=0).fit(X, Y)
    with sklearn.config_context(array_api_dispatch=True):
        model = NetworkClassifier(8, epochs=3, random_state=0).fit(torch.from_numpy(X), torch.from_numpy(Y))
        for name in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
            found = getattr(model, name)(torch.from_numpy(X))
            assert isinstance(found, torch.Tensor)
            np.testing.assert_array_equal(found.numpy(), getattr(expected, name)(X))


def test_names_of_classes_are_answered_as_numpy():
    """The array API has no text; scikit-learn's own classifiers do the same."""
    strict = pytest.importorskip("array_api_strict", reason="pip install array-api-strict")
    names = np.array(["no", "yes"])[Y]
    with sklearn.config_context(array_api_dispatch=True):
        model = NetworkClassifier(8, epochs=2, random_state=0).fit(strict.asarray(X), names)
        predicted = model.predict(strict.asarray(X))
        assert type(model.predict_proba(strict.asarray(X))) is type(strict.asarray(X))
    assert set(predicted) <= {"no", "yes"}


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # StandardScaler divides 0 by 0
def test_a_pipeline_stays_in_the_library():
    strict = pytest.importorskip("array_api_strict", reason="pip install array-api-strict")
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def pipeline():
        return make_pipeline(StandardScaler(), Autoencoder(2, 8, epochs=2, random_state=0))

    expected = pipeline().fit(X).transform(X)
    with sklearn.config_context(array_api_dispatch=True):
        codes = pipeline().fit(strict.asarray(X)).transform(strict.asarray(X))
    assert type(codes) is type(strict.asarray(X))
    np.testing.assert_allclose(np.asarray(codes), expected, rtol=1e-5, atol=1e-6)
