"""Rows are what is stored, divided, whether in one array or in several, and errors name what is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from support.fed import PIXELS, autoencoder, fit, floats

import nnx


def test_rows_are_what_is_stored_divided():
    rows = nnx.Rows(PIXELS, divisor=255)
    assert (rows.shape, rows.ndim, len(rows), rows.dtype) == (PIXELS.shape, 2, 300, np.float32)
    np.testing.assert_array_equal(np.asarray(rows), floats())
    np.testing.assert_array_equal(np.asarray(rows.astype("float64")), floats("float64"))
    np.testing.assert_array_equal(rows[np.array([7, 0, 299])], floats()[[7, 0, 299]])
    np.testing.assert_array_equal(np.asarray(nnx.Rows(PIXELS)), PIXELS)


@pytest.mark.parametrize("cut", [slice(None), slice(90, 210), slice(250, None), slice(3, 3)])
def test_arrays_one_after_another_are_one(cut):
    shards = nnx.Rows([PIXELS[:100], PIXELS[100:110], PIXELS[110:]], divisor=255)
    assert shards.blocks == (100, 10, 190)
    part = shards[cut]
    assert isinstance(part, nnx.Rows)
    assert part.shape == floats()[cut].shape
    np.testing.assert_array_equal(np.asarray(part), floats()[cut])
    numbers = np.array([299, 109, 0, 100, 99, 110, 0])
    np.testing.assert_array_equal(shards[numbers], floats()[numbers])


def test_a_slice_reads_nothing_yet():
    rows = nnx.Rows([PIXELS[:100], PIXELS[100:]])
    assert all(np.shares_memory(part, PIXELS) for part in rows[50:150].arrays)
    with pytest.warns(DeprecationWarning, match=r"rows\.arrays"):
        assert rows.parts is rows.arrays


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: nnx.Rows([PIXELS, PIXELS[:, :3]]),
            r"the first is uint8 of shape \(300, 24\), and another is uint8 of",
        ),
        (lambda: nnx.Rows([PIXELS, floats()]), "the first is uint8 of .* and another is float32 of"),
        (lambda: nnx.Rows([]), "the list of arrays is empty"),
        (lambda: nnx.Rows(PIXELS, divisor=0), "divisor must be a positive number, not 0"),
        (lambda: nnx.Rows(PIXELS, divisor=np.inf), "divisor must be a positive number, not inf"),
        (
            lambda: nnx.Rows(np.ma.masked_equal(PIXELS, PIXELS[0, 0])),
            "masked cell.*, first in row 0: fill them",
        ),
        (lambda: nnx.Rows([PIXELS, np.ma.masked_equal(PIXELS, PIXELS[0, 0])]), "masked cell.*: fill them"),
        (lambda: nnx.Rows(np.array(["a"])), "must hold numbers, not <U1"),
        (lambda: nnx.Rows(PIXELS)[::2], "must have step 1, not 2"),
        (
            lambda: nnx.Rows(PIXELS)[np.array([0, -1])],
            "lie in 0 to 299, but they go from -1 to 0",
        ),
        (lambda: nnx.Rows([PIXELS, PIXELS])[np.array([600])], "lie in 0 to 599, but they go from 600 to 600"),
        (lambda: nnx.Rows(PIXELS)[PIXELS[:, 0] > 9], "with a slice or an array of row numbers"),
        (lambda: nnx.Rows(PIXELS)[3], "a slice or an array of row numbers, not with 3"),
        (lambda: autoencoder().predict(nnx.Rows(PIXELS[:, 0])), "shape"),
        (lambda: fit(autoencoder(), nnx.Rows(PIXELS[:, 0])), "two dimensions"),
        (lambda: fit(autoencoder(), nnx.Rows(PIXELS)), r"targets must lie in \[0, 1\], found values from 0"),
        (
            lambda: fit(autoencoder(), nnx.Rows([floats(), np.full((1, 24), np.nan, "f4")])),
            "x has a value that is NaN or infinite, first in row 300",
        ),
    ],
)
def test_invalid_rows_are_refused(make, words):
    with pytest.raises(nnx.DataError, match=words):
        make()


def test_data_on_a_gpu_are_refused_in_a_line():
    class OnGpu:
        def __dlpack_device__(self):
            return 2, 1

    with pytest.raises(nnx.DataError, match=r"Rows takes data on the host, but they lie on gpu:1: .*asnumpy"):
        nnx.Rows(OnGpu())
