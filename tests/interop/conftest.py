"""The real Keras."""

from __future__ import annotations

import os
import warnings
from typing import Any

import pytest


@pytest.fixture(scope="module")
def keras() -> Any:
    """Keras 3 on TensorFlow."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow's own imports use what Python and NumPy deprecate
        pytest.importorskip("tensorflow", reason="needs TensorFlow: pip install 'nnx-arrays[compare]'")
        return pytest.importorskip("keras", reason="needs Keras: pip install 'nnx-arrays[compare]'")
