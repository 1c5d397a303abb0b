"""Losses: closed forms, labels, fusion, and options that are refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from support.losses import P, Y, on

import nnx
from nnx.backends import Backend
from nnx.errors import ConfigurationError

pytestmark = pytest.mark.usefixtures("on_cpu")


@pytest.mark.parametrize(
    ("loss", "value", "gradient"),
    [
        # errors p − y: 0.5, −0.5, −0.75, 0
        (nnx.MeanSquaredError(), (0.25 + 0.25 + 0.5625) / 4, [[0.25, -0.25], [-0.375, 0.0]]),
        (nnx.MeanSquaredError("sum_over_features"), 1.0625 / 2, [[0.5, -0.5], [-0.75, 0.0]]),
        (nnx.MeanAbsoluteError(), 1.75 / 4, [[0.25, -0.25], [-0.25, 0.0]]),
        (nnx.Huber(0.5), (0.125 + 0.125 + 0.25) / 4, [[0.125, -0.125], [-0.125, 0.0]]),
        (nnx.BinaryCrossEntropy(), (3 * math.log(2) + math.log(4)) / 4, [[0.5, -0.5], [-1.0, 0.0]]),
        (nnx.CategoricalCrossEntropy(), (math.log(2) + math.log(4) + 0.5 * math.log(2)) / 2,
         [[0.0, -1.0], [-2.0, -0.5]]),
    ],
    ids=repr,
)  # fmt: skip
def test_closed_forms(backend: Backend, loss: nnx.Loss, value: float, gradient: Any) -> None:
    y, p = on(backend, Y, P)
    result = loss(y, p)
    assert result.shape == ()
    assert float(result) == pytest.approx(value, rel=1e-14)
    np.testing.assert_allclose(backend.to_numpy(loss.gradient(y, p)), gradient, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize(
    ("loss", "activation"),
    [(nnx.BinaryCrossEntropy(1e-12), nnx.Sigmoid), (nnx.CategoricalCrossEntropy(1e-12), nnx.Softmax)],
    ids=["binary", "categorical"],
)
def test_the_fused_form_is_the_loss_of_the_activations_output(
    backend: Backend, rng: np.random.Generator, loss: nnx.Loss, activation: type[nnx.Layer]
) -> None:
    y, z = on(backend, rng.dirichlet(np.ones(4), 6), 3.0 * rng.standard_normal((6, 4)))
    value, dz = backend.empty(1, "float64"), backend.empty(z.shape, "float64")
    loss.evaluate(backend, y, z, value, dz, None, loss.fused[activation.kind])
    layer = activation()
    layer.build(4, device=backend, dtype="float64")
    p = layer.forward(z).copy()
    assert float(value[0]) == pytest.approx(float(loss(y, p)), rel=1e-10)
    unfused = layer.backward(loss.gradient(y, p))
    np.testing.assert_allclose(backend.to_numpy(dz), backend.to_numpy(unfused), rtol=1e-9, atol=1e-14)


def test_the_fused_form_is_exact_where_probabilities_round_to_one(backend: Backend) -> None:
    y, z = on(backend, [[0.0, 1.0]], [[40.0, 40.0]], dtype="float32")
    value, dz = backend.empty(1, "float32"), backend.empty((1, 2), "float32")
    nnx.BinaryCrossEntropy().evaluate(backend, y, z, value, dz, None, "binary_cross_entropy_from_logits")
    assert float(value[0]) == pytest.approx(20.0, rel=1e-6)  # (40 + e⁻⁴⁰) / 2, far beyond −log ε
    np.testing.assert_allclose(backend.to_numpy(dz), [[0.5, -0.5 * math.exp(-40)]], rtol=1e-5, atol=1e-8)


def test_softmax_cross_entropy_does_not_move_with_a_shift(backend: Backend, rng: np.random.Generator) -> None:
    z = rng.standard_normal((4, 5))
    labels = backend.asarray(np.array([0, 4, 2, 2]))
    loss, values = nnx.CategoricalCrossEntropy(), []
    for shift in (0.0, 1000.0):
        value, dz = backend.empty(1, "float64"), backend.empty(z.shape, "float64")
        kind = loss.fused["softmax"]
        loss.evaluate(backend, labels, backend.asarray(z + shift), value, dz, None, kind)
        values.append((float(value[0]), backend.to_numpy(dz).sum()))
    assert values[0][0] == pytest.approx(values[1][0], rel=1e-10)
    assert abs(values[0][1]) < 1e-12, "a row's gradient sums to zero"


def test_labels_are_dense_targets(backend: Backend, rng: np.random.Generator) -> None:
    p = backend.asarray(rng.dirichlet(np.ones(3), 4))
    labels = np.array([2, 0, 1, 1])
    loss = nnx.CategoricalCrossEntropy()
    dense = backend.asarray(np.eye(3)[labels])
    for kind in ("int64", "int32", "uint8"):
        given = backend.asarray(labels.astype(kind))
        assert float(loss(given, p)) == float(loss(dense, p))
        np.testing.assert_array_equal(
            backend.to_numpy(loss.gradient(given, p)), backend.to_numpy(loss.gradient(dense, p))
        )


def test_huber_is_quadratic_inside_and_linear_outside() -> None:
    e = np.array([[0.1, -0.3, 4.0]])
    zero = np.zeros_like(e)
    assert float(nnx.Huber(10.0)(zero, e)) == pytest.approx(0.5 * float(nnx.MeanSquaredError()(zero, e)))
    far = nnx.Huber(1e-9)
    assert float(far(zero, e)) == pytest.approx(1e-9 * float(nnx.MeanAbsoluteError()(zero, e)), rel=1e-6)


def test_integer_targets_of_a_regression_are_numbers() -> None:
    y = np.array([[0], [2]])
    assert float(nnx.MeanSquaredError()(y, np.array([[1.0], [1.0]]))) == 1.0


# ------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: nnx.MeanSquaredError("sum"), "reduction must be 'mean' or 'sum_over_features', not 'sum'"),
        (lambda: nnx.Huber(0.0), r"delta must lie in \(0, inf\), not 0.0"),
        (lambda: nnx.Huber(math.nan), "delta must lie in"),
        (lambda: nnx.BinaryCrossEntropy(0.5), r"BinaryCrossEntropy: epsilon must lie in \(0, 0.5\)"),
        (lambda: nnx.CategoricalCrossEntropy(0.0), r"CategoricalCrossEntropy: epsilon must lie in"),
    ],
)
def test_options_out_of_range_are_refused(make: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        make()
