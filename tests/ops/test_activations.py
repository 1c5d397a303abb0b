"""Activations: every backend equals the plain form, in place too, and stays finite at extremes."""

from __future__ import annotations

import numpy as np
import pytest
from support.contract import ALPHA, KINDS, ROWS, agree, close, room

from nnx.backends import Backend
from nnx.ops.activations import ACTIVATIONS


def test_erfc(backend: Backend, dtype: np.dtype) -> None:
    # Abramowitz and Stegun, table 7.1
    x = backend.asarray(np.array([[0.0, 0.5, 1.0, -2.0, 30.0]]), dtype)
    close(backend.to_numpy(backend.erfc(x))[0], [1.0, 0.4795001222, 0.1572992071, 1.9953222650, 0.0],
          np.dtype("float32"))  # fmt: skip


@pytest.mark.parametrize("strided", [False, True])
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("kind", KINDS)
def test_activations(
    backend: Backend, dtype: np.dtype, rng: np.random.Generator, kind: str, rows: int, strided: bool
) -> None:
    x = 3.0 * rng.standard_normal((rows, 9))
    forward = {"kind": kind, "x": x, "y": room(*x.shape), "alpha": ALPHA}
    y = agree(backend, "activation_forward", dtype, forward, ("y",), terms=9, strided=strided)["y"]
    backward = {"kind": kind, "dy": rng.standard_normal(x.shape), "x": x, "y": y.astype(float),
                "dx": room(*x.shape), "alpha": ALPHA}  # fmt: skip
    agree(backend, "activation_backward", dtype, backward, ("dx",), terms=9, strided=strided)
    if ACTIVATIONS[kind].from_output:
        agree(backend, "activation_backward", dtype, backward | {"x": None}, ("dx",), terms=9)


@pytest.mark.parametrize("kind", KINDS)
def test_activations_in_place(backend: Backend, dtype: np.dtype, rng: np.random.Generator, kind: str) -> None:
    x, dy = (backend.asarray(rng.standard_normal((5, 6)), dtype) for _ in range(2))
    y = backend.activation_forward(kind, x, backend.empty(x.shape, dtype), ALPHA)
    dx = backend.activation_backward(kind, dy, x, y, backend.empty(x.shape, dtype), ALPHA)
    backend.activation_backward(kind, dy, x, y, dy, ALPHA)
    backend.activation_forward(kind, x, x, ALPHA)
    np.testing.assert_array_equal(backend.to_numpy(dy), backend.to_numpy(dx))
    np.testing.assert_array_equal(backend.to_numpy(x), backend.to_numpy(y))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "exponential"])  # e⁶⁰ is right
def test_activations_stay_finite_at_extremes(backend: Backend, dtype: np.dtype, kind: str) -> None:
    x = backend.asarray(np.array([[0.0, -0.0, 1e-30, -1e-30, 60.0, -60.0, 1e4, -1e4]]), dtype)
    dy = backend.asarray(np.ones(x.shape), dtype)
    y, dx = backend.empty(x.shape, dtype), backend.empty(x.shape, dtype)
    backend.activation_forward(kind, x, y, ALPHA)
    backend.activation_backward(kind, dy, x, y, dx, ALPHA)
    assert np.isfinite(backend.to_numpy(y)).all()
    assert np.isfinite(backend.to_numpy(dx)).all()
    largest = 1.76 if kind == "selu" else 1.2  # SELU's slope at 0 is 1.758; GELU's reaches 1.13
    assert (backend.to_numpy(dx) <= largest).all()


@pytest.mark.parametrize("kind", KINDS)
def test_activations_do_not_hide_nan(backend: Backend, dtype: np.dtype, kind: str) -> None:
    x = backend.asarray(np.array([[np.nan, 1.0]]), dtype)
    with backend.quiet():
        y = backend.activation_forward(kind, x, backend.empty(x.shape, dtype), ALPHA)
    assert np.isnan(backend.to_numpy(y)[0, 0])
