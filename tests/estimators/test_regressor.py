"""The regressor learns one number or several."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import StandardScaler
from support.estimated import REGRESSOR, X, fitted

from nnx.estimators import NetworkRegressor

pytestmark = pytest.mark.usefixtures("on_cpu")


def test_the_regressor_is_as_good_as_the_least_squares_it_contains():
    x, y = load_diabetes(return_X_y=True)
    x, y = StandardScaler().fit_transform(x), (y - y.mean()) / y.std()
    exact = 1.0 - np.linalg.lstsq(x, y)[1][0] / np.sum(y**2)
    linear = NetworkRegressor((), learning_rate=0.03, epochs=500, batch_size=len(x), random_state=0).fit(x, y)
    assert linear.score(x, y) == pytest.approx(exact, abs=1e-3)


def test_several_targets_are_predicted_together():
    y = np.column_stack([X[:, 0], X[:, 1] - X[:, 2]])
    model = fitted(REGRESSOR, y=y, epochs=200)
    assert model.predict(X).shape == y.shape
    assert model.score(X, y) > 0.9


def test_pickles_of_the_first_version_find_the_regressor():
    from nnx.estimators import supervised

    assert supervised.NetworkRegressor is NetworkRegressor
