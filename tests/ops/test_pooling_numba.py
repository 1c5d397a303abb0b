"""Compiled pooling equals the plain form, on sizes that several threads share."""

from __future__ import annotations

import numpy as np
import pytest
from support.contract import agree, room

from nnx.backends.base import Backend
from nnx.ops.pooling import position_type
from nnx.ops.windows import Windows, windows

pytest.importorskip("numba", reason="Numba is not installed: pip install 'nnx-arrays[fast]'")

from nnx.backends.numba_backend import NumbaBackend
from nnx.ops.base_numba import SMALL_ARRAY

# windows, rows, channels
JOBS: dict[str, tuple[Windows, int, int]] = {
    "halves": (windows((28, 28), (2, 2), (2, 2), "valid"), 9, 6),
    "many channels": (windows((14, 14), (2, 2), (2, 2), "valid"), 9, 35),
    "a rest that no window holds": (windows((29, 31), (2, 3), (2, 3), "valid"), 17, 3),
    "overlap": (windows((19, 17), (3, 3), (1, 2), "valid"), 33, 4),
    "gaps": (windows((19, 23), (2, 1), (3, 2), "valid"), 33, 3),
    "padding": (windows((19, 17), (3, 4), (2, 1), "same"), 33, 4),
    "windows larger than the image": (windows((3, 2), (5, 7), (1, 1), "same"), 999, 7),
    "sequence": (windows((1, 500), (1, 4), (1, 3), "same"), 33, 3),
    "positions of four bytes": (windows((20, 20), (17, 16), (1, 2), "valid"), 33, 3),
}
jobs = pytest.mark.parametrize("job", JOBS)


def drawn(rng: np.random.Generator, job: str) -> tuple[np.ndarray, np.ndarray]:
    """x with many equal numbers, and dy."""
    found, rows, channels = JOBS[job]
    x = rng.integers(-3, 4, (rows, *found.size, channels)) / 4.0
    assert x.size >= SMALL_ARRAY
    return x, rng.standard_normal((rows, *found.outputs, channels))


@jobs
def test_maximum(compiled: Backend, dtype: np.dtype, rng: np.random.Generator, job: str) -> None:
    found, (x, dy) = JOBS[job][0], drawn(rng, job)
    forward = {"x": x, "y": room(*dy.shape), "windows": found}
    forward["position"] = np.zeros(dy.shape, position_type(found))
    position = agree(compiled, "max_pool_forward", dtype, forward, ("y", "position"))["position"]
    agree(compiled, "max_pool_forward", dtype, forward | {"position": None}, ("y",))
    backward = {"dy": dy, "position": position, "dx": room(*x.shape), "windows": found}
    agree(compiled, "max_pool_backward", dtype, backward, ("dx",), terms=found.kernel[0] * found.kernel[1])


@jobs
def test_average(compiled: Backend, dtype: np.dtype, rng: np.random.Generator, job: str) -> None:
    found, (x, dy) = JOBS[job][0], drawn(rng, job)
    terms = found.kernel[0] * found.kernel[1]
    forward = {"x": x, "y": room(*dy.shape), "windows": found}
    agree(compiled, "average_pool_forward", dtype, forward, ("y",), terms=terms)
    backward = {"dy": dy, "dx": room(*x.shape), "windows": found}
    agree(compiled, "average_pool_backward", dtype, backward, ("dx",), terms=terms)


@jobs
def test_nan_and_infinity(compiled: Backend, dtype: np.dtype, rng: np.random.Generator, job: str) -> None:
    """The first NaN of a window is its maximum; −∞ is a number, and padding is not."""
    found, (x, dy) = JOBS[job][0], drawn(rng, job)
    x = x.astype(dtype)
    x[rng.random(x.shape) < 0.1] = np.nan
    x[rng.random(x.shape) < 0.1] = np.inf
    x[rng.random(x.shape) < 0.1] = -np.inf
    x[0] = -np.inf
    results = []
    for backend in (Backend(), compiled):
        y, position = np.empty(dy.shape, dtype), np.zeros(dy.shape, position_type(found))
        with backend.quiet():
            backend.max_pool_forward(x, y, found, position)
        results.append((y, position))
    for plain, fast in zip(*results, strict=True):
        np.testing.assert_array_equal(fast, plain)


@pytest.mark.parametrize("threads", [1, 2, 4, 8])
def test_any_number_of_threads_gives_the_same_bytes(rng: np.random.Generator, threads: int) -> None:
    """No sum is divided among threads."""
    found, (x, dy) = JOBS["padding"][0], drawn(rng, "padding")
    results = []
    for count in (1, threads, threads):
        backend = NumbaBackend()
        backend.threads = count
        y, mean, position = np.empty_like(dy), np.empty_like(dy), np.zeros(dy.shape, np.uint8)
        dx, dmean = np.empty_like(x), np.empty_like(x)
        backend.max_pool_forward(x, y, found, position)
        backend.max_pool_backward(dy, position, dx, found)
        backend.average_pool_forward(x, mean, found)
        backend.average_pool_backward(dy, dmean, found)
        results.append([one.tobytes() for one in (y, position, dx, mean, dmean)])
    assert results[0] == results[1] == results[2]
