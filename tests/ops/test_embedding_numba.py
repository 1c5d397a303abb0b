"""The compiled forms equal the plain ones on sizes that several threads share."""

from __future__ import annotations

import numpy as np
import pytest
from support.contract import agree, room

from nnx.backends.base import Backend

pytest.importorskip("numba", reason="Numba is not installed: pip install 'nnx-arrays[fast]'")

from nnx.ops.base_numba import SMALL_ARRAY

POSITIONS, UNITS = 1500, 40


def numbers(rng: np.random.Generator) -> np.ndarray:
    """A run that is longer than a thread's segment and than a block, and many short ones."""
    return np.where(rng.random(POSITIONS) < 0.5, 7, rng.integers(0, 900, POSITIONS))


def test_the_plain_form(compiled: Backend, dtype: np.dtype, rng: np.random.Generator) -> None:
    assert SMALL_ARRAY < POSITIONS * UNITS
    x, dy = numbers(rng), rng.standard_normal((POSITIONS, UNITS))
    arguments = {"dy": dy, "x": x, "rows": x.copy(), "sums": room(POSITIONS, UNITS)}
    agree(compiled, "embedding_backward", dtype, arguments, ("rows", "sums"), terms=POSITIONS, returns=False)
    rows = np.where(rng.random(POSITIONS) < 0.3, -1, rng.permutation(2000)[:POSITIONS])
    table = rng.standard_normal((2000, UNITS))
    agree(
        compiled, "take_rows", dtype,
        {"source": table, "rows": rows, "out": room(POSITIONS, UNITS)}, ("out",),
    )  # fmt: skip
    for values in (dy, None):
        agree(compiled, "put_rows", dtype, {"target": table, "rows": rows, "values": values}, ("target",))


def test_the_number_of_threads_does_not_matter(rng: np.random.Generator) -> None:
    from nnx.backends.numba_backend import NumbaBackend

    x, dy = numbers(rng), rng.standard_normal((POSITIONS, UNITS)).astype(np.float32)
    found = set()
    for threads in (1, 2, 8):
        backend = NumbaBackend()
        backend.threads = threads
        rows, sums = np.empty_like(x), np.empty_like(dy)
        backend.embedding_backward(dy, x, rows, sums)
        found.add((rows.tobytes(), sums.tobytes()))
    assert len(found) == 1
