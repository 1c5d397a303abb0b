"""The binding of cuBLAS: its products, and what it must tell the library."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import nnx
from nnx.backends.cublas import Cublas, CublasError

pytestmark = pytest.mark.standin
cupy = pytest.importorskip("cupy", reason="needs CuPy's wheel: nox -s ladder")
RNG = np.random.default_rng(0)


@pytest.fixture
def blas():
    return Cublas(cupy, False)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 4, 5), (3, 1, 5), (3, 4, 1), (1, 1, 1)])
@pytest.mark.parametrize("turned", [(False, False), (True, False), (False, True), (True, True)])
def test_products(blas, dtype, shape, turned):
    m, k, n = shape
    a, b = RNG.normal(size=(m, k)).astype(dtype), RNG.normal(size=(k, n)).astype(dtype)
    given = [
        cupy.asarray(np.ascontiguousarray(x.T)).T if turn else cupy.asarray(x)
        for x, turn in zip((a, b), turned, strict=True)
    ]
    out = cupy.empty((m, n), dtype)
    with cupy.recorded() as log:
        blas.product(*given, out)
    np.testing.assert_allclose(out.get(), a @ b, rtol=1e-5 if dtype == "float32" else 1e-12)
    assert log.count("launch") == 1


LAYOUTS = {
    "a stack": lambda x: np.ascontiguousarray(x),
    "the transpose of a stack": lambda x: np.ascontiguousarray(x.transpose(0, 2, 1)).transpose(0, 2, 1),
    "a stack with the rows first": lambda x: np.ascontiguousarray(x.transpose(1, 0, 2)).transpose(1, 0, 2),
    "its transpose": lambda x: np.ascontiguousarray(x.transpose(2, 0, 1)).transpose(1, 2, 0),
}


def with_strides(host):
    """The same numbers on the device, with the same strides."""
    order = sorted(range(host.ndim), key=lambda axis: -host.strides[axis])
    back = [order.index(axis) for axis in range(host.ndim)]
    return cupy.asarray(np.ascontiguousarray(host.transpose(order))).transpose(back)


@pytest.mark.parametrize("shape", [(3, 4, 5, 6), (1, 4, 5, 6), (3, 1, 5, 1), (2, 4, 1, 1), (1, 1, 1, 1)])
@pytest.mark.parametrize("first", LAYOUTS)
@pytest.mark.parametrize("second", LAYOUTS)
def test_products_of_stacks(blas, shape, first, second):
    count, m, k, n = shape
    a, b = LAYOUTS[first](RNG.normal(size=(count, m, k))), LAYOUTS[second](RNG.normal(size=(count, k, n)))
    given, out = [with_strides(x) for x in (a, b)], cupy.empty((count, m, n))
    with cupy.recorded() as log:
        blas.stacked_product(*given, out)
    np.testing.assert_allclose(out.get(), a @ b, rtol=1e-12)
    assert log.count("launch") == 1


def test_a_stack_whose_matrices_are_not_contiguous_is_refused(blas):
    x, out = cupy.ones((2, 8, 8))[:, ::2, ::2], cupy.empty((2, 4, 4))
    with pytest.raises(CublasError, match="not contiguous"):
        blas.stacked_product(x, x, out)


@pytest.mark.parametrize("turned", [(False, False), (True, False), (False, True)])
def test_products_of_bfloat16_numbers(blas, turned):
    """Factors are the upper halves of float32 numbers; each product is exact, and sums are float32."""
    a, b = (RNG.integers(-8, 9, size=shape).astype("f4") / 4 for shape in ((7, 40), (40, 5)))
    given = []
    for x, turn in zip((a, b), turned, strict=True):
        bits = (np.ascontiguousarray(x.T if turn else x).view(np.uint32) >> 16).astype(np.uint16)
        given.append(cupy.asarray(bits).T if turn else cupy.asarray(bits))
    out = cupy.empty((7, 5), "float32")
    blas.product(*given, out)
    np.testing.assert_array_equal(out.get(), a @ b)


def test_bits_are_never_multiplied_as_integers(monkeypatch):
    """CuPy's own product would take them for numbers."""
    backend = nnx.resolve("gpu")
    monkeypatch.setattr(backend, "_blas", lambda: None)
    bits = cupy.ones((2, 2), "uint16")
    with pytest.raises(nnx.DeviceError, match="use precision='float32'"):
        backend._product(bits, bits, cupy.empty((2, 2), "float32"))


def test_another_stream_has_another_workspace(blas):
    x, out = cupy.ones((2, 2)), cupy.empty((2, 2))
    blas.product(x, x, out)
    cupy.cuda.Device().synchronize()
    streams = [cupy.cuda.Stream() for _ in range(6)]
    for stream in streams:
        with stream:
            blas.product(x, x, out)
            stream.synchronize()
    assert 1 < len(blas._workspaces) <= 4
    for stream in (cupy.cuda.Stream.null, streams[0]):  # their workspaces were given back
        with stream:
            blas.product(x, x, out)
            stream.synchronize()
    np.testing.assert_array_equal(out.get(), 2.0)


def test_factors_that_are_not_contiguous_are_copied_by_the_backend(blas):
    backend = nnx.resolve("gpu")
    a, b = cupy.asarray(RNG.normal(size=(4, 8)))[:, ::2], cupy.asarray(RNG.normal(size=(4, 3)))
    with pytest.raises(CublasError, match="not contiguous"):
        blas.product(a, b, cupy.empty((4, 3)))
    out = backend._product(a, b, cupy.empty((4, 3)))
    np.testing.assert_allclose(out.get(), a.get() @ b.get())


def test_handles_are_destroyed():
    from cupy import _cublas

    before = len(_cublas.handles)
    handle = Cublas(cupy, True)
    assert len(_cublas.handles) == before + 1
    del handle
    gc.collect()
    assert len(_cublas.handles) == before


def test_each_device_has_its_handle():
    with cupy.cuda.Device(1):
        blas = Cublas(cupy, False)
    with pytest.raises(ValueError, match="another device"):
        blas.product(cupy.ones((2, 2)), cupy.ones((2, 2)), cupy.empty((2, 2)))
