"""Which BLAS the compiled kernels call: the rule, the variable, and what happens without one."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import numpy as np
import pytest

import nnx
from nnx.backends import available, blas, mkl, openblas, processor, resolve
from nnx.errors import ConfigurationError

pytest.importorskip("numba", reason="Numba is not installed: pip install 'nnx-arrays[fast]'")

from nnx.backends.numba_backend import NumbaBackend


@pytest.fixture(autouse=True)
def usual(monkeypatch):
    """No choice by the user, and no processor of Intel's."""
    monkeypatch.delenv("NNX_BLAS", raising=False)
    monkeypatch.setattr(processor, "vendor", lambda: "AuthenticAMD")


@pytest.fixture
def here():
    found = blas.load()
    if found is None:
        pytest.skip(f"no private BLAS here: pip install '{openblas.WANTED}'")
    return found


def trained(backend, dtype):
    """Weights after some steps, of products that are large enough for the private BLAS."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((256, 64)).astype(dtype)
    network = nnx.Network([nnx.Dense(64, 96), nnx.Tanh(), nnx.Dense(32)], device=backend, dtype=dtype, seed=0)
    network.fit(x, x[:, :32], loss=nnx.MeanSquaredError(), optimizer=nnx.SGD(0.1), epochs=2, batch_size=128)
    return network.weights()


def absent(monkeypatch):
    monkeypatch.setattr(openblas, "PACKAGE", "no_such_package")


def older(monkeypatch):
    monkeypatch.setattr(openblas, "OLDEST", (0, 3, 99))
    monkeypatch.setattr(openblas, "BEFORE", (0, 4, 0))


def newer(monkeypatch):
    monkeypatch.setattr(openblas, "BEFORE", openblas.OLDEST)


def wrong(monkeypatch):
    monkeypatch.setattr(blas, "multiplies", lambda function, kind, integer: kind == "f4")  # float64 is wrong


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
    assert openblas.WANTED in without.describe()
    for name, value in trained(without, dtype).items():
        np.testing.assert_allclose(value, expected[name], rtol=0, atol=tolerance)


def test_a_library_that_multiplies_wrongly_is_noticed(here):
    gemm = {"f4": here.library.scipy_cblas_sgemm, "f8": here.library.scipy_cblas_dgemm}
    assert all(blas.multiplies(function, kind, ctypes.c_int) for kind, function in gemm.items())
    matrix = [ctypes.c_void_p, ctypes.c_int]
    factor = [ctypes.c_double]
    arguments = [*[ctypes.c_int] * 6, *factor, *matrix, *matrix, *factor, *matrix]
    nothing = ctypes.CFUNCTYPE(None, *arguments)(lambda *given: None)
    assert not blas.multiplies(nothing, "f8", ctypes.c_int)


# --------------------------------------------------------------------------------------------- the choice

MKL = blas.Blas("MKL 2026.2", {4: 1, 8: 2}, None, 3)


@pytest.fixture
def with_mkl(monkeypatch):
    monkeypatch.setattr(blas, "with_mkl", lambda: MKL)


@pytest.fixture
def without_mkl(monkeypatch):
    def missing():
        raise mkl.UnusableError("MKL is not installed: run pip install mkl")

    monkeypatch.setattr(blas, "with_mkl", missing)


@pytest.mark.parametrize(
    ("vendor", "variable", "name"),
    [
        ("GenuineIntel", "", "MKL"),
        ("AuthenticAMD", "", "OpenBLAS"),
        ("", "", "OpenBLAS"),  # a system that does not tell
        ("AuthenticAMD", "mkl", "MKL"),
        ("AuthenticAMD", " MKL ", "MKL"),
        ("GenuineIntel", "openblas", "OpenBLAS"),
    ],
)
def test_the_vendor_decides_unless_the_user_does(here, with_mkl, monkeypatch, vendor, variable, name):
    monkeypatch.setattr(processor, "vendor", lambda: vendor)
    monkeypatch.setenv("NNX_BLAS", variable)
    assert blas.load().name.split()[0] == name


def test_by_the_rule_a_missing_mkl_means_openblas(here, without_mkl, monkeypatch):
    monkeypatch.setattr(processor, "vendor", lambda: "GenuineIntel")
    assert blas.load().name == here.name
    assert NumbaBackend().bfloat16_gemm == 0


def test_a_missing_library_that_was_asked_for_is_an_error_of_one_line(without_mkl, monkeypatch):
    monkeypatch.setenv("NNX_BLAS", "mkl")
    with pytest.raises(ConfigurationError, match=r"^NNX_BLAS=mkl: MKL is not installed: .*unset NNX_BLAS$"):
        blas.load()
    absent(monkeypatch)
    monkeypatch.setenv("NNX_BLAS", "openblas")
    with pytest.raises(ConfigurationError, match=r"^NNX_BLAS=openblas: .*pip install .*unset NNX_BLAS$"):
        blas.load()


def test_openblas_computes_while_mkl_multiplies_bfloat16(here, with_mkl, monkeypatch):
    monkeypatch.setattr(processor, "instructions", lambda: frozenset({"avx512_bf16"}))
    backend = NumbaBackend()
    assert (backend.blas.name, backend.bfloat16_gemm) == (here.name, 3)


@pytest.mark.parametrize("device", ["cpu", "auto", "numba", None])
def test_another_value_is_an_error_on_each_device_that_compiles(device):
    code = f"import nnx; nnx.Network([nnx.Dense(2, 1)], device={device!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False,
                          env={**os.environ, "NNX_BLAS": "atlas"})  # fmt: skip
    assert "ConfigurationError: NNX_BLAS is 'atlas': choose from openblas, mkl, or unset it" in done.stderr


def test_the_backends_name_it(here):
    backend = NumbaBackend()
    if backend.blas is None:
        pytest.skip(f"no team of threads here: {backend.describe()}")
    assert backend.blas_name() == here.name
    assert here.name in backend.describe()
    backend.blas = None
    assert backend.blas_name() == resolve("numpy").blas_name()


def test_the_list_of_devices_shows_the_error(monkeypatch):
    from nnx import backends

    monkeypatch.setattr(backends, "_numba", backends._numba.__wrapped__)
    monkeypatch.setenv("NNX_BLAS", "atlas")
    status = {one.name: one for one in available()}["numba"]
    assert not status.usable
    assert status.detail.startswith("NNX_BLAS is 'atlas'")


def test_numpy_does_not_read_the_variable(monkeypatch):
    monkeypatch.setenv("NNX_BLAS", "atlas")
    assert resolve("numpy").name == "numpy"


def test_without_tbb_a_choice_is_an_error():
    code = (
        "from nnx.ops import team_numba; team_numba.AVAILABLE = False  # as on other systems\n"
        "from nnx.backends import resolve; resolve('cpu')"
    )
    environment = {**os.environ, "NNX_BLAS": "openblas", "NUMBA_THREADING_LAYER": "workqueue"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )
    assert "NNX_BLAS=openblas needs the threads of TBB, and Numba uses workqueue: run pip" in done.stderr


def test_no_more_threads_call_openblas_than_it_is_built_for(here, monkeypatch):
    most = blas.load().most
    assert most is None or most >= 2
    monkeypatch.setattr(openblas, "most_threads", lambda library: 3)
    monkeypatch.setenv("NUMBA_NUM_THREADS", "5000")
    backend = NumbaBackend()
    if backend.blas is None:
        pytest.skip(f"no team of threads here: {backend.describe()}")
    assert backend.team() == (3, f"{here.name} computes on 3 threads at most")
    monkeypatch.setenv("NUMBA_NUM_THREADS", "2")
    assert NumbaBackend().team() == (2, "NUMBA_NUM_THREADS=2")


def test_the_name_of_a_second_library_for_bfloat16(here, with_mkl, monkeypatch):
    monkeypatch.setattr(processor, "instructions", lambda: frozenset({"avx512_bf16"}))
    backend = NumbaBackend()
    if backend.blas is None:
        pytest.skip(f"no team of threads here: {backend.describe()}")
    assert backend.blas_name(True) == f"MKL 2026.2 for bfloat16, {here.name} for the rest"
    assert backend.blas_name() == here.name
    monkeypatch.setenv("NNX_BLAS", "mkl")
    assert NumbaBackend().blas_name(True) == NumbaBackend().blas_name() == "MKL 2026.2"
    monkeypatch.setattr(processor, "instructions", frozenset)
    assert NumbaBackend().blas_name(True) == "MKL 2026.2"
