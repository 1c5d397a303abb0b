"""Sums of positions by row, and rows taken, written and cleared, on every backend."""

from __future__ import annotations

import numpy as np
import pytest
from support.contract import agree, close, room

from nnx.backends import Backend

POSITIONS = [1, 7, 300]


def drawn(rng: np.random.Generator, positions: int, vocabulary: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of which some occur often, and a gradient for each position."""
    x = np.minimum(rng.integers(0, 2 * vocabulary, positions), vocabulary - 1)
    return x, rng.standard_normal((positions, 5))


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("vocabulary", [1, 40, 10**6])
def test_sums_by_row(
    backend: Backend, dtype: np.dtype, rng: np.random.Generator, positions: int, vocabulary: int
) -> None:
    x, dy = drawn(rng, positions, vocabulary)
    arguments = {"dy": dy, "x": x, "rows": np.full(positions, 7), "sums": room(positions, 5)}
    found = agree(
        backend, "embedding_backward", dtype, arguments, ("rows", "sums"), terms=positions, returns=False
    )
    rows, sums = found["rows"], found["sums"]
    used = rows >= 0
    np.testing.assert_array_equal(rows[used], np.unique(x))
    assert (rows[~used] == -1).all()
    assert not sums[~used].any()
    for row, total in zip(rows[used], sums[used], strict=True):
        close(total, dy.astype(dtype)[x == row].astype(float).sum(axis=0), dtype, positions)


@pytest.mark.parametrize("positions", [200_000, 130])
def test_many_positions_of_one_row_are_summed_in_blocks(backend: Backend, positions: int) -> None:
    """One after the other, in float32, the error would be above 1e-3."""
    x, dy = np.full(positions, 2), np.full((positions, 2), 0.1, np.float32)
    x[[0, -1]] = 1, 9
    rows, sums = backend.empty(positions, "int64"), backend.empty((positions, 2), "float32")
    backend.embedding_backward(backend.asarray(dy), backend.asarray(x), rows, sums)
    found = dict(zip(*(backend.to_numpy(one).tolist() for one in (rows, sums)), strict=True))
    expected = {1: 0.1, 2: 0.1 * (positions - 2), 9: 0.1}
    for row, total in expected.items():
        np.testing.assert_allclose(found[row], [total] * 2, rtol=1e-5)


@pytest.mark.parametrize("rows", [[3], [-1], [4, -1, 0, 2, -1, 1], [*range(400), -1]])
def test_take_put_and_clear(backend: Backend, dtype: np.dtype, rng: np.random.Generator, rows: list) -> None:
    numbers, table = np.array(rows), rng.standard_normal((400, 100))
    values = rng.standard_normal((len(rows), 100))
    agree(
        backend, "take_rows", dtype,
        {"source": table, "rows": numbers, "out": room(len(rows), 100)}, ("out",),
    )  # fmt: skip
    agree(backend, "put_rows", dtype, {"target": table, "rows": numbers, "values": values}, ("target",))
    agree(backend, "put_rows", dtype, {"target": table, "rows": numbers, "values": None}, ("target",))
