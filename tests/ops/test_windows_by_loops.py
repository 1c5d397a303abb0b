"""Convolution and pooling of any geometry are loops over windows: output, gradients, and padding."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnx

ROWS = 2
CLOSE = {"rtol": 1e-10, "atol": 1e-12}


@st.composite
def geometries(draw: st.DrawFn) -> dict[str, Any]:
    """Size, kernel, strides, dilation and padding of windows that fit."""
    padding = draw(st.sampled_from(["valid", "same"]))
    size, kernel, strides, dilation = [], [], [], []
    spread = draw(st.booleans())  # Keras has either dilation or strides
    for _ in range(2):
        kernel.append(draw(st.integers(1, 4)))
        strides.append(1 if spread else draw(st.integers(1, 4)))
        dilation.append(draw(st.integers(1, 3)) if spread else 1)
        reach = (kernel[-1] - 1) * dilation[-1] + 1
        size.append(draw(st.integers(reach if padding == "valid" else 1, reach + 5)))
    return {
        "size": tuple(size), "kernel": tuple(kernel), "strides": tuple(strides),
        "dilation": tuple(dilation), "padding": padding,
    }  # fmt: skip


def windows_on_axis(
    size: int, kernel: int, stride: int, dilation: int, padding: str
) -> list[list[int | None]]:
    """The positions of each window, and None where it reaches over an edge."""
    reach = (kernel - 1) * dilation + 1
    if padding == "valid":
        begins = list(range(0, size - reach + 1, stride))
    else:
        count = -(-size // stride)
        before = max((count - 1) * stride + reach - size, 0) // 2
        begins = [stride * number - before for number in range(count)]
    return [
        [place if 0 <= place < size else None for place in range(begin, begin + reach, dilation)]
        for begin in begins
    ]


def held(g: dict[str, Any], dilated: bool) -> dict[tuple[int, int], list[tuple[int, int, int, int]]]:
    """(row of the kernel, column of the kernel, row, column) of each position in each window."""
    along = [
        windows_on_axis(g["size"][a], g["kernel"][a], g["strides"][a], g["dilation"][a] if dilated else 1,
                        g["padding"])
        for a in (0, 1)
    ]  # fmt: skip
    return {
        (o, p): [
            (i, j, row, column)
            for (i, row), (j, column) in itertools.product(enumerate(along[0][o]), enumerate(along[1][p]))
            if row is not None and column is not None
        ]
        for o, p in itertools.product(range(len(along[0])), range(len(along[1])))
    }


def passes(layer: nnx.Layer, x: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Output, dy and dx of a layer."""
    y = layer.forward(x, training=True).copy()
    dy = rng.standard_normal(y.shape)
    return y, dy, layer.backward(dy).copy()


@pytest.mark.parametrize("device", ["numpy", "numba"])
@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(g=geometries(), groups=st.sampled_from([(1, 1), (2, 2), (3, 3), (1, 3)]), seed=st.integers(0, 99))
def test_convolution(device: str, g: dict[str, Any], groups: tuple[int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, channels = groups
    layer = nnx.Conv2D(
        2 * count, g["kernel"], g["strides"], g["padding"], dilation=g["dilation"], groups=count
    )
    layer.build((*g["size"], channels), device=device, dtype="float64")
    layer.b[...] = rng.standard_normal(layer.b.shape)
    x = rng.standard_normal((ROWS, *g["size"], channels))
    y, dy, dx = passes(layer, x, rng)
    expected, dW, dx_expected = np.zeros_like(y) + layer.b, np.zeros_like(layer.W), np.zeros_like(x)
    inside, outside = channels // count, 2
    for (o, p), places in held(g, True).items():
        for i, j, row, column in places:
            for group in range(count):
                c, f = (
                    np.s_[group * inside : (group + 1) * inside],
                    np.s_[group * outside : (group + 1) * outside],
                )
                expected[:, o, p, f] += x[:, row, column, c] @ layer.W[i, j, :, f]
                dW[i, j, :, f] += x[:, row, column, c].T @ dy[:, o, p, f]
                dx_expected[:, row, column, c] += dy[:, o, p, f] @ layer.W[i, j, :, f].T
    assert y.shape[1:3] == tuple(np.max(list(held(g, True)), axis=0) + 1)
    np.testing.assert_allclose(y, expected, **CLOSE)
    np.testing.assert_allclose(layer.dW, dW, **CLOSE)
    np.testing.assert_allclose(layer.db, dy.sum(axis=(0, 1, 2)), **CLOSE)
    np.testing.assert_allclose(dx, dx_expected, **CLOSE)


@pytest.mark.parametrize("device", ["numpy", "numba"])
@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(g=geometries(), channels=st.integers(1, 3), seed=st.integers(0, 99))
def test_pooling(device: str, g: dict[str, Any], channels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(-2, 3, (ROWS, *g["size"], channels)) / 2.0  # many equal numbers
    for kind in (nnx.MaxPool2D, nnx.AveragePool2D):
        layer = kind(g["kernel"], g["strides"], g["padding"])
        layer.build((*g["size"], channels), device=device, dtype="float64")
        y, dy, dx = passes(layer, x, rng)
        expected, dx_expected = np.zeros_like(y), np.zeros_like(x)
        for (o, p), places in held(g, False).items():
            rows, columns = [place[2] for place in places], [place[3] for place in places]
            numbers = x[:, rows, columns]  # (ROWS, positions, channels)
            if kind is nnx.AveragePool2D:
                expected[:, o, p] = numbers.mean(axis=1)
                dx_expected[:, rows, columns] += dy[:, o, p][:, None] / len(places)
                continue
            expected[:, o, p] = numbers.max(axis=1)
            for r, c in np.ndindex(ROWS, channels):
                first = int(np.argmax(numbers[r, :, c]))
                dx_expected[r, rows[first], columns[first], c] += dy[r, o, p, c]
        np.testing.assert_allclose(y, expected, **CLOSE)
        np.testing.assert_allclose(dx, dx_expected, **CLOSE)
