"""Compiled optimizer steps equal the plain forms, on sizes that several threads share."""

from __future__ import annotations

import numpy as np
import pytest
from support.contract import agree

from nnx.backends.base import Backend

pytest.importorskip("numba", reason="Numba is not installed: pip install 'nnx-arrays[fast]'")

from nnx.ops.base_numba import SMALL_ARRAY


@pytest.mark.parametrize("extra", [{}, {"weight_decay": 0.02, "l2": 0.03}], ids=["bare", "both"])
@pytest.mark.parametrize(
    ("operation", "slots", "options"),
    [("sgd_step", (), {"velocity": None}), ("adam_step", ("m", "v"), {"step": 3})],
)
def test_optimizers(
    compiled: Backend,
    dtype: np.dtype,
    rng: np.random.Generator,
    operation: str,
    slots: tuple[str, ...],
    options: dict[str, object],
    extra: dict[str, float],
) -> None:
    size = 2 * SMALL_ARRAY + 7
    arguments = {name: rng.uniform(0.1, 1.0, size) for name in slots} | {
        "values": rng.standard_normal(size), "gradients": rng.standard_normal(size), "fault": np.array([0]),
        "learning_rate": 0.05, **options, **extra,
    }  # fmt: skip
    agree(compiled, operation, dtype, arguments, ("values", *slots))
    stopped = arguments | {"fault": np.array([4])}
    agree(compiled, operation, dtype, stopped, (), returns=False)
