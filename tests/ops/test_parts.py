"""How a product is divided: by the smaller sum of what all cores read, the same each time, no part empty."""

from __future__ import annotations

import itertools

import pytest

from nnx.ops.parts import LINE, SMALL_BATCH, TASK, tiles

SIZES = (1, 3, 16, 31, 64, 100, 257, 1024)


@pytest.mark.parametrize("threads", [1, 2, 3, 4, 7, 8, 16, 64])
def test_every_part_has_work(threads: int) -> None:
    for rows, columns, inner in itertools.product(SIZES, repeat=3):
        r, c = tiles(rows, columns, inner, threads)
        assert 1 <= r <= max(1, rows // LINE)
        assert 1 <= c <= max(1, columns // LINE)
        if threads == 1 and min(rows, inner) > SMALL_BATCH:
            assert (r, c) == (1, 1)


@pytest.mark.parametrize(
    ("rows", "columns", "threads", "expected"),
    [
        (100, 4096, 2, (1, 2)),  # fewer rows than columns: each core reads other columns of W
        (4096, 64, 2, (2, 1)),  # many rows: the next layer finds them in the same cache
        (512, 512, 2, (2, 1)),  # rows that were just computed count more
        (256, 1024, 16, (4, 4)),  # many threads: each reads a quarter of both factors
        (2048, 2048, 16, (8, 2)),
        (4096, 4096, 7, (7, 1)),
    ],
)
def test_cores_read_as_little_as_possible(
    rows: int, columns: int, threads: int, expected: tuple[int, int]
) -> None:
    assert tiles(rows, columns, 1024, threads) == expected


def test_small_products_are_not_divided() -> None:
    assert tiles(16, 16, 16, 8) == (1, 1)
    for threads in (2, 4, 16):
        r, c = tiles(256, 64, 64, threads)
        assert r * c <= 256 * 64 * 64 // TASK


def test_few_rows_have_more_parts_than_threads() -> None:
    """So a BLAS that computes small products without packing can do so."""
    assert tiles(4, 512, 512, 2) == (1, 2)
    assert tiles(16, 512, 512, 2) == (1, 8)
    assert tiles(16, 512, 512, 1) == (1, 8)
    assert tiles(256, 512, 512, 2) == (2, 1)
