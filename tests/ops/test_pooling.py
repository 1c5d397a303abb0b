"""Pooling: every backend computes the plain form, and the plain form computes loops over windows."""

from __future__ import annotations

import itertools
import tracemalloc
from typing import Any

import numpy as np
import pytest
from support.contract import ORACLE, agree, room

from nnx.backends import Backend
from nnx.backends.numpy_backend import NumpyBackend
from nnx.errors import DataError
from nnx.ops.pooling import _numbers, position_type
from nnx.ops.windows import Windows, windows

GEOMETRIES = [
    windows((4, 6), (2, 2), (2, 2), "valid"),
    windows((5, 7), (2, 3), (2, 3), "valid"),  # a rest that no window holds
    windows((6, 5), (3, 2), (1, 2), "valid"),  # windows overlap
    windows((7, 6), (2, 1), (3, 2), "valid"),  # gaps between windows
    windows((5, 3), (2, 2), (2, 2), "same"),
    windows((4, 5), (3, 4), (1, 2), "same"),
    windows((3, 2), (5, 5), (1, 1), "same"),  # windows larger than the image
    windows((1, 9), (1, 4), (1, 3), "same"),  # a sequence
    windows((17, 16), (17, 16), (17, 16), "valid"),  # positions need more than a byte
]


def named(one: Windows) -> str:
    return f"{one.size} {one.kernel} {one.strides} {'same' if one.is_padded else 'valid'}"


GEOMETRY = pytest.mark.parametrize("geometry", GEOMETRIES, ids=named)


def held(geometry: Windows, o: int, p: int) -> list[tuple[int, int, int]]:
    """(place in the window, row, column) of each position of the image in window (o, p)."""
    found = []
    for i, j in itertools.product(*map(range, geometry.kernel)):
        row = o * geometry.strides[0] - geometry.before[0] + i
        column = p * geometry.strides[1] - geometry.before[1] + j
        if 0 <= row < geometry.size[0] and 0 <= column < geometry.size[1]:
            found.append((i * geometry.kernel[1] + j, row, column))
    return found


def by_loops(x: np.ndarray, dy: np.ndarray, geometry: Windows) -> tuple[np.ndarray, ...]:
    """Maximum, its position, its dx, mean and its dx, window by window."""
    top, mean, place = np.empty_like(dy), np.empty_like(dy), np.empty(dy.shape, int)
    dtop, dmean = np.zeros_like(x), np.zeros_like(x)
    for r, o, p, c in np.ndindex(dy.shape):
        inside = held(geometry, o, p)
        numbers = [x[r, i, j, c] for _, i, j in inside]
        best = int(np.argmax(numbers))  # the first, also of several NaN
        top[r, o, p, c], place[r, o, p, c] = numbers[best], inside[best][0]
        dtop[r, inside[best][1], inside[best][2], c] += dy[r, o, p, c]
        mean[r, o, p, c] = sum(numbers) / len(numbers)
        for _, i, j in inside:
            dmean[r, i, j, c] += dy[r, o, p, c] / len(numbers)
    return top, place, dtop, mean, dmean


def drawn(rng: np.random.Generator, geometry: Windows, rows: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """x with many equal numbers, and dy."""
    x = rng.integers(-3, 4, (rows, *geometry.size, 2)) / 4.0
    return x, rng.standard_normal((rows, *geometry.outputs, 2))


@GEOMETRY
def test_the_plain_form_is_a_loop_over_windows(rng: np.random.Generator, geometry: Windows) -> None:
    x, dy = drawn(rng, geometry)
    expected = by_loops(x, dy, geometry)
    position = np.empty(dy.shape, position_type(geometry))
    found = [
        ORACLE.max_pool_forward(x, room(*dy.shape), geometry, position),
        position,
        ORACLE.max_pool_backward(dy, position, room(*x.shape), geometry),
        ORACLE.average_pool_forward(x, room(*dy.shape), geometry),
        ORACLE.average_pool_backward(dy, room(*x.shape), geometry),
    ]
    for mine, loops in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, loops, rtol=1e-12, atol=1e-14)


@GEOMETRY
@pytest.mark.parametrize("rows", [1, 5])
def test_maximum(
    backend: Backend, dtype: np.dtype, rng: np.random.Generator, geometry: Windows, rows: int
) -> None:
    x, dy = drawn(rng, geometry, rows)
    kind = position_type(geometry)
    arguments = {"x": x, "y": room(*dy.shape), "windows": geometry, "position": np.zeros(dy.shape, kind)}
    position = agree(backend, "max_pool_forward", dtype, arguments, ("y", "position"))["position"]
    arguments["position"] = None
    agree(backend, "max_pool_forward", dtype, arguments, ("y",))
    arguments = {"dy": dy, "position": position, "dx": room(*x.shape), "windows": geometry}
    agree(backend, "max_pool_backward", dtype, arguments, ("dx",), terms=25)


