"""The private copy of OpenBLAS: only tested versions are used."""

from __future__ import annotations

import re

import pytest
from support.places import ROOT
from support.teams import trained
from threadpoolctl import threadpool_limits

from nnx.backends import openblas, resolve


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
    assert openblas.tested(config) == tested


def test_the_package_asks_for_the_versions_that_are_used():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'"{openblas.WANTED}"' in text
    low, high = re.fullmatch(r"scipy-openblas32>=([\d.]+),<([\d.]+)", openblas.WANTED).groups()
    assert tuple(map(int, low.split("."))) == openblas.OLDEST
    assert tuple(map(int, high.split("."))) == openblas.BEFORE


def test_its_name_has_the_version_and_the_kernels():
    library = openblas.load()
    if library is None:
        pytest.skip(f"no private OpenBLAS here: pip install '{openblas.WANTED}'")
    assert re.fullmatch(r"OpenBLAS 0\.3\.\d+ \(\w+\)", openblas.describe(library))


def test_threadpoolctl_changes_neither_the_numbers_nor_the_threads_of_a_product():
    backend = resolve("cpu")
    if not isinstance(getattr(getattr(backend, "blas", None), "hold", None), openblas.OneThread):
        pytest.skip(f"no private OpenBLAS here: pip install '{openblas.WANTED}'")
    library = openblas.load()
    assert library is not None
    alone = trained()
    with threadpool_limits(2, user_api="blas"):
        assert library.scipy_openblas_get_num_threads() == 2
        assert trained() == alone
        assert library.scipy_openblas_get_num_threads() == 1
