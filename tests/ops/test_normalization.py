"""Batch and layer normalization: every backend equals the plain form."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from support.contract import ROWS, agree, room

from nnx.backends import Backend


@pytest.mark.parametrize("rows", [1, 7, 300, 5000])  # the last: a GPU shares them among blocks
def test_batch_norm(backend: Backend, dtype: np.dtype, rng: np.random.Generator, rows: int) -> None:
    x, dy = rng.standard_normal((rows, 5)) + 3.0, rng.standard_normal((rows, 5))
    gamma, beta, mean, variance = rng.uniform(0.5, 2.0, (4, 5))
    moments = {"mean": room(5), "variance": room(5)}
    agree(backend, "batch_moments", dtype, {"x": x, **moments}, ("mean", "variance"), terms=rows)
    given = {"x": x, "mean": mean, "variance": variance, "gamma": gamma, "epsilon": 1e-3}
    for strided in (False, True):
        forward = given | {"beta": beta, "y": room(*x.shape)}
        agree(backend, "batch_norm_forward", dtype, forward, ("y",), strided=strided)
        for constant, dx in itertools.product((False, True), (room(*x.shape), None)):
            backward = given | {"dy": dy, "dgamma": room(5), "dbeta": room(5), "dx": dx,
                                "constant": constant}  # fmt: skip
            outputs = ("dgamma", "dbeta") if dx is None else ("dgamma", "dbeta", "dx")
            agree(backend, "batch_norm_backward", dtype, backward, outputs, terms=rows, strided=strided)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("strided", [False, True])
def test_layer_norm(
    backend: Backend, dtype: np.dtype, rng: np.random.Generator, rows: int, strided: bool
) -> None:
    x, dy = rng.standard_normal((rows, 50)) - 2.0, rng.standard_normal((rows, 50))
    gamma, beta = rng.uniform(0.5, 2.0, (2, 50))
    given = {"x": x, "gamma": gamma, "epsilon": 1e-3}
    forward = given | {"beta": beta, "y": room(*x.shape)}
    agree(backend, "layer_norm_forward", dtype, forward, ("y",), terms=50, strided=strided)
    for dx in (room(*x.shape), None):
        backward = given | {"dy": dy, "dgamma": room(50), "dbeta": room(50), "dx": dx}
        outputs = ("dgamma", "dbeta") if dx is None else ("dgamma", "dbeta", "dx")
        agree(backend, "layer_norm_backward", dtype, backward, outputs, terms=50, strided=strided)


@pytest.mark.parametrize("value", [0.0, 1e4, -1e4])
def test_norms_of_what_does_not_vary_are_finite(backend: Backend, dtype: np.dtype, value: float) -> None:
    x = backend.asarray(np.full((4, 3), value), dtype)
    one, zero = backend.asarray(np.ones(3), dtype), backend.zeros(3, dtype)
    mean, variance, y = backend.empty(3, dtype), backend.empty(3, dtype), backend.empty((4, 3), dtype)
    backend.batch_moments(x, mean, variance)
    assert not backend.to_numpy(variance).any()
    backend.batch_norm_forward(x, mean, variance, one, zero, y, 1e-3)
    assert not backend.to_numpy(y).any()
    backend.layer_norm_forward(x, one, zero, y, 1e-3)
    assert np.isfinite(backend.to_numpy(y)).all()
