"""Gradients are clipped and searched for faults alike on every backend."""

from __future__ import annotations

import math

import numpy as np
import pytest
from support.contract import agree, close

from nnx.backends import Backend


@pytest.mark.parametrize("limit", [0.5, 1e3])
def test_clip_by_norm(backend: Backend, dtype: np.dtype, rng: np.random.Generator, limit: float) -> None:
    host = [rng.standard_normal(40).astype(dtype), rng.standard_normal(3).astype(dtype)]
    norm = float(np.sqrt(sum(np.sum(g.astype(float) ** 2) for g in host)))
    device = [backend.asarray(g.copy()) for g in host]
    backend.clip_by_norm(device, limit)
    for before, after in zip(host, device, strict=True):
        if norm <= limit:
            np.testing.assert_array_equal(backend.to_numpy(after), before)
        else:
            close(backend.to_numpy(after), before * (limit / norm), dtype, 43)


@pytest.mark.parametrize("size", [1e20, 1e-30])
def test_clip_by_norm_where_a_square_does_not_fit(
    backend: Backend, dtype: np.dtype, rng: np.random.Generator, size: float
) -> None:
    """In float32 the square of 1e20 is infinite and that of 1e-30 zero; direction and norm come out right."""
    host = [(size * rng.standard_normal(n)).astype(dtype) for n in (40, 3)]
    norm = math.sqrt(sum(np.sum(g.astype(float) ** 2) for g in host))
    device = [backend.asarray(g.copy()) for g in host]
    with backend.quiet():
        backend.clip_by_norm(device, 0.5)
    for before, after in zip(host, device, strict=True):
        close(backend.to_numpy(after), before.astype(float) * min(1.0, 0.5 / norm), dtype, 43)
    clipped = math.sqrt(sum(np.sum(backend.to_numpy(g).astype(float) ** 2) for g in device))
    assert clipped == pytest.approx(min(norm, 0.5), rel=1e-5)


def test_clip_by_norm_of_nothing(backend: Backend, dtype: np.dtype) -> None:
    gradients = backend.zeros(5, dtype)
    backend.clip_by_norm([gradients], 1.0)
    assert not backend.to_numpy(gradients).any()


def test_clip_by_value(backend: Backend, dtype: np.dtype, rng: np.random.Generator) -> None:
    gradients = 3.0 * rng.standard_normal(50)
    clipped = agree(backend, "clip_by_value", dtype, {"gradients": gradients, "limit": 0.5}, ("gradients",))
    assert np.abs(clipped["gradients"]).max() == 0.5


@pytest.mark.parametrize(
    ("loss", "gradient", "fault"),
    [(1.0, 1.0, 0), (np.nan, 1.0, 4), (np.inf, 1.0, 4), (1.0, np.nan, 4), (1.0, -np.inf, 4), (1.0, 1e30, 0)],
)
def test_flag_nonfinite(backend: Backend, dtype: np.dtype, loss: float, gradient: float, fault: int) -> None:
    gradients = np.ones(70)
    gradients[33] = gradient  # 1e30: its square overflows in float32, it does not
    flag = backend.zeros(1, "int64")
    with backend.quiet():
        device = backend.asarray(np.array([loss]), dtype), backend.asarray(gradients, dtype)
        assert backend.flag_nonfinite(*device, flag, 4) is flag
        assert int(flag[0]) == fault
        backend.flag_nonfinite(device[0] * np.nan, device[1], flag, 9)
    assert int(flag[0]) == (fault or 9), "the first fault is the one to keep"
