"""Threads share the rows of arrays: each segment's kernel gets its rows, and all of the other arguments."""

from __future__ import annotations

import numpy as np
import pytest

import nnx

pytest.importorskip("numba", reason="Numba is not installed: pip install 'nnx-arrays[fast]'")

from nnx.ops.base_numba import inner, team
from nnx.ops.share_numba import share


@inner
def note(rows, columns, flat, offset, scale):
    """Add to every number, and note how many rows came."""
    for row in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            rows[row, j] += offset[j] * scale
    columns[:, :] += columns.shape[0]
    flat[0] = rows.shape[0]


@team
def team_note(rows, columns, flat, offset, scale, segments):
    share(note, (rows, columns, flat), (offset, scale), segments)


@pytest.fixture(autouse=True)
def threads():
    nnx.resolve("numba")  # starts them


@pytest.mark.parametrize("segments", [1, 2, 3, 7])
def test_every_row_is_in_one_segment_and_segments_differ_by_one_row(segments: int) -> None:
    rows, columns = np.zeros((10, 3)), np.zeros((4, 11)).T  # 11 rows that are not contiguous
    flat, offset = np.zeros(segments), np.array([1.0, 2.0, 3.0])
    team_note(rows, columns, flat, offset, 2.0, segments)
    np.testing.assert_array_equal(rows, np.tile(2.0 * offset, (10, 1)))
    assert flat.sum() == 10
    assert flat.max() - flat.min() <= 1
    sizes = np.diff([number * 11 // segments for number in range(segments + 1)])
    np.testing.assert_array_equal(columns, np.tile(np.repeat(sizes, sizes)[:, None], 4))


def test_more_segments_than_rows_leave_some_empty() -> None:
    rows, columns, flat = np.zeros((2, 3)), np.zeros((2, 4)), np.full(5, np.nan)
    team_note(rows, columns, flat, np.ones(3), 1.0, 5)
    np.testing.assert_array_equal(rows, 1.0)
    np.testing.assert_array_equal(flat, [0, 0, 1, 0, 1])
