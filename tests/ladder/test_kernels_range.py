"""The kernels' sources, compiled by g++, over the whole range of numbers."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pytest
from support.ladder.host_kernels import compile

pytest.importorskip("cupy", reason="needs CuPy's real wheel: nox -s ladder")
from support.number_range_tests import (  # noqa: F401
    overflowing,
    reference,
    test_activations,
    test_activations_at_the_ends,
    test_losses,
    test_losses_of_probabilities,
    test_softmax,
)

from nnx.backends import Backend

pytestmark = [
    pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++"),
    pytest.mark.usefixtures("on_cpu", "overflowing"),
]


class Kernels(Backend):
    """The plain backend, with what the kernels compute on one thread of the host."""

    def activation_forward(self, kind: str, x: Any, y: Any, alpha: float = 0.0) -> Any:
        if kind == "softmax":
            compile(kind, x.dtype.name)((1,), (32,), (x, y, *x.shape), threads=False)
        else:
            compile(f"{kind}_forward", x.dtype.name)(x, alpha, y)
        return y

    def activation_backward(self, kind: str, dy: Any, x: Any, y: Any, dx: Any, alpha: float = 0.0) -> Any:
        if kind == "softmax":
            compile(f"{kind}_backward", dy.dtype.name)((1,), (32,), (dy, y, dx, *dy.shape), threads=False)
        else:
            compile(f"{kind}_backward", dy.dtype.name)(dy, x, y, alpha, dx)
        return dx

    def loss(
        self, kind: str, y_true: Any, y_pred: Any, value: Any, dy: Any, scale: float = 1.0,
        parameter: Any = 0.0, weights: Any = None,
    ) -> None:  # fmt: skip
        factor = y_pred.dtype.type(scale / len(y_pred))
        parts, done = np.empty(1, y_pred.dtype), np.zeros(1, np.uint32)
        several = np.atleast_1d(parameter).astype(y_pred.dtype)
        arrays = (y_true, y_pred, several, several, dy, value, parts, done)  # equal weights: no factors
        given = (*arrays, *y_pred.shape, several[0], factor, 0, 1)
        compile(f"{kind}_loss", y_pred.dtype.name)((1,), (32,), given, threads=False)


@pytest.fixture
def every() -> Backend:
    return Kernels()


@pytest.mark.parametrize("threads", [1, 4])
def test_sums_over_many_rows_do_not_drift(threads: int) -> None:
    """200,000 rows of one sign: one by one, float32 would be off by 1e-3 and more."""
    dy = np.random.default_rng(0).uniform(0.1, 0.2, (200_000, 3)).astype(np.float32)
    db = np.empty(3, np.float32)
    parts, done = np.empty(1, np.float32), np.zeros(1, np.uint32)
    arguments = (dy, dy, dy, db, parts, done, *dy.shape, np.float32(0.0))
    compile("identity_bias_gradient", "float32")((1,), (4, threads), arguments, threads=threads > 1)
    np.testing.assert_allclose(db, dy.astype(float).sum(axis=0), rtol=2e-5)
