"""Robust scaling with smooth clipping."""

import numpy as np
import pytest

from nnx.errors import DataError
from nnx.tables.scaling import Robust, robust


def test_the_formula_of_the_source():
    cells = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 100.0, np.nan])
    scale = robust(cells, None, "c")
    q = [np.sort(cells[:-1])[at] for at in (1, 3, 5)]  # the smallest cells with 2, 4 and 6 of 8 up to them
    assert (scale.center, scale.factor) == (q[1], 1.0 / (q[2] - q[0]))
    z = (cells[:-1] - 3.0) / 4.0
    np.testing.assert_allclose(scale.apply(cells)[:-1], z / np.sqrt(1.0 + (z / 3.0) ** 2), rtol=1e-15)
    np.testing.assert_array_equal(scale.apply(cells, clip=False)[:-1], z)
    assert scale.apply(cells)[-1] == 0.0


def test_equal_quartiles_use_the_range_and_a_constant_is_zero():
    assert robust(np.array([0.0] * 9 + [4.0]), None, "c") == Robust(0.0, 0.5)
    assert robust(np.full(5, 7.0), None, "c") == Robust(7.0, 0.0)
    rounded = robust(np.array([0.3, 0.1 + 0.2]), None, "c")
    assert rounded.factor == 0.0
    assert robust(np.full(2, np.nan), None, "c") == Robust(0.0, 0.0)


def test_weights_are_repeated_cells():
    rng = np.random.default_rng(0)
    cells, weights = rng.normal(size=40), rng.integers(0, 4, 40)
    assert robust(cells, weights.astype(float), "c") == robust(np.repeat(cells, weights), None, "c")


def test_huge_numbers_stay_finite_or_are_refused():
    z = robust(np.array([0.0, 1e-300, 1.0]), None, "c").apply(np.array([1e308, -1e308]))
    assert np.isfinite(z).all()
    assert np.abs(z).max() <= 3.0
    with pytest.raises(DataError, match="column c holds numbers that are too large"):
        robust(np.array([-1e308, 1e308]), None, "c")


def test_numbers_too_close_for_a_scale_are_refused():
    with pytest.raises(DataError, match="column c holds numbers that are too close to scale"):
        robust(np.array([0.0, 0.0, 5e-324, 5e-324]), None, "c")
