"""The private copy of OpenBLAS: only tested versions are used; without one, results are the same."""

from __future__ import annotations

import ctypes
import re

import numpy as np
import pytest
from support.places import ROOT

import nnx
from nnx.backends import blas

pytest.importorskip("numba", reason="Numba is not installed: pip install 'nnx-arrays[fast]'")

from nnx.backends.numba_backend import NumbaBackend


@pytest.fixture
def here():
    found = blas.load()
    if found is None:
        pytest.skip(f"no private BLAS here: pip install '{blas.WANTED}'")
    return found


def trained(backend, dtype):
    """Weights after some steps, of products that are large enough for the private BLAS."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((256, 64)).astype(dtype)
    network = nnx.Network([nnx.Dense(64, 96), nnx.Tanh(), nnx.Dense(32)], device=backend, dtype=dtype, seed=0)
    network.fit(x, x[:, :32], loss=nnx.MeanSquaredError(), optimizer=nnx.SGD(0.1), epochs=2, batch_size=128)
    return network.weights()


def absent(monkeypatch):
    monkeypatch.setattr(blas, "PACKAGE", "no_such_package")


def older(monkeypatch):
    monkeypatch.setattr(blas, "OLDEST", (0, 3, 99))
    monkeypatch.setattr(blas, "BEFORE", (0, 4, 0))


def newer(monkeypatch):
    monkeypatch.setattr(blas, "BEFORE", blas.OLDEST)


def wrong(monkeypatch):
    monkeypatch.setattr(blas, "_multiplies", lambda function, size: size == 4)  # float64 is wrong


@pytest.mark.parametrize("missing", [absent, older, newer, wrong])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-13)])
def test_without_it_results_are_the_same_and_the_backend_says_what_is_missing(
    here, monkeypatch, missing, dtype, tolerance
):
    with_it = NumbaBackend()
    if with_it.blas is None:
        pytest.skip(f"no team of threads here: {with_it.describe()}")
    expected = trained(with_it, dtype)
    missing(monkeypatch)
    assert blas.load() is None
    without = NumbaBackend()
    assert (without.blas, without.threads) == (None, 1)
    assert blas.WANTED in without.describe()
    for name, value in trained(without, dtype).items():
        np.testing.assert_allclose(value, expected[name], rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("config", "tested"),
    [
        ("OpenBLAS 0.3.28  DYNAMIC_ARCH NO_AFFINITY Haswell MAX_THREADS=64", True),
        ("OpenBLAS 0.3.34.481.3 DYNAMIC_ARCH NO_AFFINITY SkylakeX MAX_THREADS=64", True),
        ("OpenBLAS 0.3.27.44.6 DYNAMIC_ARCH", False),
        ("OpenBLAS 0.3.35 DYNAMIC_ARCH", False),
        ("OpenBLAS 0.4.0 DYNAMIC_ARCH", False),
        ("OpenBLAS 0.3.30 USE64BITINT DYNAMIC_ARCH", False),  # its integers are twice as long
        ("", False),
    ],
)
def test_only_tested_versions_are_used(config, tested):
    assert blas._tested(config) == tested


def test_a_library_that_multiplies_wrongly_is_noticed(here):
    gemm = {4: here.library.scipy_cblas_sgemm, 8: here.library.scipy_cblas_dgemm}
    assert blas._multiplies(gemm[4], 4)
    assert blas._multiplies(gemm[8], 8)
    matrix = [ctypes.c_void_p, ctypes.c_int]
    factor = [ctypes.c_double]
    arguments = [*[ctypes.c_int] * 6, *factor, *matrix, *matrix, *factor, *matrix]
    nothing = ctypes.CFUNCTYPE(None, *arguments)(lambda *given: None)
    assert not blas._multiplies(nothing, 8)


def test_the_package_asks_for_the_versions_that_are_used():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'"{blas.WANTED}"' in text
    low, high = re.fullmatch(r"scipy-openblas32>=([\d.]+),<([\d.]+)", blas.WANTED).groups()
    assert tuple(map(int, low.split("."))) == blas.OLDEST
    assert tuple(map(int, high.split("."))) == blas.BEFORE
