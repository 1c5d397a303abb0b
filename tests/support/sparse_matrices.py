"""Sparse matrices for tests: with empty rows and columns, frequent columns, and in every format."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

FORMATS = ("csr", "csc", "coo", "lil", "dok", "bsr", "dia")


def drawn(rows: int, features: int, density: float = 0.1, dtype: Any = "float64", seed: int = 0) -> Any:
    """A `csr_array`: one row and one column are empty, one column is full."""
    rng = np.random.default_rng(seed)
    dense = np.where(rng.random((rows, features)) < density, rng.standard_normal((rows, features)), 0.0)
    dense[:, features // 2] = rng.uniform(0.5, 1.0, rows)
    dense[rows // 2] = 0.0
    dense[:, features // 3] = 0.0
    return sparse.csr_array(dense.astype(dtype))
