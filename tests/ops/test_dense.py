"""Dense layers: every backend equals the plain form."""

from __future__ import annotations

import numpy as np
import pytest
from support.contract import ALPHA, KINDS, ORACLE, ROWS, agree, room

from nnx.backends import Backend
from nnx.ops.activations import ACTIVATIONS

FUSED = [kind for kind in KINDS if ACTIVATIONS[kind].from_output]


@pytest.mark.parametrize("strided", [False, True])
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("kind", FUSED)
def test_dense_forward(
    backend: Backend, dtype: np.dtype, rng: np.random.Generator, kind: str, rows: int, strided: bool
) -> None:
    x, W, b = rng.standard_normal((rows, 40)), rng.standard_normal((40, 6)), rng.standard_normal(6)
    arguments = {"x": x, "W": W, "b": b, "y": room(rows, 6), "kind": kind, "alpha": ALPHA}
    agree(backend, "dense_forward", dtype, arguments, ("y",), terms=40, strided=strided)


@pytest.mark.parametrize("strided", [False, True])
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("kind", FUSED)
def test_dense_backward(
    backend: Backend, dtype: np.dtype, rng: np.random.Generator, kind: str, rows: int, strided: bool
) -> None:
    x, W, dy = (rng.standard_normal(shape) for shape in ((rows, 40), (40, 6), (rows, 6)))
    y = ACTIVATIONS[kind].forward(ORACLE, rng.standard_normal((rows, 6)), ALPHA)
    arguments = {
        "dy": dy, "x": x, "W": W, "dW": room(40, 6), "db": room(6), "dx": room(rows, 40),
        "kind": kind, "alpha": ALPHA, "y": y, "dz": room(rows, 6),
    }  # fmt: skip
    outputs = ("dW", "db", "dx") if kind == "identity" else ("dW", "db", "dx", "dz")
    if kind == "identity":
        arguments |= {"y": None, "dz": None}  # the identity needs neither
    whole = agree(backend, "dense_backward", dtype, arguments, outputs, terms=40, strided=strided)
    without = agree(
        backend, "dense_backward", dtype, arguments | {"dx": None}, tuple(o for o in outputs if o != "dx"),
        terms=40, strided=strided,
    )  # fmt: skip
    for name in ("dW", "db"):
        np.testing.assert_array_equal(whole[name], without[name], err_msg="dx=None changed a gradient")


@pytest.mark.parametrize("units", [1, 16])
def test_dense_backward_of_many_rows(
    backend: Backend, dtype: np.dtype, rng: np.random.Generator, units: int
) -> None:
    """On a GPU, several blocks share the rows of the bias gradient."""
    x, W, dy, y = (
        rng.standard_normal(shape) for shape in ((5000, 2), (2, units), (5000, units), (5000, units))
    )
    arguments = {
        "dy": dy, "x": x, "W": W, "dW": room(2, units), "db": room(units), "dx": None, "kind": "tanh",
        "alpha": 0.0, "y": np.tanh(y), "dz": room(5000, units),
    }  # fmt: skip
    agree(backend, "dense_backward", dtype, arguments, ("dW", "db", "dz"), terms=5000)


def test_dense_backward_may_use_dy_as_its_room(
    backend: Backend, dtype: np.dtype, rng: np.random.Generator
) -> None:
    x, W, dy, y = (rng.standard_normal(shape) for shape in ((7, 5), (5, 6), (7, 6), (7, 6)))
    y = np.tanh(y)
    results = []
    for shared in (False, True):
        host = [backend.asarray(v, dtype) for v in (dy.copy(), x, W, y)]
        dW, db, dx = (backend.empty(shape, dtype) for shape in ((5, 6), 6, (7, 5)))
        dz = host[0] if shared else backend.empty((7, 6), dtype)
        backend.dense_backward(host[0], host[1], host[2], dW, db, dx, "tanh", 0.0, host[3], dz)
        results.append([backend.to_numpy(v) for v in (dW, db, dx)])
    for apart, together in zip(*results, strict=True):
        np.testing.assert_array_equal(apart, together)
