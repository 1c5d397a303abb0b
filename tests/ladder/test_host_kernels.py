"""The tool that runs CUDA sources on the host: the errors it must notice."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from support.ladder.host_kernels import Elementwise, Raw, compile

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")

REVERSE = """
typedef float T;
extern "C" __global__ void reverse(const T* x, T* y, long long n) {
    __shared__ T shared[256];
    shared[threadIdx.x] = x[threadIdx.x];
    %s
    y[threadIdx.x] = shared[n - 1 - threadIdx.x];
}
"""
LEAVING = 'extern "C" __global__ void leave(long long n) { if (threadIdx.x < n) __syncthreads(); }'


@pytest.mark.parametrize("backwards", [False, True])
def test_threads_wait_for_each_other_and_miss_it_where_they_do_not(backwards, rng):
    x = rng.normal(size=64).astype(np.float32) + backwards  # shared memory still holds the launch before
    y, racing = np.zeros_like(x), np.zeros_like(x)
    Raw(REVERSE % "__syncthreads();", "reverse")((1,), (64,), (x, y, 64), backwards=backwards)
    np.testing.assert_array_equal(y, x[::-1])
    Raw(REVERSE % "", "reverse")((1,), (64,), (2 * x, racing, 64), backwards=backwards)
    assert not np.array_equal(racing, 2 * y)


def test_threads_that_do_not_meet_are_an_error():
    Raw(LEAVING, "leave")((2,), (8,), (8,))
    with pytest.raises(RuntimeError, match="some threads end while others wait"):
        Raw(LEAVING, "leave")((2,), (8,), (7,))


def test_a_number_of_another_size_than_the_kernel_reads_is_refused():
    kernel = compile("row_factors", "float32")
    rows, factors = np.ones(4, np.float32), np.zeros(4, np.float32)
    arrays = rows, factors
    kernel((1,), (32,), (*arrays, 4, np.float32(0.5)))
    assert factors[0] == 0.125
    for wrong in ((*arrays, 4, 0.5), (*arrays, np.int32(4), np.float32(0.5))):
        with pytest.raises(TypeError, match="CUDA would take its bytes"):
            kernel((1,), (32,), wrong)
    with pytest.raises(TypeError, match="must be an array of float32"):
        kernel((1,), (32,), (rows.astype(np.float64), factors, 4, np.float32(0.5)))
    with pytest.raises(ValueError, match="no such launch"):
        kernel((0,), (32,), (*arrays, 4, np.float32(0.5)))


def test_elements_are_found_by_strides_and_broadcast(rng):
    kernel = Elementwise(
        "T x, float32 b, T a, raw int64 t", "T y", "y = a * x + b + t[1] + i", "", {"T": "float64"}
    )
    x = rng.normal(size=(6, 4, 5)).transpose(2, 0, 1)[::2, ::-1]
    b = rng.normal(size=(6, 1)).astype(np.float32)
    y = np.zeros((4, 6, 3)).transpose(2, 1, 0)
    kernel(x, b, 2.0, np.array([7, 9]), y)
    np.testing.assert_allclose(y, 2.0 * x + b + 9 + np.arange(72).reshape(3, 6, 4), rtol=1e-15)
    kernel(np.empty((0, 3)), b[:1], 2.0, np.array([7, 9]), np.empty((0, 3)))
    with pytest.raises(ValueError, match="does not hold"):
        kernel(x, b, 2.0, np.array([7, 9]), y[:1])
    with pytest.raises(TypeError, match="y is float64"):
        kernel(x, b, 2.0, np.array([7, 9]), y.astype(np.float32))


def test_an_error_of_gxx_is_reported():
    with pytest.raises(RuntimeError, match="undeclared"):
        Elementwise("T x", "T y", "y = undeclared(x)", "", {"T": "float32"})(
            np.ones(1, "f4"), np.ones(1, "f4")
        )
