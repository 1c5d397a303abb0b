"""Find out which devices this machine has."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from nnx.backends import Backend, available, resolve
from nnx.errors import DeviceError

HAS_CUPY = importlib.util.find_spec("cupy") is not None
HAS_GPU = any(status.usable and status.name == "cupy" for status in available())


def _on_stand_in() -> bool:
    spec = importlib.util.find_spec("cupy")
    return spec is not None and "standin" in Path(spec.origin or "").parts


ON_STAND_IN = _on_stand_in()  # tests/ladder/standin
LONG = os.environ.get("NNX_LONG") == "1"


def shortened(device: str) -> bool:
    """Whether what trains for minutes on the stand-in is to train less."""
    return device.startswith("gpu") and ON_STAND_IN and not LONG


def usable(name: str) -> Backend:
    """The backend of that name; a GPU's absence is a skip, or a failure where NNX_REQUIRE_GPU=1."""
    try:
        return resolve(name)
    except DeviceError as error:
        if name in ("cupy", "gpu") and os.environ.get("NNX_REQUIRE_GPU") == "1":
            pytest.fail(f"NNX_REQUIRE_GPU=1, but {error}")
        pytest.skip(str(error))


needs_cupy = pytest.mark.skipif(not HAS_CUPY, reason="CuPy is not installed")
without_gpu = pytest.mark.skipif(HAS_GPU, reason="there is a usable GPU here")


def one_line(error: BaseException) -> str:
    """The text of an error, which stands on one line of a bearable length."""
    text = str(error)
    assert "\n" not in text
    assert len(text) < 400
    return text
