"""The regressor for tables keeps the unit and the shape of its targets."""

from __future__ import annotations

import numpy as np
import pytest
from support.small_tables import numbers_for, table

import nnx
from nnx.estimators import TabularRegressor

QUICK = {"hidden_layer_sizes": 24, "members": 2, "epochs": 40, "learning_rate": 0.01, "random_state": 0}
TRAIN, TEST = table(400), table(200, seed=1)


def test_numbers_keep_their_unit_and_shape():
    y = 1e4 * numbers_for(TRAIN) + 5e5
    model = TabularRegressor(**QUICK).fit(TRAIN, y)
    found = model.predict(TEST)
    assert found.shape == (200,)
    assert np.sqrt(np.mean((found - 1e4 * numbers_for(TEST) - 5e5) ** 2)) < 0.4 * y.std()
    several = TabularRegressor(**QUICK).fit(TRAIN, np.column_stack([y, -y]))
    assert several.predict(TEST).shape == (200, 2)


@pytest.mark.parametrize("kind", ["piecewise_linear", "periodic", "none"])
def test_every_embedding_learns(kind):
    model = TabularRegressor(**QUICK, numeric_embedding=kind).fit(TRAIN, numbers_for(TRAIN))
    found, y = model.predict(TEST), numbers_for(TEST)
    assert 1.0 - np.mean((found - y) ** 2) / y.var() > 0.8


@pytest.mark.parametrize("form", ["a list", "pandas"])
def test_targets_that_count_must_be_there(form):
    y, weights = numbers_for(TRAIN), np.r_[0.0, np.ones(399)]
    y[[0, 30]] = np.nan
    given = list(y) if form == "a list" else pytest.importorskip("pandas").Series(y)
    text = "first in row 30" if form == "pandas" else "NaN"
    with pytest.raises(ValueError, match=text):
        TabularRegressor(**QUICK).fit(TRAIN, given, sample_weight=weights)


@pytest.mark.parametrize("factor", [1e-200, 1e200])
def test_the_unit_of_targets_does_not_matter(factor):
    y = numbers_for(TRAIN)
    quick = QUICK | {"epochs": 3}
    expected = TabularRegressor(**quick).fit(TRAIN, y).predict(TEST)
    found = TabularRegressor(**quick).fit(TRAIN, factor * y).predict(TEST)
    np.testing.assert_allclose(found / factor, expected, rtol=1e-4, atol=1e-4)


def test_targets_beyond_float64_are_refused():
    y = np.linspace(1e308, 1.7e308, 400)
    with pytest.raises(nnx.DataError, match="too large to scale"):
        TabularRegressor(**QUICK).fit(TRAIN, y)
