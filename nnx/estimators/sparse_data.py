"""Sparse X in the estimators: what to train on, and how much of it an autoencoder restores."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

import nnx
from nnx.data.rows import HostArray
from nnx.data.sparse_rows import PIECE
from nnx.errors import ConfigurationError

SPARSE_ROWS = 1024  # sparse rows that are made dense at a time, outside of training
SMALL = 2**18  # numbers: so small a matrix is trained on as a dense array, by the loop for small networks


def trained_on(x: Any, layers: list[nnx.Layer] | None, sparse_updates: bool) -> Any:
    """Return X as `fit` of the network gets it; the layers of a new network learn how to update.

    Raises
    ------
    ConfigurationError
        If `sparse_updates` is True, and the first layer cannot have sparse updates.
    """
    if not sparse.issparse(x):
        return x
    if not sparse_updates:
        return x.toarray() if x.shape[0] * x.shape[1] <= SMALL else x
    if layers is not None:
        first = layers[0]
        if not isinstance(first, nnx.Dense):
            raise ConfigurationError(
                f"sparse_updates=True needs a dense first layer, not {first!r}: set sparse_updates=False"
            )
        first.sparse = True
    return x


def dense(x: Any) -> Any:
    """Return a sparse matrix as a dense array, and other data unchanged."""
    return x.toarray() if sparse.issparse(x) else x


def explained(network: nnx.Network, x: Any, weights: HostArray | None) -> float:
    """Return the share of the variance of sparse rows that a network restores, as for dense rows.

    1 − Σ (x − f(x))² / Σ (x − mean)², without the features that are constant; only a few rows are dense at a
    time.
    """
    rows, features = x.shape
    w = np.ones(rows) if weights is None else weights.astype(np.float64)
    errors, step = np.zeros(features), max(1, PIECE // features)
    for start in range(0, rows, step):
        part = x[start : start + step]
        missed = part.toarray().astype(np.float64) - network.predict(part)
        errors += w[start : start + step] @ (missed * missed)
    spread = _spread(x, w)
    varies = spread > 0.0
    if not varies.any():
        return float(np.mean(errors == 0.0))
    return float(1.0 - errors[varies].sum() / spread[varies].sum())


def _spread(x: Any, w: HostArray) -> HostArray:
    """Return Σ w (x − mean)² of each feature."""
    coo = x.tocoo()
    coo.sum_duplicates()  # squares of the parts of a number are not its square
    of_row, features, total = w[coo.row], x.shape[1], w.sum()

    def sums(values: HostArray) -> HostArray:
        return np.bincount(coo.col, values, features)

    values = coo.data.astype(np.float64)
    mean = sums(of_row * values) / total
    stored = sums(of_row * (values - mean[coo.col]) ** 2)
    spread: HostArray = stored + np.maximum(total - sums(of_row), 0.0) * mean**2
    return spread
