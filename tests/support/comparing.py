"""What test modules of the comparison share: the frameworks that are here, and short checks."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from nnx.experiments.compare.agreement import Check
from nnx.experiments.compare.sides import FRAMEWORKS, absent

needs_keras = [
    pytest.mark.keras,
    pytest.mark.skipif(
        find_spec("tensorflow") is None or find_spec("keras") is None,
        reason="TensorFlow is not installed: pip install 'nnx-arrays[compare]'",
    ),
]


SIDES = ("nnx", "keras", "keras_xla")
EVERY = {  # each framework that can be compared, skipped where it is not installed
    name: pytest.param(
        name,
        marks=needs_keras if name == "keras" else pytest.mark.skipif(bool(absent(name)), reason=absent(name)),
    )
    for name in FRAMEWORKS
}


SHORT = {
    "float64": Check("deep", "float64", 20, 1e-9),
    "float32": Check("deep", "float32", 20, 1e-3),
    "shallow_float64": Check("shallow", "float64", 5, 1e-9),
    "shallow_float32": Check("shallow", "float32", 5, 1e-3),
    "xor_float64": Check("xor_deep", "float64", 5, 1e-9),
    "xor_shallow_float64": Check("xor_shallow", "float64", 5, 1e-9),
}
