"""The functions of the steps on several rows at once."""

from __future__ import annotations

import numpy as np
import pytest

from nnx.standalone import steps_numpy


def test_rows_are_computed_in_blocks(rng):
    x = rng.normal(size=(600, 4))
    sizes = []

    def network(block):
        sizes.append(len(block))
        return block * 2.0

    np.testing.assert_array_equal(steps_numpy.in_blocks(network, x, 2, 2), 2.0 * x.reshape(-1, 2, 2))
    assert sizes == [256, 256, 88]


def test_rows_of_another_shape_are_refused():
    assert steps_numpy.checked(np.ones((3, 2, 2)), 2, 2).shape == (3, 4)
    assert steps_numpy.checked([], 2, 2).shape == (0, 4)
    for wrong in (np.ones(4), np.ones((3, 5)), [[np.nan] * 4], [[np.inf] * 4]):
        with pytest.raises(ValueError, match=r"shape|NaN"):
            steps_numpy.checked(wrong, 2, 2)
