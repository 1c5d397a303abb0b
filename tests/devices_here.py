"""Which devices this machine has, for the tests about devices."""

from __future__ import annotations

import importlib.util

import pytest

from nnx.backends import available

HAS_CUPY = importlib.util.find_spec("cupy") is not None
HAS_GPU = any(status.usable and status.name == "cupy" for status in available())

needs_cupy = pytest.mark.skipif(not HAS_CUPY, reason="CuPy is not installed")
without_gpu = pytest.mark.skipif(HAS_GPU, reason="there is a usable GPU here")


def one_line(error: BaseException) -> str:
    """The text of an error, which stands on one line of a bearable length."""
    text = str(error)
    assert "\n" not in text
    assert len(text) < 400
    return text
