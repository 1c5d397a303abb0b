"""Kernels are compiled where no folder can keep their code."""

from __future__ import annotations

import pytest

numba = pytest.importorskip("numba", reason="Numba is not installed: pip install 'nnx-arrays[fast]'")

from nnx.ops import base_numba  # noqa: E402


def test_without_a_folder_to_cache_in_kernels_are_compiled_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    genuine = numba.njit

    def njit(cache: bool = False, **options: object):
        if cache:
            raise RuntimeError("cannot cache function: no locator available for file")
        return genuine(**options)

    monkeypatch.setattr(numba, "njit", njit)
    double = base_numba.compiled()(lambda x: 2 * x)
    assert double(21) == 42
