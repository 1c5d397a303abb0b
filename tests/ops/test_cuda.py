"""The number of threads of a CUDA kernel over rows is a power of two, which its sums need."""

from __future__ import annotations

import numpy as np
import pytest

from nnx.ops.cuda import THREADS, Raw, power_of_two


def test_the_smallest_power_of_two_that_is_enough() -> None:
    assert [power_of_two(n) for n in (1, 2, 3, 4, 5, 255, 256, 257)] == [1, 2, 4, 4, 8, 256, 256, 512]


@pytest.mark.parametrize(
    ("shape", "blocks", "threads"),
    [((7, 10), 7, 32), ((7, 33), 7, 64), ((7, 5000), 7, THREADS), ((100_000, 2), 65535, 32)],
)
def test_a_row_has_a_block_and_enough_threads(shape: tuple[int, int], blocks: int, threads: int) -> None:
    launches = []

    class Noted(Raw):
        known: dict[str, Raw] = {}  # noqa: RUF012 - not a kernel of the package

        def of(self, dtype: np.dtype):
            return lambda grid, block, arguments: launches.append((grid, block, arguments))

    kernel = Noted.__new__(Noted)
    x = np.broadcast_to(np.float32(0.0), shape)
    kernel.over_rows(x, (x,), 0.5)
    assert launches == [((blocks,), (threads,), (x, *shape, 0.5))]
