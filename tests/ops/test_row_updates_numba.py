"""The compiled rules for rows equal the plain ones on sizes that several threads share."""

from __future__ import annotations

import numpy as np
import pytest
from support.contract import agree

from nnx.backends.base import Backend

pytest.importorskip("numba", reason="Numba is not installed: pip install 'nnx-arrays[fast]'")

from nnx.ops.base_numba import SMALL_ARRAY

ROWS, COLUMNS = 1000, 60


@pytest.mark.parametrize(("operation", "slots"), [("sgd_rows", ()), ("adam_rows", ("m", "v"))])
def test_the_plain_form(
    compiled: Backend, dtype: np.dtype, rng: np.random.Generator, operation: str, slots: tuple[str, ...]
) -> None:
    rows = np.where(rng.random(ROWS) < 0.3, -1, rng.permutation(ROWS))
    assert rows.size * COLUMNS > SMALL_ARRAY
    tables = {name: rng.uniform(0.1, 1.0, (ROWS, COLUMNS)) for name in ("values", *slots)}
    arguments = tables | {
        "gradients": rng.standard_normal((ROWS, COLUMNS)), "rows": rows, "fault": np.array([0]),
        "learning_rate": 0.05, **({"step": 3} if slots else {}),
    }  # fmt: skip
    agree(compiled, operation, dtype, arguments, tuple(tables))
