"""The functions of the steps at the edges of numbers, alike with the standard library and with NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nnx.backends import resolve
from nnx.ops.activations import ACTIVATIONS
from nnx.standalone import steps_numpy, steps_plain

KINDS = sorted(set(ACTIVATIONS) - {"identity", "softmax"})
EDGES = [-1e308, -800.0, -40.5, -3.0, -1e-9, -0.0, 0.0, 1e-300, 1e-9, 0.7, 2.5, 3.0, 26.0, 40.5, 709.5, 1e308]


@pytest.mark.parametrize("kind", KINDS)
def test_activations_agree_with_nnx_at_the_edges(kind):
    more = (0.3,) if kind in ("leaky_relu", "elu") else ()
    x = np.array(EDGES)
    with np.errstate(all="ignore"):
        expected = resolve("numpy").activation_forward(kind, x[:, None], np.empty((len(x), 1)), *more)[:, 0]
        arrays = getattr(steps_numpy, kind)(x[:, None], *more)[:, 0]
    plain = [getattr(steps_plain, kind)(v, *more) for v in EDGES]
    np.testing.assert_allclose(plain, expected, rtol=1e-13, atol=1e-300)
    np.testing.assert_allclose(arrays, expected, rtol=1e-13, atol=1e-300)


def test_infinity_and_nan_are_not_lost():
    assert steps_plain.exponential(710.0) == math.inf
    assert math.isnan(steps_plain.max_pool([1.0, math.nan, 2.0], [[0, 1, 2]], 1)[0])
    assert math.isnan(steps_plain.relu(math.nan))


def test_categories_are_rounded_half_to_even_and_unknown_ones_are_0():
    W, begins, limits = [[float(i)] for i in range(7)], [0.0, 3.0], [3.0, 4.0]
    x = [0.5, 1.5, 2.5, 3.5, -1.0, 9.0]
    assert steps_plain.category_embedding(x, W, begins, limits) == [0.0, 5.0, 2.0, 3.0, 0.0, 3.0]
    found = steps_numpy.category_embedding(np.array([x]), np.array(W), np.array(begins), np.array(limits))
    assert found.tolist() == [[0.0, 5.0, 2.0, 3.0, 0.0, 3.0]]


def test_a_row_may_have_axes_and_numbers_as_text():
    assert steps_plain.checked([[1, 2.5], ["3"]], 3) == [1.0, 2.5, 3.0]
    assert steps_plain.checked(np.ones((1, 2)), 2) == [1.0, 1.0]
