"""Losses by name in the estimators: what they predict, and which estimator refuses which."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import PoissonRegressor
from sklearn.metrics import mean_pinball_loss

import nnx
from nnx.errors import ConfigurationError, DataError
from nnx.estimators import Autoencoder, NetworkClassifier, NetworkRegressor

pytestmark = pytest.mark.usefixtures("on_cpu")
LEVELS = (0.1, 0.5, 0.9)


@pytest.fixture
def data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    x = rng.uniform(-1.0, 1.0, (600, 2))
    return x, 3.0 * x[:, 0] + (1.0 + x[:, 1]) * rng.standard_normal(600)


def trained(x: Any, y: Any, **options: Any) -> NetworkRegressor:
    return NetworkRegressor(16, learning_rate=0.02, epochs=60, random_state=0, **options).fit(x, y)


def test_quantiles_of_one_target(data: Any) -> None:
    x, y = data
    model = trained(x, y, loss=nnx.Pinball(LEVELS))
    quantiles = model.predict(x, quantiles=LEVELS)
    assert quantiles.shape == (600, 3)
    assert (np.diff(quantiles, axis=1) >= 0.0).all()
    np.testing.assert_allclose((y[:, None] <= quantiles).mean(axis=0), LEVELS, atol=0.05)
    np.testing.assert_array_equal(model.predict(x), quantiles[:, 1])
    np.testing.assert_array_equal(model.predict(x, quantiles=0.9), quantiles[:, 2])
    np.testing.assert_array_equal(model.predict(x, quantiles=[0.9, 0.1]), quantiles[:, [2, 0]])
    expected = np.mean([mean_pinball_loss(y, quantiles[:, k], alpha=a) for k, a in enumerate(LEVELS)])
    assert model.network_.evaluate(x, y, loss=nnx.Pinball(LEVELS))["loss"] == pytest.approx(expected)
    with pytest.raises(ConfigurationError, match=r"quantile 0.3 is not one of \[0.1, 0.5, 0.9\]"):
        model.predict(x, quantiles=[0.3])
    again = pickle.loads(pickle.dumps(copy.deepcopy(model)))
    np.testing.assert_array_equal(again.predict(x, quantiles=LEVELS), quantiles)


def test_quantiles_of_several_targets(data: Any) -> None:
    x, y = data
    both = np.stack([y, -2.0 * y], axis=1)
    model = trained(x, both, loss=nnx.Pinball(LEVELS))
    quantiles = model.predict(x, quantiles=LEVELS)
    assert quantiles.shape == (600, 2, 3)
    assert (np.diff(quantiles, axis=2) >= 0.0).all()
    assert model.predict(x).shape == model.predict(x, quantiles=0.1).shape == (600, 2)
    np.testing.assert_allclose((both[:, :, None] <= quantiles).mean(axis=0), [LEVELS] * 2, atol=0.07)
    with pytest.raises(DataError, match="y has 1 outputs, but NetworkRegressor is expecting 2"):
        model.partial_fit(x, y)


def test_a_mean_with_its_spread(data: Any) -> None:
    x, y = data
    model = trained(x, np.stack([y, y], axis=1), loss="gaussian")
    mean, deviation = model.predict(x, return_std=True)
    assert mean.shape == deviation.shape == (600, 2)
    assert np.corrcoef(deviation[:, 0], 1.0 + x[:, 1])[0, 1] > 0.9
    z = (y - mean[:, 0]) / deviation[:, 0]
    assert abs(z.std() - 1.0) < 0.1
    ends = model.predict(x, quantiles=(0.15865525393145707, 0.8413447460685429))
    np.testing.assert_allclose(ends[:, :, 1], mean + deviation, rtol=1e-9)
    np.testing.assert_allclose(ends[:, :, 0], mean - deviation, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(model.predict(x), mean)


def test_poisson_without_hidden_layers_is_scikit_learns(rng: np.random.Generator) -> None:
    x = rng.uniform(-1.0, 1.0, (500, 3))
    y = rng.poisson(np.exp(x @ [1.0, -0.5, 0.2] + 0.5))
    model = NetworkRegressor(
        (), loss="poisson", learning_rate=0.05, epochs=300, batch_size=500, random_state=0
    )
    expected = PoissonRegressor(alpha=0.0).fit(x, y).predict(x)
    np.testing.assert_allclose(model.fit(x, y).predict(x), expected, rtol=1e-2)
    with pytest.raises(DataError, match="Poisson: targets must be counts"):
        model.fit(x, y - 1.0)


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge", "focal"])
@pytest.mark.parametrize("classes", [2, 3])
def test_classifiers(rng: np.random.Generator, loss: str, classes: int) -> None:
    x = rng.standard_normal((300, 2))
    names = np.array(["a", "b", "c"])
    y = names[np.argmax(x @ np.eye(2, classes, k=1) + x[:, :1], axis=1)]
    model = NetworkClassifier(16, loss=loss, learning_rate=0.02, epochs=60, random_state=0).fit(x, y)
    assert model.score(x, y) > 0.93
    z = model.decision_function(x)
    assert z.shape == ((300,) if classes == 2 else (300, 3))
    chosen = model.classes_[(z > 0).astype(int) if classes == 2 else z.argmax(axis=1)]
    np.testing.assert_array_equal(model.predict(x), chosen)
    assert hasattr(model, "predict_proba") is (loss == "focal")
    if loss != "focal":
        with pytest.raises(AttributeError, match="predict_proba"):
            model.predict_proba(x)


def test_several_labels_with_a_hinge_loss(rng: np.random.Generator) -> None:
    x = rng.standard_normal((300, 2))
    y = (x > 0.0).astype(int)
    model = NetworkClassifier(16, loss="hinge", learning_rate=0.02, epochs=60, random_state=0).fit(x, y)
    assert (model.predict(x) == y).mean() > 0.95


@pytest.mark.parametrize(
    ("kind", "loss", "other"),
    [
        (NetworkClassifier, "pinball", "NetworkRegressor"),
        (NetworkClassifier, "gaussian", "NetworkRegressor"),
        (NetworkClassifier, "poisson", "NetworkRegressor"), (NetworkRegressor, "hinge", "NetworkClassifier"),
        (NetworkRegressor, nnx.SquaredHinge(), "NetworkClassifier"),
        (Autoencoder, "hinge", "NetworkClassifier"),
        (Autoencoder, nnx.GaussianNLL(), "NetworkRegressor"),
    ],
)  # fmt: skip
def test_a_loss_for_another_estimator_is_refused(kind: Any, loss: Any, other: str) -> None:
    x = np.arange(20.0).reshape(10, 2)
    with pytest.raises(ConfigurationError, match=rf"does not fit {kind.__name__}: it is a loss for {other}"):
        kind(loss=loss).fit(x, np.arange(10) % 2)


def test_what_was_not_trained_cannot_be_predicted(data: Any) -> None:
    x, y = data
    model = NetworkRegressor(4, epochs=1).fit(x, y)
    with pytest.raises(ConfigurationError, match=r"quantiles need loss=nnx.Pinball"):
        model.predict(x, quantiles=0.5)
    with pytest.raises(ConfigurationError, match="return_std=True needs loss='gaussian'"):
        model.predict(x, return_std=True)
