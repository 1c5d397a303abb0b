"""Columns of a table in one row of floats: slices, and vectors of categories."""

from __future__ import annotations

import numpy as np
import pytest

import nnx

CARDINALITIES = [3, 5]


@pytest.mark.parametrize("device", ["numpy", "cpu"])
def test_each_category_has_a_vector_and_its_gradient(rng, device):
    layer = nnx.CategoryEmbedding(CARDINALITIES, units=4).build(device=device, dtype="float64")
    x = np.array([[0, 4], [2, 1], [2, 4], [1, 0], [2, 1]], np.float64)
    y = layer.forward(x, training=True)
    first, second = layer.W[:3], layer.W[3:]
    np.testing.assert_array_equal(y[:, :4], first[x[:, 0].astype(int)])
    np.testing.assert_array_equal(y[:, 4:], second[x[:, 1].astype(int)])
    dy = rng.standard_normal(y.shape)
    assert not layer.backward(dy).any()
    expected = np.zeros_like(layer.W)
    for row, given in zip(x.astype(int), dy, strict=True):
        expected[row[0]] += given[:4]
        expected[3 + row[1]] += given[4:]
    np.testing.assert_allclose(layer.dW, expected, rtol=1e-14, atol=1e-15)


def test_numbers_outside_of_a_column_count_as_unknown():
    layer = nnx.CategoryEmbedding(CARDINALITIES, units=2).build()
    known = layer.forward(np.zeros((1, 2), np.float32)).copy()
    for odd in ([3, 5], [-1, -7], [1e9, 1e9], [np.nan, np.nan]):
        np.testing.assert_array_equal(layer.forward(np.array([odd], np.float32)), known)


def test_the_vector_of_an_unknown_category_begins_at_zero():
    layer = nnx.CategoryEmbedding(CARDINALITIES, units=2).build()
    assert (np.abs(layer.W).sum(axis=1) == 0.0).tolist() == [True, False, False, True, *[False] * 4]


def test_columns_are_a_slice_and_others_get_no_gradient(rng):
    layer = nnx.Columns(1, 3)
    x = rng.standard_normal((4, 5))
    np.testing.assert_array_equal(layer.forward(x), x[:, 1:3])
    dx = layer.backward(np.ones((4, 2)))
    np.testing.assert_array_equal(dx, [[0, 1, 1, 0, 0]] * 4)


def test_numbers_and_categories_of_one_row_are_embedded_apart(rng):
    numbers = [nnx.Columns(0, 2), nnx.PiecewiseLinearEmbedding([[-1.0, 0.0, 1.0]] * 2, 3)]
    categories = [nnx.Columns(2, 4), nnx.CategoryEmbedding(CARDINALITIES, 2)]
    network = nnx.Network([nnx.Concatenate([numbers, categories]), nnx.Dense(1)], seed=0)
    x = np.column_stack([rng.standard_normal((200, 2)), rng.integers(0, 3, 200), rng.integers(0, 5, 200)])
    y = np.abs(x[:, 0]) + np.array([0.0, 2.0, -1.0])[x[:, 2].astype(int)]
    history = network.fit(x, y, loss="mse", optimizer=nnx.Adam(0.02), epochs=60)
    assert history["loss"][-1] < 0.02


@pytest.mark.parametrize("given", [(), "35", 3, [0, 2], [3, 2.5]])
def test_cardinalities_that_are_none_are_refused(given):
    with pytest.raises(nnx.ConfigurationError, match="cardinalities"):
        nnx.CategoryEmbedding(given, 2)


def test_columns_that_do_not_exist_are_refused():
    with pytest.raises(nnx.ConfigurationError, match="needs 5 features, but rows have 4"):
        nnx.Network([nnx.Columns(2, 5)]).build(4)
    with pytest.raises(nnx.ConfigurationError, match="stop"):
        nnx.Columns(2, 2)
