"""Compare an operation of a backend with the plain one, and check what callers may rely on.

The oracle computes in float64 on inputs that were first rounded to the type under test, so what remains is
the rounding of the backend's own arithmetic. A sum of n terms carries a rounding error of about ε √n times
its size (errors of either sign, partial sums growing as √n); elementwise work adds a few ε. The tolerance is
16 ε √n times the largest expected element: wrong formulas are off by far more, in float64 at the least.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nnx.backends import Backend
from nnx.ops.activations import ACTIVATIONS

ORACLE = Backend()
ROWS = [1, 7]
KINDS = sorted(ACTIVATIONS)
ALPHA = 0.3


def room(*shape: int) -> np.ndarray:
    """An output: what an operation leaves unwritten stays NaN."""
    return np.full(shape, np.nan)


def to_device(backend: Backend, x: Any, strided: bool) -> Any:
    """A copy on the device; `strided` makes it every other column of a wider array."""
    if not isinstance(x, np.ndarray):
        return x
    if not strided or x.ndim < 2:
        return backend.asarray(x.copy())
    wide = np.full((x.shape[0], 2 * x.shape[1]), 7.0, x.dtype)
    wide[:, ::2] = x
    return backend.asarray(wide)[:, ::2]


def close(actual: Any, expected: Any, dtype: np.dtype, terms: int = 1) -> None:
    scale = max(1.0, float(np.max(np.abs(expected), initial=0.0)))
    tolerance = 16.0 * np.finfo(dtype).eps * terms**0.5 * scale
    np.testing.assert_allclose(actual, expected, rtol=0.0, atol=tolerance)


def agree(
    backend: Backend,
    operation: str,
    dtype: np.dtype,
    arguments: dict[str, Any],
    outputs: tuple[str, ...],
    *,
    terms: int = 1,
    strided: bool = False,
    returns: bool = True,
) -> dict[str, np.ndarray]:
    """Run an operation on the oracle and the backend; compare outputs, returned value and inputs.

    Arguments named in `outputs` are written; all others must come out as they went in.
    """
    rounded = {
        name: x.astype(dtype) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x
        for name, x in arguments.items()
    }
    expected = {
        name: x.astype(np.float64) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x
        for name, x in rounded.items()
    }
    getattr(ORACLE, operation)(**expected)
    device = {name: to_device(backend, x, strided and name not in outputs) for name, x in rounded.items()}
    with backend.quiet():
        returned = getattr(backend, operation)(**device)
    if returns:
        assert returned is device[outputs[0]]
    actual = {}
    for name, x in rounded.items():
        if not isinstance(x, np.ndarray):
            continue
        actual[name] = backend.to_numpy(device[name])
        if name in outputs:
            assert actual[name].dtype == x.dtype
            close(actual[name], expected[name], dtype, terms)
        else:
            np.testing.assert_array_equal(actual[name], x, err_msg=f"{operation} changed {name}")
    return actual
