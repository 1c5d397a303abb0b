"""Prediction intervals: their coverage, the correction for few rows, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import nnx
from nnx.errors import ConfigurationError, DataError
from nnx.estimators import ConformalRegressor, NetworkRegressor

pytestmark = pytest.mark.usefixtures("on_cpu")
QUANTILES = nnx.Pinball((0.1, 0.5, 0.9))


def noisy(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Targets whose noise grows with x."""
    x = rng.uniform(0.0, 1.0, (rows, 1))
    return x, 2.0 * x[:, 0] + (0.1 + x[:, 0]) * rng.standard_normal(rows)


def covered(intervals: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (intervals[:, 0] <= y) & (y <= intervals[:, 1])


@pytest.mark.parametrize(("confidence", "calibration"), [(0.5, 19), (0.8, 19), (0.95, 60)])
def test_coverage_over_many_splits(rng: np.random.Generator, confidence: float, calibration: int) -> None:
    """Its expectation is k / (n + 1), k = ⌈(n + 1) confidence⌉: without the + 1 it would be too small."""
    inside = []
    for seed in range(150):
        x, y = noisy(rng, calibration + 40 + 50)
        share = calibration / (calibration + 40)
        model = ConformalRegressor(
            LinearRegression(), confidence=confidence, calibration_fraction=share, random_state=seed
        ).fit(x[:-50], y[:-50])
        assert model.calibration_rows_ == calibration
        inside.append(covered(model.predict_interval(x[-50:]), y[-50:]).mean())
    expected = math.ceil((calibration + 1) * confidence) / (calibration + 1)
    deviation = np.std(inside) / math.sqrt(len(inside))
    assert abs(np.mean(inside) - expected) < 4.0 * deviation
    assert expected >= confidence


@pytest.mark.parametrize(
    ("loss", "method"), [("squared_error", "residual"), (QUANTILES, "quantile"), ("gaussian", "quantile")],
    ids=["residual", "pinball", "gaussian"],
)  # fmt: skip
def test_intervals_of_a_network(rng: np.random.Generator, loss: Any, method: str) -> None:
    (x, y), (x_new, y_new) = noisy(rng, 1200), noisy(rng, 4000)
    network = NetworkRegressor(
        20, loss=loss, learning_rate=0.02, epochs=40, batch_size=50, device="numpy", random_state=0
    )
    model = ConformalRegressor(network, confidence=0.8, random_state=0).fit(x, y)
    intervals = model.predict_interval(x_new)
    inside = covered(intervals, y_new)
    # 300 calibration rows: the coverage of one calibration has the deviation √(0.8 · 0.2 / 302) = 0.023
    assert abs(inside.mean() - 0.8) < 4 * 0.023
    widths = np.diff(intervals, axis=1)[:, 0]
    if method == "residual":
        assert np.ptp(widths) < 1e-5
    else:  # wider where there is more noise, so that each half of the rows is covered
        high = x_new[:, 0] > 0.5
        assert widths[high].mean() > 1.5 * widths[~high].mean()
        assert abs(inside[high].mean() - 0.8) < 0.12
        assert abs(inside[~high].mean() - 0.8) < 0.12
    np.testing.assert_array_equal(model.predict(x_new), model.estimator_.predict(x_new))
    assert model.score(x_new, y_new) > 0.1


def test_the_width_is_the_score_at_its_place() -> None:
    """Residuals of a model that always answers 0, with a calibration set that is known."""

    class Zero(LinearRegression):
        def predict(self, X: Any) -> np.ndarray:
            return np.zeros(len(X))

    y = np.arange(1.0, 41.0)
    model = ConformalRegressor(Zero(), confidence=0.75, calibration_fraction=0.5, random_state=3)
    model.fit(np.zeros((40, 1)), y)
    from sklearn.model_selection import train_test_split

    _, rest = train_test_split(np.arange(40), test_size=0.5, random_state=np.random.RandomState(3))
    assert model.width_ == np.sort(y[rest])[math.ceil(21 * 0.75) - 1]


def test_too_few_rows_for_the_confidence_are_an_error(rng: np.random.Generator) -> None:
    x, y = noisy(rng, 40)
    model = ConformalRegressor(LinearRegression(), confidence=0.95, random_state=0).fit(x, y)
    assert math.isinf(model.width_)
    with pytest.raises(DataError, match=r"confidence=0.95 needs 19 calibration rows or more.*are 10"):
        model.predict_interval(x)


def test_settings_that_make_no_sense_are_refused(rng: np.random.Generator) -> None:
    x, y = noisy(rng, 40)
    for options, says in (
        ({"confidence": 1.0}, r"confidence must lie in \(0, 1\)"),
        ({"method": "bayes"}, "method must be auto, residual or quantile, not 'bayes'"),
        ({"method": "quantile"}, r"needs a NetworkRegressor with loss=nnx.Pinball"),
        ({"calibration_fraction": 0}, "calibration_fraction"),
    ):
        with pytest.raises(ConfigurationError, match=says):
            ConformalRegressor(LinearRegression(), **options).fit(x, y)


def test_a_pipeline_inside(rng: np.random.Generator) -> None:
    x, y = noisy(rng, 200)
    pipeline = make_pipeline(StandardScaler(), LinearRegression())
    model = ConformalRegressor(pipeline, random_state=0).fit(x, y)
    assert covered(model.predict_interval(x), y).mean() > 0.8


def test_weights_of_rows_go_to_the_rows_that_train(rng: np.random.Generator) -> None:
    """Rows of weight 0 are as if they were not there: their targets are far away."""
    x, y = noisy(rng, 400)
    wrong = rng.random(400) < 0.3
    model = ConformalRegressor(LinearRegression(), random_state=0)
    weighted = model.fit(x, np.where(wrong, y + 1000.0, y), sample_weight=np.where(wrong, 0.0, 1.0))
    slope, start = weighted.estimator_.coef_[0], weighted.estimator_.intercept_
    assert slope == pytest.approx(2.0, abs=0.5)
    assert start == pytest.approx(0.0, abs=0.5)
    assert weighted.width_ > 500.0  # calibration rows count alike, and here some are far away


@pytest.mark.parametrize("name", ["sample_weight", "linearregression__sample_weight"])
def test_as_many_weights_as_rows_to_train_on_are_refused(rng, name):
    """They would be taken in their order, so for other rows."""
    regressor = LinearRegression() if name == "sample_weight" else make_pipeline(LinearRegression())
    x, y = noisy(rng, 400)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        ConformalRegressor(regressor, random_state=0).fit(x, y, **{name: np.ones(300)})
    model = ConformalRegressor(regressor, random_state=0).fit(x, y, **{name: np.ones(400)})
    assert model.calibration_rows_ == 100
