"""On the CPU, the rows of a batch that were read on the host are sent without a copy."""

from __future__ import annotations

import numpy as np

from nnx.backends import resolve


def test_rows_that_are_sent_are_those_of_the_host_array() -> None:
    staging = resolve("numpy").staging((5, 2), np.dtype("float32"))
    staging.host[...] = np.arange(10.0).reshape(5, 2)
    sent = staging.send(3)
    assert sent.dtype == np.float32
    assert sent.tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    assert np.shares_memory(sent, staging.host)
    staging.wait()
