"""Dense layers with bfloat16 factors in compiled kernels: the rounding, and the products of MKL."""

from __future__ import annotations

import numpy as np
import pytest
from support.contract import ALPHA, KINDS, ORACLE, close

from nnx.backends import Backend, mkl, numba_backend, processor
from nnx.backends.numba_backend import NumbaBackend
from nnx.ops.activations import ACTIVATIONS
from nnx.ops.bfloat16_numba import team_round

FUSED = [kind for kind in KINDS if ACTIVATIONS[kind].from_output]
SINGLE = np.dtype("float32")
SIZES = [(1, 5, 3), (33, 17, 1), (7, 40, 6), (131, 90, 130)]  # the last is divided among the threads


@pytest.fixture
def with_mkl(compiled: Backend) -> Backend:
    """The compiled backend, where it multiplies bfloat16 numbers."""
    if fault := compiled.bfloat16_fault():
        pytest.skip(f"no compiled bfloat16 here: {fault}")
    return compiled


def bits(x: np.ndarray) -> np.ndarray:
    """The bits of x rounded by the plain form."""
    plain = ORACLE.round_to_bfloat16(np.ascontiguousarray(x, SINGLE), np.empty(x.shape, SINGLE))
    return (plain.view(np.uint32) >> 16).astype(np.uint16)


def wide(rounded: np.ndarray) -> np.ndarray:
    """The numbers of such bits, in float64."""
    return (rounded.astype(np.uint32) << 16).view(SINGLE).astype(np.float64)


def test_rounding_is_that_of_the_plain_form() -> None:
    """Of every bfloat16 number and around every boundary between two; a NaN stays one, with any payload."""
    upper = np.arange(2**16, dtype=np.uint32)[:, None] << 16
    x = (upper | np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], np.uint32)).view(SINGLE)
    out = np.empty(x.shape, np.uint16)
    team_round(x.view(np.uint32), out, 2)
    np.testing.assert_array_equal(np.isnan(wide(out)), np.isnan(x))
    finite = ~np.isnan(x)
    np.testing.assert_array_equal(out[finite], bits(x)[finite])


@pytest.mark.parametrize(("rows", "inputs", "units"), SIZES)
@pytest.mark.parametrize("kind", FUSED)
def test_both_passes(
    with_mkl: Backend, rng: np.random.Generator, kind: str, rows: int, inputs: int, units: int
) -> None:
    """Factors to the last bit; products as exact as float32's sums; dz as in the plain form."""
    x, W, dy = (
        rng.standard_normal(shape).astype(SINGLE)
        for shape in ((rows, inputs), (inputs, units), (rows, units))
    )
    b = rng.standard_normal(units).astype(SINGLE)
    y, dz, dW, db, dx = (
        np.full(shape, np.nan, SINGLE)
        for shape in ((rows, units), (rows, units), (inputs, units), (units,), (rows, inputs))
    )
    rounded_x, rounded_W, rounded_dz = (np.zeros(array.shape, np.uint16) for array in (x, W, dy))
    assert with_mkl.factor_type == "uint16"
    assert with_mkl.bfloat16_dense_forward(x, W, b, y, rounded_x, rounded_W, kind, ALPHA) is y
    np.testing.assert_array_equal(rounded_x, bits(x))
    np.testing.assert_array_equal(rounded_W, bits(W))
    again, rounded_y = np.full_like(y, np.nan), np.zeros(y.shape, np.uint16)
    with_mkl.rounded_dense_forward(rounded_x, rounded_W, b, again, kind, ALPHA, rounded_y)
    np.testing.assert_array_equal(rounded_y, bits(again))
    close(again, y.astype(np.float64), SINGLE, inputs)
    z = wide(rounded_x) @ wide(rounded_W) + b
    close(y, ACTIVATIONS[kind].forward(ORACLE, z, ALPHA), SINGLE, inputs)

    for wanted in (None, dx):
        dz[...] = dW[...] = db[...] = np.nan
        found = with_mkl.bfloat16_dense_backward(
            dy, rounded_x, rounded_W, dW, db, wanted, rounded_dz, kind, ALPHA, y, dz
        )
        assert found is dW
        exact = dy.astype(np.float64)
        if kind != "identity":
            exact = ORACLE.activation_backward(kind, exact, None, y.astype("f8"), np.empty(y.shape), ALPHA)
            close(dz, exact, SINGLE)
            exact = dz.astype(np.float64)
        np.testing.assert_array_equal(rounded_dz, bits(exact))
        close(dW, wide(rounded_x).T @ wide(rounded_dz), SINGLE, rows)
        close(db, exact.sum(axis=0), SINGLE, rows)
    close(dx, wide(rounded_dz) @ wide(rounded_W).T, SINGLE, units)


