"""First and second derivatives of activations, from their outputs, are those of finite differences."""

from __future__ import annotations

import numpy as np
import pytest

from nnx.backends import Backend
from nnx.ops.curvature import DERIVATIVES

ALPHA = 0.3


@pytest.mark.parametrize("kind", DERIVATIVES)
def test_derivatives_are_those_of_differences(backend: Backend, kind: str) -> None:
    x = np.concatenate([np.linspace(-4.0, -0.1, 40), np.linspace(0.1, 4.0, 40)])[:, None]

    def f(at: np.ndarray) -> np.ndarray:
        given = backend.asarray(at)
        return backend.to_numpy(
            backend.activation_forward(kind, given, backend.empty(at.shape, "float64"), ALPHA)
        ).copy()

    slope, curvature = (backend.empty(x.shape, "float64") for _ in range(2))
    backend.activation_derivatives(kind, backend.asarray(f(x)), slope, curvature, ALPHA)
    h = 1e-4
    np.testing.assert_allclose(backend.to_numpy(slope), (f(x + h) - f(x - h)) / (2 * h), atol=1e-7)
    expected = (f(x + h) - 2.0 * f(x) + f(x - h)) / h**2
    np.testing.assert_allclose(backend.to_numpy(curvature), expected, atol=1e-6)


@pytest.mark.parametrize("kind", DERIVATIVES)
def test_types_stay_and_extreme_outputs_give_finite_derivatives(
    backend: Backend, dtype: np.dtype, kind: str
) -> None:
    x = backend.asarray(np.array([[-1e30, -90.0, 0.0, 90.0, 1e30]], dtype))
    y = backend.activation_forward(kind, x, backend.empty(x.shape, dtype), ALPHA)
    slope, curvature = (backend.empty(x.shape, dtype) for _ in range(2))
    backend.activation_derivatives(kind, y, slope, curvature, ALPHA)
    assert slope.dtype == curvature.dtype == dtype
    assert np.isfinite(backend.to_numpy(slope)).all()
    assert np.isfinite(backend.to_numpy(curvature)).all()
