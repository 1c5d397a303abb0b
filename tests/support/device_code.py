"""Which code of nnx runs on arrays of any device, and which only on NumPy's or CuPy's arrays."""

from __future__ import annotations

import ast
from pathlib import Path

import nnx

NNX = Path(nnx.__file__).parent
OPS = [path for path in sorted((NNX / "ops").glob("*.py")) if not path.stem.endswith("_numba")]
HOST_FORMS = {"_sum", "sum_of_squares", "SparseBatch"}  # of NumPy, as what ends in _in_place or NumPy


def for_devices(source: str) -> ast.Module:
    """A module without its forms for NumPy alone."""
    tree = ast.parse(source)
    tree.body = [node for node in tree.body if not _for_numpy_alone(getattr(node, "name", ""))]
    return tree


def _for_numpy_alone(name: str) -> bool:
    return name.endswith(("_in_place", "NumPy")) or name in HOST_FORMS


def for_gpu(source: str) -> ast.Module:
    """The classes of a module that run on the GPU alone."""
    tree = ast.parse(source)
    tree.body = [node for node in tree.body if getattr(node, "name", "").endswith(("CuPy", "CupyBackend"))]
    return tree
