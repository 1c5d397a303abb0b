"""Every kernel, as CuPy writes it, goes through NVIDIA's compiler and assembler for every architecture.

The text comes from CuPy's own code (`sources`), the compiler from its wheel; no driver and no GPU is asked.
They show that kernels compile, which resources they need, and that float32 stays float32. Nothing runs.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("cupy_backends", reason="needs CuPy's real wheel: nox -s ladder")

from support.ladder.compiled import ARCHITECTURES, compiled, float64_lines
from support.ladder.sources import DTYPES, LAYOUTS, Source, sources

from nnx.ops.cuda import Elementwise, Raw

ROOT = Path(__file__).parents[2]
REGISTERS_OF_A_BLOCK = 65536  # on every architecture here


@pytest.fixture(scope="module")
def kernels() -> list[Source]:
    return sources()


def test_the_sources_are_cupys_own(kernels: list[Source]) -> None:
    assert len(kernels) == len(DTYPES) * (len(LAYOUTS) * len(Elementwise.known) + len(Raw.known))
    text = {str(source): source.text for source in kernels}
    assert "#include <cupy/carray.cuh>" in text["relu_forward float32 contiguous"]
    assert "CArray<float, 1, 1, 1> _raw_y" in text["relu_forward float32 contiguous"]
    assert "CArray<double, 2, 0, 0> _raw_y" in text["relu_forward float64 strided"]
    assert "--std=c++17" in kernels[0].options
    assert not any("arch" in option for option in kernels[0].options)


def test_the_document_has_their_number(kernels: list[Source]) -> None:
    elementwise, raw = len(Elementwise.known), len(Raw.known)
    told = f"nnx has {elementwise + raw} kernels, {elementwise} elementwise and {raw} raw,"
    assert told in (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_kernel_compiles(kernels: list[Source], architecture: str, dtype: str) -> None:
    for source in kernels:
        if source.dtype != dtype:
            continue
        made = compiled(source, architecture)
        assert made.cubin.startswith(b"\x7fELF"), source
        assert f".target sm_{architecture}" in made.ptx, source
        assert made.registers * source.threads <= REGISTERS_OF_A_BLOCK, f"{source} could not be launched"
        assert not made.local, f"{source} keeps numbers in local memory"
        assert dtype == "float64" or float64_lines(made.ptx) == [], source
        for what in moves_of(source):
            assert re.search(rf"{what}\.global\.(v4\.\w32|v2\.\w64)", made.ptx), (
                f"{source}: no fours in {what}"
            )


def moves_of(source: Source) -> list[str]:
    """Whether a kernel reads four numbers at once, and stores so many, by the helpers that it calls."""
    body = source.text[source.text.find(f" {source.function}(") :]
    reads = re.search(r"nnx_read|nnx_row\b|NNX_TARGETS", body) and source.name not in (
        "gather_bytes",
        "smooth_labels",
    )
    stores = re.search(r"nnx_(store|write)\(", body) and "record" not in source.name
    return [*(["ld"] if reads else []), *(["st"] if stores else [])]


def test_a_double_literal_in_a_float32_kernel_is_found(kernels: list[Source]) -> None:
    source = next(one for one in kernels if str(one) == "relu_forward float32 contiguous")
    assert float64_lines(compiled(source, "80").ptx) == []
    slow = replace(source, text=source.text.replace("T(0) : x", "T(0) : 0.1 * x"))
    assert any(line.startswith(("mul.f64", "mul.rn.f64")) for line in float64_lines(compiled(slow, "80").ptx))


def test_a_kernel_that_does_not_compile_is_reported_with_the_compilers_text(kernels: list[Source]) -> None:
    right = next(source for source in kernels if str(source) == "dropout float32 contiguous")
    wrong = replace(right, text=right.text.replace("nnx_mix((", "nnx_mixed(("))
    with pytest.raises(AssertionError, match=r'(?s)dropout float32 contiguous for sm_80.*"nnx_mixed"'):
        compiled(wrong, "80")
