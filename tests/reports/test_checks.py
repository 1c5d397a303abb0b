"""The data of figures are read in every form that is allowed, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest
from support.figures import INF, NAN

from nnx.errors import ConfigurationError, DataError
from nnx.reports import checks


def test_a_curve_has_a_gap_at_each_value_that_is_missing_or_not_finite():
    np.testing.assert_array_equal(checks.series([1, None, INF, -INF, 2.5], "loss"), [1, NAN, NAN, NAN, 2.5])


def test_flat_images_and_images_of_two_axes_are_the_same(rng):
    stack = rng.random((3, 2, 4))
    for values in (stack, stack.reshape(3, 8), stack.tolist()):
        np.testing.assert_array_equal(checks.image_stack(values, (2, 4), "x"), stack)


@pytest.mark.parametrize("value", [-0.5, 1.5])
def test_images_outside_the_drawn_range_are_read_only_where_that_is_asked_for(value):
    images = np.full((1, 4), value)
    with pytest.raises(DataError, match=f"x has values from {value} to {value}, but needs 0..1"):
        checks.image_stack(images, (2, 2), "x")
    assert checks.image_stack(images, (2, 2), "x", in_range=False).max() == value


@pytest.mark.parametrize("value", [0, -1, 1.0, "1", True, None])
def test_a_count_is_a_positive_integer(value):
    assert checks.positive(np.int64(3), "count") == 3
    with pytest.raises(ConfigurationError, match="count must be a positive integer, not"):
        checks.positive(value, "count")
