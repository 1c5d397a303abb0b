"""Functions that only kernels call are compiled with these, and give the same bytes as compiled alone."""

from __future__ import annotations

import gc
import importlib
import math

import numpy as np
import pytest

numba = pytest.importorskip("numba", reason="Numba is not installed: pip install 'nnx-arrays[fast]'")

from nnx.ops import base_numba  # noqa: E402
from nnx.ops.share_numba import share  # noqa: E402

X = np.random.default_rng(0).normal(size=(37, 5))


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))


def made(decorator):
    """Kernels that call each other: the outer one is shared by threads, and calls the other two."""

    @decorator
    def gate(z):
        return 1.0 / (1.0 + math.exp(-z))

    @decorator
    def weighted(z, factor):
        return factor * z * gate(z)

    @decorator
    def rows(x, y, factor):
        for row in range(x.shape[0]):
            for j in range(x.shape[1]):
                y[row, j] = weighted(x[row, j], factor) + gate(y[row, j])

    @base_numba.team
    def team_rows(x, y, factor, segments):
        share(rows, (x, y), (factor,), segments)

    return gate, rows, team_rows


def computed(decorator):
    y = X.copy()
    *_, team_rows = made(decorator)
    team_rows(X, y, 0.3, 2)
    return y


def test_the_bytes_are_those_of_functions_that_are_compiled_alone():
    alone = base_numba.compiled(no_cpython_wrapper=True)
    linked = computed(base_numba.inner)
    np.testing.assert_array_equal(linked, computed(alone))
    sigmoid = 1.0 / (1.0 + np.exp(-X))
    np.testing.assert_allclose(linked, 0.3 * X * sigmoid + sigmoid, rtol=1e-14)


def test_only_what_python_calls_becomes_machine_code():
    gate, rows, team_rows = made(base_numba.inner)
    team_rows(X, X.copy(), 0.3, 1)
    if numba.version_info.short not in base_numba.LINKED:
        pytest.skip("another version of Numba compiles all functions alone")
    for kernel, compiled in ((gate, False), (rows, False), (team_rows, True)):
        (overload,) = kernel.overloads.values()
        assert bool(getattr(overload.library, "_compiled_object", None)) == compiled


def test_a_version_of_numba_that_was_not_tested_compiles_them_alone(monkeypatch):
    monkeypatch.setattr(base_numba, "LINKED", ())
    decorator = base_numba.only_called()
    np.testing.assert_array_equal(computed(decorator), computed(base_numba.inner))


def test_the_collector_pauses_while_a_kernel_is_compiled_and_only_then():
    seen = []
    compile_ = base_numba._without_collector(lambda _: seen.append(gc.isenabled()))
    compile_(())
    assert (seen, gc.isenabled()) == ([False], True)
    failing = base_numba._without_collector(lambda _: importlib.import_module("nnx.no_such_module"))
    with pytest.raises(ModuleNotFoundError):
        failing(())
    assert gc.isenabled()
    gc.disable()
    try:
        compile_(())
        assert not gc.isenabled()  # as its user set it
    finally:
        gc.enable()
