"""Embeddings of numbers: piecewise linear and periodic functions of each number."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import nnx

EDGES = [[-1.0, 0.0, 0.5, 2.0], [0.0, 1.0], [-3.0, -1.0, 4.0]]


def built(layer, inputs, dtype="float64", **options):
    layer.build(inputs, dtype=dtype, **options)
    generator = np.random.default_rng(5)
    for _, value, _ in layer.named_parameters():
        value[...] = generator.standard_normal(value.shape)
    return layer


def piecewise(x, edges):
    """The encoding of one number, as section 3.2 of the paper writes it."""
    bins = list(pairwise(edges))
    parts = [(x - low) / (high - low) for low, high in bins]
    for t in range(len(bins)):
        if t > 0:
            parts[t] = max(parts[t], 0.0)
        if t < len(bins) - 1:
            parts[t] = min(parts[t], 1.0)
    return np.array(parts)


def test_a_piecewise_linear_embedding_is_its_formula(rng):
    layer = built(nnx.PiecewiseLinearEmbedding(EDGES, units=2), 3)
    x = rng.uniform(-5.0, 6.0, (20, 3))
    expected = np.empty((20, 3, 2))
    for i, row in enumerate(x):
        for j, value in enumerate(row):
            e = piecewise(value, EDGES[j])
            expected[i, j] = e @ layer.W[j, : len(e)] + value * layer.v[j] + layer.b[j]
    np.testing.assert_allclose(layer.forward(x), expected.reshape(20, 6), rtol=1e-13, atol=1e-13)


def test_it_can_fit_a_function_that_bends_only_at_the_edges():
    """Between its edges the function is linear, beyond them too."""
    layer = built(nnx.PiecewiseLinearEmbedding(EDGES[:1], units=1), 1)
    x = np.array([[-9.0], [-5.0], [-1.0], [-0.5], [0.0], [0.25], [0.5], [1.25], [2.0], [5.0], [8.0]])
    y = layer.forward(x).ravel()
    for first in (0, 2, 4, 6, 8):  # three places in each bin, equally far from each other
        assert y[first] + y[first + 2] == pytest.approx(2 * y[first + 1])


def test_it_starts_as_a_linear_layer(rng):
    layer = nnx.PiecewiseLinearEmbedding(EDGES, units=4).build(dtype="float64")
    x = rng.standard_normal((6, 3))
    expected = x[:, :, None] * layer.v + layer.b
    np.testing.assert_allclose(layer.forward(x), expected.reshape(6, 12), rtol=1e-14)


def test_a_periodic_embedding_is_its_formula(rng):
    layer = built(nnx.PeriodicEmbedding(3, units=2), 4)
    x = rng.standard_normal((9, 4))
    v = 2 * np.pi * x[:, :, None] * layer.c
    e = np.concatenate([np.cos(v), np.sin(v)], axis=2)
    expected = np.einsum("rft,ftu->rfu", e, layer.W) + layer.b
    np.testing.assert_allclose(layer.forward(x), expected.reshape(9, 8), rtol=1e-12, atol=1e-13)


def test_frequencies_start_with_their_deviation():
    layer = nnx.PeriodicEmbedding(400, units=1, sigma=0.3).build(5)
    assert np.std(layer.c) == pytest.approx(0.3, rel=0.05)


@pytest.mark.parametrize("make", [
    lambda: nnx.PiecewiseLinearEmbedding(EDGES, 3), lambda: nnx.PeriodicEmbedding(4, 3, 0.5),
])  # fmt: skip
def test_devices_compute_the_same(rng, make):
    x, dy = rng.standard_normal((70, 3)).astype(np.float32), rng.standard_normal((70, 9)).astype(np.float32)
    found = []
    for device in ("numpy", "cpu"):
        layer = built(make(), 3, "float32", device=device)
        y = layer.forward(x, training=True).copy()
        dx = layer.backward(dy).copy()
        found.append([y, dx, *(gradient.copy() for _, _, gradient in layer.named_parameters())])
    for one, other in zip(*found, strict=True):  # sums over 70 rows of numbers of about 1
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=2e-4)


@pytest.mark.parametrize("make", [
    lambda: nnx.PiecewiseLinearEmbedding(EDGES, 3), lambda: nnx.PeriodicEmbedding(4, 3, 0.5),
])  # fmt: skip
def test_a_smaller_batch_uses_the_same_memory(rng, make):
    layer = make()
    first = layer.build(3).forward(rng.standard_normal((8, 3)).astype(np.float32))
    assert layer.forward(rng.standard_normal((5, 3)).astype(np.float32)).base is first.base


@pytest.mark.parametrize(
    ("edges", "text"),
    [
        ([], "a list with a list of edges"),
        ("0,1", "a list with a list of edges"),
        ([[0.0]], r"edges\[0\] needs two or more"),
        ([[0.0, 1.0], [2.0, 2.0]], r"edges\[1\] must rise"),
        ([[0.0, float("nan")]], "must be a finite number"),
    ],
)
def test_edges_that_are_none_are_refused(edges, text):
    with pytest.raises(nnx.ConfigurationError, match=text):
        nnx.PiecewiseLinearEmbedding(edges, 2)


def test_edges_that_do_not_fit_the_features_are_refused():
    with pytest.raises(nnx.ConfigurationError, match="expects 3 inputs"):
        nnx.Network([nnx.Dense(4), nnx.PiecewiseLinearEmbedding(EDGES, 2)]).build(4)
