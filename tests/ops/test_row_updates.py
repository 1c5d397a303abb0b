"""Rows of a table are updated as by the rules for flat buffers, and the other rows rest."""

from __future__ import annotations

import numpy as np
import pytest
from support.contract import agree

from nnx.backends import Backend

ROWS, COLUMNS = 600, 80


@pytest.mark.parametrize("count", [1, 9, 500])
@pytest.mark.parametrize(("operation", "slots"), [("sgd_rows", ()), ("adam_rows", ("m", "v"))])
def test_the_plain_form_and_the_flat_rule(
    backend: Backend,
    dtype: np.dtype,
    rng: np.random.Generator,
    count: int,
    operation: str,
    slots: tuple[str, ...],
) -> None:
    rows = np.where(rng.random(count) < 0.2, -1, rng.permutation(ROWS)[:count])
    tables = {name: rng.uniform(0.1, 1.0, (ROWS, COLUMNS)) for name in ("values", *slots)}
    arguments = tables | {
        "gradients": rng.standard_normal((count, COLUMNS)), "rows": rows, "fault": np.array([0]),
        "learning_rate": 0.05, **({"step": 3} if slots else {}),
    }  # fmt: skip
    found = agree(backend, operation, dtype, arguments, tuple(tables))
    rest = np.setdiff1d(np.arange(ROWS), rows)
    for name, table in tables.items():
        np.testing.assert_array_equal(found[name][rest], table.astype(dtype)[rest])
    agree(backend, operation, dtype, arguments | {"fault": np.array([4])}, (), returns=False)
