"""Products and sums of layers: every backend equals the plain form, and temporary arrays are not needed."""

from __future__ import annotations

import numpy as np
import pytest
from support.contract import agree, room

from nnx.backends import Backend


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 5), (1, 1000, 3), (4, 7, 5), (2, 1000, 3), (90, 6, 1)])
def test_sums_along_an_axis(
    backend: Backend, dtype: np.dtype, rng: np.random.Generator, shape: tuple[int, int, int]
) -> None:
    arguments = {"x": rng.standard_normal(shape), "out": room(shape[0], shape[2])}
    agree(backend, "axis_sums", dtype, arguments, ("out",), terms=shape[1])


def test_many_numbers_are_summed_in_blocks(backend: Backend) -> None:
    """One by one in float32, the error would be 0.01."""
    x = np.full((2, 200_001, 1), 0.1, np.float32)
    sums = backend.axis_sums(backend.asarray(x), backend.empty((2, 1), "float32"))
    np.testing.assert_allclose(backend.to_numpy(sums), x.sum(axis=1, dtype=np.float64), rtol=1e-5)


@pytest.mark.parametrize("turned", [False, True])
def test_products(backend: Backend, dtype: np.dtype, rng: np.random.Generator, turned: bool) -> None:
    a, b = rng.standard_normal((7, 4)).astype(dtype), rng.standard_normal((7, 3)).astype(dtype)
    first = backend.asarray(a).T if turned else backend.asarray(np.ascontiguousarray(a.T))
    out = backend.empty((4, 3), dtype)
    assert backend.matmul(first, backend.asarray(b), out) is out
    close = 1e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(backend.to_numpy(out), a.astype(float).T @ b, rtol=close, atol=close)


def test_products_of_stacks(backend: Backend, dtype: np.dtype, rng: np.random.Generator) -> None:
    a, b = rng.standard_normal((7, 4, 5)).astype(dtype), rng.standard_normal((4, 5, 3)).astype(dtype)
    out = backend.empty((4, 7, 3), dtype)
    assert backend.matmul(backend.asarray(a).transpose(1, 0, 2), backend.asarray(b), out) is out
    close = 1e-5 if dtype == np.float32 else 1e-12
    expected = a.astype(float).transpose(1, 0, 2) @ b
    np.testing.assert_allclose(backend.to_numpy(out), expected, rtol=close, atol=close)


@pytest.mark.parametrize(
    "shapes", [((4, 7), (6, 3), (4, 3)), ((4, 7), (7, 3), (3, 4)), ((2, 4, 7), (3, 7, 3), (2, 4, 3))]
)
def test_products_that_do_not_fit_are_refused(backend: Backend, shapes: tuple[tuple[int, ...], ...]) -> None:
    """A user's layer may call `matmul` wrongly."""
    a, b, out = (backend.zeros(shape, "float32") for shape in shapes)
    with pytest.raises(ValueError, match=r"matmul|broadcast"):
        backend.matmul(a, b, out)