def test_columns_of_wider_arrays(with_mkl: Backend, rng: np.random.Generator) -> None:
    x, W, dy = (rng.standard_normal(shape).astype(SINGLE) for shape in ((7, 10), (5, 12), (7, 12)))
    y, dW, db, dx = (np.empty(shape, SINGLE) for shape in ((7, 6), (5, 6), 6, (7, 5)))
    factors = [np.zeros(shape, np.uint16) for shape in ((7, 5), (5, 6), (7, 6))]
    x, W, dy = (array[:, ::2] for array in (x, W, dy))
    with_mkl.bfloat16_dense_forward(x, W, np.zeros(6, SINGLE), y, *factors[:2])
    with_mkl.bfloat16_dense_backward(dy, *factors[:2], dW, db, dx, factors[2])
    for factor, array in zip(factors, (x, W, dy), strict=True):
        np.testing.assert_array_equal(factor, bits(array))
    close(y, wide(bits(x)) @ wide(bits(W)), SINGLE, 5)
    close(dx, wide(bits(dy)) @ wide(bits(W)).T, SINGLE, 6)


def test_values_that_are_not_finite_stay(with_mkl: Backend) -> None:
    x = np.array([[1.0, np.inf], [np.nan, 1.0], [1.0, 1.0]], SINGLE)
    y, factors = np.empty((3, 1), SINGLE), (np.zeros((3, 2), np.uint16), np.zeros((2, 1), np.uint16))
    with_mkl.bfloat16_dense_forward(x, np.ones((2, 1), SINGLE), np.zeros(1, SINGLE), y, *factors)
    np.testing.assert_array_equal(y[:, 0], np.array([np.inf, np.nan, 2.0], SINGLE))


# ------------------------------------------------------------------ where it can be used


def test_without_the_instructions_the_processor_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "instructions", lambda: frozenset({"avx512f"}))
    backend = NumbaBackend()
    assert "a processor with AMX-BF16 or AVX512-BF16" in backend.bfloat16_fault()
    assert (backend.bfloat16_gemm, backend.bfloat16_pays, backend.factor_type) == (0, False, "float32")


def test_without_mkl_its_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise mkl.UnusableError("MKL is not installed")

    monkeypatch.delenv("NNX_BLAS", raising=False)
    monkeypatch.setattr(processor, "instructions", lambda: frozenset({"amx_bf16"}))
    monkeypatch.setattr(numba_backend.blas, "with_mkl", missing)
    backend = NumbaBackend()
    text = "it needs MKL, run pip install 'nnx-arrays[mkl]' (MKL is not installed)"
    assert backend.bfloat16_fault() == text
    assert (backend.bfloat16_gemm, backend.bfloat16_pays, backend.factor_type) == (0, False, "float32")


@pytest.mark.parametrize(("instructions", "pays"), [({"avx512_bf16"}, False), ({"amx_bf16"}, True)])
def test_it_pays_with_amx(monkeypatch: pytest.MonkeyPatch, instructions: set[str], pays: bool) -> None:
    """By the instructions, and by no measurement."""

    class Found:
        bfloat16, most = 4711, None

    monkeypatch.setattr(processor, "instructions", lambda: frozenset(instructions))
    monkeypatch.setattr(numba_backend.blas, "with_mkl", Found)
    backend = NumbaBackend()
    assert (backend.bfloat16_fault(), backend.bfloat16_gemm) == ("", 4711)
    assert (backend.bfloat16_pays, backend.factor_type) == (pays, "uint16")
