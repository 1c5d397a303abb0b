"""Arrays are read in the float types that nnx has, and in no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnx.datasets import load_arrays
from nnx.errors import ConfigurationError


def test_only_float_types_are_offered(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="float32, float64"):
        load_arrays(tmp_path / "x.npy", dtype="int32")
