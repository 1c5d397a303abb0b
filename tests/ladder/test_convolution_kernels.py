"""The kernels of convolutions, compiled by g++, compute the same as NumPy's indexing and the plain form."""

from __future__ import annotations

import itertools
import shutil
from typing import Any

import numpy as np
import pytest
from support.contract import close, room
from support.ladder.host_kernels import compile

from nnx.backends import Backend
from nnx.ops.convolution import inside, positions
from nnx.ops.windows import Windows, windows

pytest.importorskip("cupy", reason="needs CuPy's real wheel: nox -s ladder")
from nnx.ops.convolution_cuda import _numbers

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")

PLAIN = Backend()
JOBS: dict[str, tuple[Any, ...]] = {  # size, kernel, strides, padding, dilation
    "3x3": ((6, 5), (3, 3), (1, 1), "valid", (1, 1)),
    "same": ((5, 6), (3, 2), (1, 1), "same", (1, 1)),
    "same, strides": ((7, 8), (3, 2), (2, 3), "same", (1, 1)),
    "gaps between windows": ((8, 7), (1, 2), (3, 3), "same", (1, 1)),
    "dilation": ((8, 7), (3, 2), (1, 1), "same", (2, 3)),
    "sequence": ((1, 9), (1, 4), (1, 2), "same", (1, 1)),
    "one number": ((1, 1), (1, 1), (1, 1), "valid", (1, 1)),
}
ROWS = 3
THREADS = ({"threads": False}, {}, {"backwards": True})
jobs = pytest.mark.parametrize("job", JOBS)


@pytest.fixture(params=["float32", "float64"])
def number(request: pytest.FixtureRequest) -> np.dtype:
    return np.dtype(request.param)


def columns_of(x: np.ndarray, found: Windows) -> np.ndarray:
    """The numbers of each window: (rows, height', width', place in the window, channels)."""
    padded = np.zeros((len(x), *found.padded, x.shape[-1]), x.dtype)
    padded[inside(found)] = x
    return np.stack([padded[place] for _, _, place in positions(found)], axis=3)


@pytest.mark.parametrize(("first", "inner"), [(0, 4), (2, 2), (3, 1)])
@jobs
def test_columns(job: str, first: int, inner: int, number: np.dtype, rng: np.random.Generator) -> None:
    found = windows(*JOBS[job])
    x = rng.normal(size=(ROWS, *found.size, 4)).astype(number)
    expected = columns_of(x, found)[..., first : first + inner].ravel()
    columns = np.full(expected.shape, np.nan, number)
    compile("to_columns", number.name)(x.ravel(), *_numbers(found, x), first, inner, columns)
    np.testing.assert_array_equal(columns, expected)


@pytest.mark.parametrize("inner", [1, 3])
@jobs
def test_gradients_of_columns(job: str, inner: int, number: np.dtype, rng: np.random.Generator) -> None:
    """Each number of dx sums the gradients of all columns that hold it, into a part of the channels too."""
    found = windows(*JOBS[job])
    places = found.kernel[0] * found.kernel[1]
    dcolumns = rng.normal(size=(ROWS, *found.outputs, places, inner)).astype(number)
    padded = np.zeros((ROWS, *found.padded, inner))
    for at, (_, _, place) in enumerate(positions(found)):
        padded[place] += dcolumns[:, :, :, at]
    whole = np.full((ROWS, *found.size, 5), np.nan, number)
    part = whole[..., 1 : 1 + inner]
    compile("from_columns", number.name)(dcolumns.ravel(), *_numbers(found, whole), inner, part)
    close(part, padded[inside(found)], number, places)
    assert np.isnan(whole[..., 0]).all()
    assert np.isnan(whole[..., 1 + inner :]).all()


@pytest.mark.parametrize("each", [1, 2])
@pytest.mark.parametrize("channels", [3, 4])
@jobs
def test_a_group_for_each_channel(
    job: str, channels: int, each: int, number: np.dtype, rng: np.random.Generator
) -> None:
    found = windows(*JOBS[job])
    x = rng.normal(size=(ROWS, *found.size, channels)).astype(number)
    W = rng.normal(size=(*found.kernel, 1, channels * each)).astype(number)
    dy = rng.normal(size=(ROWS, *found.outputs, channels * each)).astype(number)
    wide = [one.astype(float) for one in (x, W, dy)]
    expected, dW, dx = room(*dy.shape), room(*W.shape), room(*x.shape)
    PLAIN.convolution_forward(wide[0], wide[1], None, expected, found, channels, None)
    PLAIN.convolution_backward(wide[2], wide[0], wide[1], dW, None, dx, found, channels, None)
    numbers, filters = _numbers(found, x), channels * each
    y, gradient = np.full(dy.size, np.nan, number), np.full(x.size, np.nan, number)
    compile("convolve_channels", number.name)(x.ravel(), W.ravel(), *numbers, filters, y)
    close(y, expected.ravel(), number, W.size)
    compile("convolve_channels_back", number.name)(dy.ravel(), W.ravel(), *numbers, filters, gradient)
    close(gradient, dx.ravel(), number, W.size)
    places = W.shape[0] * W.shape[1]
    parts, done = np.full(3 * W.size, np.nan, number), np.zeros(2 * places, np.uint32)
    for how, blocks in itertools.product(THREADS, ((1, 2), (3, places))):  # in y and z
        found_dW = np.full(W.shape, np.nan, number)
        arguments = (x, dy, found_dW, parts, done, dy.size // filters, filters, *map(np.uint32, numbers))
        compile("convolve_channels_weights", number.name)((2, *blocks), (2, 8), arguments, **how)
        close(found_dW, dW, number, dy.size)
    np.testing.assert_array_equal(done, 0)