@GEOMETRY
@pytest.mark.parametrize("rows", [1, 5])
def test_average(
    backend: Backend, dtype: np.dtype, rng: np.random.Generator, geometry: Windows, rows: int
) -> None:
    x, dy = drawn(rng, geometry, rows)
    forward = {"x": x, "y": room(*dy.shape), "windows": geometry}
    agree(backend, "average_pool_forward", dtype, forward, ("y",), terms=272)
    backward = {"dy": dy, "dx": room(*x.shape), "windows": geometry}
    agree(backend, "average_pool_backward", dtype, backward, ("dx",), terms=25)


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_numbers_that_are_not_finite(backend: Backend, dtype: np.dtype, padding: str) -> None:
    """A NaN stays visible, in the windows that hold it only; infinities are numbers like others."""
    geometry = windows((3, 5), (2, 2), (1, 1), padding)
    rng = np.random.default_rng(3)
    x = rng.standard_normal((2, *geometry.size, 3)).astype(dtype)
    x[0, 1, 2, 0] = x[0, 1, 3, 0] = np.nan
    x[0, 0, :, 1], x[1, :, :, 1] = np.inf, -np.inf
    dy = rng.standard_normal((2, *geometry.outputs, 3)).astype(dtype)
    top, place, dtop, mean, _ = by_loops(x, dy, geometry)
    position = backend.asarray(np.zeros(dy.shape, "uint8"))
    device, y = backend.asarray(x), backend.empty(dy.shape, dtype)
    with backend.quiet():
        backend.max_pool_forward(device, y, geometry, position)
        np.testing.assert_array_equal(backend.to_numpy(y), top)
        np.testing.assert_array_equal(backend.to_numpy(position), place)
        dx = backend.max_pool_backward(backend.asarray(dy), position, backend.empty(x.shape, dtype), geometry)
        np.testing.assert_allclose(backend.to_numpy(dx), dtop, rtol=1e-5, atol=1e-6)
        backend.average_pool_forward(device, y, geometry)
    np.testing.assert_allclose(backend.to_numpy(y), mean, rtol=1e-5, atol=1e-6)


def test_every_backend_takes_the_first_of_equal_maxima(backend: Backend, dtype: np.dtype) -> None:
    geometry = windows((4, 4), (3, 3), (1, 1), "same")
    for value in (0.0, -1.0):
        x = backend.asarray(np.full((1, 4, 4, 1), value, dtype))
        y, position = backend.empty(x.shape, dtype), backend.empty(x.shape, "uint8")
        backend.max_pool_forward(x, y, geometry, position)
        first = [[held(geometry, o, p)[0][0] for p in range(4)] for o in range(4)]
        np.testing.assert_array_equal(backend.to_numpy(position)[0, :, :, 0], first)


def test_a_large_window_in_float32_is_summed_by_rows(backend: Backend) -> None:
    """One by one, 160,000 equal numbers would be off by more than 1e-4."""
    geometry = windows((400, 400), (400, 400), (400, 400), "valid")
    x = backend.asarray(np.full((1, 400, 400, 1), 0.1, np.float32))
    y = backend.average_pool_forward(x, backend.empty((1, 1, 1, 1), np.float32), geometry)
    assert backend.to_numpy(y).item() == pytest.approx(0.1, rel=1e-5)


def test_an_image_too_large_for_the_kernels_is_refused() -> None:
    """Their indices within an image have 32 bits, and would begin again at 0."""
    image = np.broadcast_to(np.float32(0.0), (1, 2**16, 2**15, 1))
    with pytest.raises(DataError, match=r"images of shape \(65536, 32768, 1\) have 2³¹ or more numbers"):
        _numbers(windows((2**16, 2**15), (2, 2), (2, 2), "valid"), image)


def test_steps_after_the_first_allocate_nothing(rng: np.random.Generator) -> None:
    """The form in place on NumPy uses scratch arrays. The smallest array of floats has 802,816 bytes."""
    backend, geometry = NumpyBackend(), windows((28, 28), (3, 3), (2, 2), "same")
    x, dy = rng.standard_normal((64, 28, 28, 8)), rng.standard_normal((64, 14, 14, 8))
    y, dx, position = np.empty_like(dy), np.empty_like(x), np.empty(dy.shape, "uint8")

    def step() -> Any:
        backend.max_pool_forward(x, y, geometry, position)
        backend.max_pool_backward(dy, position, dx, geometry)
        backend.average_pool_forward(x, y, geometry)
        backend.average_pool_backward(dy, dx, geometry)

    step()
    tracemalloc.start()
    try:
        step()
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 250_000  # NumPy converts numbers in buffers of 8,192
