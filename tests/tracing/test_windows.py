"""Which rows and columns a page shows."""

from __future__ import annotations

import numpy as np
import pytest

from nnx.tracing.windows import flat, shares, some_rows, window


def test_the_chosen_are_always_shown():
    assert window(3, [], 5) == [0, 1, 2]
    assert window(100, [50], 4) == [0, 1, 2, 50]
    assert window(100, [1], 3) == [0, 1, 2]
    assert some_rows(8, 7) == list(range(8))
    assert some_rows(9, 7) == [0, 1, 2, 7]


@pytest.mark.parametrize(
    ("sizes", "given"), [([2, 3], [2, 3]), ([64, 1], [5, 1]), ([64, 64], [3, 3]), ([9, 9, 9], [2, 2, 2])]
)
def test_columns_are_divided(sizes, given):
    assert shares(sizes, 6) == given


def test_any_array_is_rows_of_numbers():
    assert flat(np.zeros((2, 3, 4))).shape == (2, 12)
    assert flat(np.zeros(5)).shape == (5, 1)
