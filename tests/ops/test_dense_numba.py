"""Compiled dense layers equal the plain forms, on sizes that several threads share."""

from __future__ import annotations

import numpy as np
import pytest
from support.contract import agree, room

import nnx
from nnx.backends.base import Backend

pytest.importorskip("numba", reason="Numba is not installed: pip install 'nnx-arrays[fast]'")

from nnx.ops.parts import tiles

INPUTS, UNITS = 190, 92  # not multiples of a cache line, but enough for several threads
SHARED = [31, 131, 257]  # rows: divided by columns or by rows, and parts that differ by one
KINDS = ["identity", "relu", "sigmoid", "tanh", "leaky_relu"]


@pytest.mark.parametrize("strided", [False, True])
@pytest.mark.parametrize("rows", SHARED)
@pytest.mark.parametrize("kind", KINDS)
def test_dense(
    compiled: Backend, dtype: np.dtype, rng: np.random.Generator, kind: str, rows: int, strided: bool
) -> None:
    assert tiles(rows, UNITS, INPUTS, 2) != (1, 1)
    agrees(compiled, dtype, rng, kind, (rows, INPUTS, UNITS), strided)


@pytest.mark.parametrize("rows", [1, 3, 17])
@pytest.mark.parametrize("kind", ["identity", "relu"])
def test_few_rows_are_divided_by_columns(
    compiled: Backend, dtype: np.dtype, rng: np.random.Generator, kind: str, rows: int
) -> None:
    inputs, units = 510, 270  # not multiples of a cache line
    assert tiles(rows, units, inputs, 2)[1] > 1
    agrees(compiled, dtype, rng, kind, (rows, inputs, units), strided=False)


def test_a_column_and_a_row_of_weights(compiled: Backend, dtype: np.dtype, rng: np.random.Generator) -> None:
    for shape in ((200, 100, 1), (200, 1, 100), (1, 100, 100)):
        agrees(compiled, dtype, rng, "tanh", shape, strided=False)


def agrees(
    compiled: Backend, dtype: np.dtype, rng: np.random.Generator, kind: str, shape: tuple[int, int, int],
    strided: bool,
) -> None:  # fmt: skip
    """Compare forward and backward of a layer with the plain form."""
    rows, inputs, units = shape
    x, W, b = (rng.standard_normal(size) for size in ((rows, inputs), (inputs, units), units))
    y = agree(
        compiled, "dense_forward", dtype,
        {"x": x, "W": W, "b": b, "y": room(rows, units), "kind": kind, "alpha": 0.3}, ("y",),
        terms=inputs, strided=strided,
    )["y"]  # fmt: skip
    backward = {
        "dy": rng.standard_normal((rows, units)), "x": x, "W": W, "dW": room(inputs, units),
        "db": room(units), "dx": room(rows, inputs), "kind": kind, "alpha": 0.3, "y": y.astype(float),
        "dz": room(rows, units),
    }  # fmt: skip
    outputs = ("dW", "db", "dx") if kind == "identity" else ("dW", "db", "dx", "dz")
    if kind == "identity":
        backward |= {"y": None, "dz": None}
    whole = agree(compiled, "dense_backward", dtype, backward, outputs, terms=rows, strided=strided)
    without = agree(
        compiled, "dense_backward", dtype, backward | {"dx": None}, tuple(o for o in outputs if o != "dx"),
        terms=rows, strided=strided,
    )  # fmt: skip
    for name in ("dW", "db"):
        np.testing.assert_array_equal(whole[name], without[name])


def test_relu_may_use_dy_as_its_room(compiled: Backend, dtype: np.dtype, rng: np.random.Generator) -> None:
    x, W, dy, y = (
        rng.standard_normal(s).astype(dtype) for s in ((131, 100), (100, 90), (131, 90), (131, 90))
    )
    results = []
    for shared in (False, True):
        gradient = dy.copy()
        dW, db, dx = np.empty_like(W), np.empty(90, dtype), np.empty_like(x)
        dz = gradient if shared else np.empty_like(dy)
        compiled.dense_backward(gradient, x, W, dW, db, dx, "relu", 0.0, y, dz)
        results.append((dW, db, dx))
    for apart, together in zip(*results, strict=True):
        np.testing.assert_array_equal(apart, together)


def test_nan_passes_through_a_shared_layer(compiled: Backend, dtype: np.dtype) -> None:
    x, W, b = np.ones((131, INPUTS), dtype), np.ones((INPUTS, UNITS), dtype), np.zeros(UNITS, dtype)
    x[7, 3] = np.nan
    y = compiled.dense_forward(x, W, b, np.empty((131, UNITS), dtype), "relu")
    assert np.isnan(y[7]).all()
    assert np.isfinite(np.delete(y, 7, axis=0)).all()


@pytest.mark.parametrize("view", [lambda v: v[None], lambda v: np.expand_dims(v, 0)])
def test_a_row_that_states_no_distance_to_the_next(compiled: Backend, dtype: np.dtype, view) -> None:
    """NumPy calls such a view contiguous; a BLAS refuses a distance of 0."""
    W, b, row = np.ones((600, 600), dtype), np.zeros(600, dtype), view(np.ones(600, dtype))
    y = compiled.dense_forward(row, W, b, np.empty((1, 600), dtype), "relu")
    np.testing.assert_array_equal(y, 600.0)
    dW, db, dx = np.empty_like(W), np.empty_like(b), np.empty((1, 600), dtype)
    compiled.dense_backward(view(np.ones(600, dtype)), row, W, dW, db, dx)
    for gradient, expected in ((dW, 1.0), (db, 1.0), (dx, 600.0)):
        np.testing.assert_array_equal(gradient, expected)


@pytest.mark.parametrize("other", ["float32", "float64", "int32"])
def test_gradients_of_another_type_or_that_cannot_be_written(dtype: np.dtype, other: str) -> None:
    dy = np.random.default_rng(0).integers(-3, 4, (64, 90)).astype(other)
    dy.flags.writeable = False
    gradients = []
    for device in ("numba", "numpy"):
        net = nnx.Network([nnx.Dense(100, 90)], device=device, dtype=dtype, seed=0)
        net.forward(np.ones((64, 100), dtype), training=True)
        net.backward(dy)
        gradients.append(net.layers[0].dblock.copy())
    np.testing.assert_allclose(*gradients, rtol=1e-5)
