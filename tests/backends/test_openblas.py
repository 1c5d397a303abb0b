"""The private copy of OpenBLAS: only tested versions are used."""

from __future__ import annotations

import re

import pytest
from support.places import ROOT

from nnx.backends import openblas


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
