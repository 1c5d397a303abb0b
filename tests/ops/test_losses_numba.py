"""Compiled losses equal the plain forms, on sizes that several threads share."""

from __future__ import annotations

import numpy as np
import pytest
from support.contract import agree, room

from nnx.backends.base import Backend

pytest.importorskip("numba", reason="Numba is not installed: pip install 'nnx-arrays[fast]'")


def test_small_losses_are_not_lost(compiled: Backend) -> None:
    z, y = np.full((64, 784), 20.0, np.float32), np.ones((64, 784), np.float32)
    value = np.zeros(1, np.float32)
    compiled.loss("binary_cross_entropy_from_logits", y, z, value, np.empty_like(z), 1.0 / 784)
    assert value[0] == pytest.approx(np.log1p(np.exp(-20.0)), rel=1e-5)


@pytest.mark.parametrize("columns", [10, 300, 1100])
@pytest.mark.parametrize(
    "kind",
    ["squared_error", "binary_cross_entropy_from_logits", "categorical_cross_entropy_from_logits"],
)
def test_losses(
    compiled: Backend, dtype: np.dtype, rng: np.random.Generator, kind: str, columns: int
) -> None:
    arguments = {
        "kind": kind, "y_true": rng.uniform(0.0, 1.0, (131, columns)),
        "y_pred": 6.0 * rng.standard_normal((131, columns)), "value": room(1), "dy": room(131, columns),
        "scale": 1.0 / columns,
    }  # fmt: skip
    agree(compiled, "loss", dtype, arguments, ("value", "dy"), terms=131 * columns, returns=False)
