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
def test_binary_cross_entropy_of_probabilities(
    compiled: Backend, dtype: np.dtype, rng: np.random.Generator, columns: int
) -> None:
    arguments = {
        "kind": "binary_cross_entropy", "y_true": rng.uniform(0.0, 1.0, (131, columns)),
        "y_pred": rng.uniform(0.01, 0.99, (131, columns)), "value": room(1), "dy": room(131, columns),
        "scale": 1.0 / columns, "parameter": 1e-7,
    }  # fmt: skip
    for absent in ({}, {"value": None}, {"dy": None}):
        outputs = tuple({"value", "dy"} - absent.keys())
        agree(compiled, "loss", dtype, arguments | absent, outputs, terms=131 * columns, returns=False)


@pytest.mark.parametrize("p", [0.0, 1e-7, 1e-3, 0.5, 1.0 - 1e-3, 1.0, np.nan])
@pytest.mark.parametrize("y", [0.0, 1.0])
@pytest.mark.parametrize("epsilon", [1e-7, 1e-9])
def test_a_probability_keeps_its_digits(compiled: Backend, p: float, y: float, epsilon: float) -> None:
    """Each loss is right to a few units in its last place, also the smallest ones; NaN stays NaN."""
    shape, same = (64, 784), np.float32
    y_true, y_pred = np.full(shape, y, same), np.full(shape, p, same)
    found, expected = np.zeros(1, same), np.zeros(1, same)
    gradient, plain = np.empty(shape, same), np.empty(shape, same)
    with np.errstate(all="ignore"):
        Backend().loss("binary_cross_entropy", y_true, y_pred, expected, plain, 1 / 784, epsilon)
        compiled.loss("binary_cross_entropy", y_true, y_pred, found, gradient, 1 / 784, epsilon)
    np.testing.assert_allclose(found, expected, rtol=2e-5)
    np.testing.assert_allclose(gradient, plain, rtol=1e-6)


@pytest.mark.parametrize("kind", ["squared_error", "binary_cross_entropy_from_logits"])
def test_a_value_without_a_gradient_is_the_value_with_one(
    compiled: Backend, dtype: np.dtype, rng: np.random.Generator, kind: str
) -> None:
    y, z = rng.uniform(0.0, 1.0, (131, 300)).astype(dtype), rng.standard_normal((131, 300)).astype(dtype)
    both, alone = np.zeros(1, dtype), np.zeros(1, dtype)
    compiled.loss(kind, y, z, both, np.empty_like(z), 1 / 300)
    compiled.loss(kind, y, z, alone, None, 1 / 300)
    assert alone.tobytes() == both.tobytes()


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
