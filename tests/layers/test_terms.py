"""Terms that layers add to the loss: what a pass tells the layers, and which names they have."""

from __future__ import annotations

import numpy as np
import pytest

import nnx
from nnx.backends import Backend
from nnx.layers import Plan
from nnx.layers.base import walk
from nnx.layers.terms import PLAIN, Terms, names_of

X = np.random.default_rng(4).uniform(0.1, 0.9, (6, 4))


def plan(backend: Backend, *layers: nnx.Layer) -> Plan:
    made = nnx.Network(list(layers), device=backend, dtype="float64", seed=0).build(4)
    return Plan(made.layers, made.arena, keep=True)


def values(made: Plan) -> list[float]:
    return [float(value[0]) for _, value in made.terms()]


def test_a_training_pass_computes_terms_and_inference_only_if_asked(backend: Backend) -> None:
    made, x = plan(backend, nnx.L1Sparsity(0.5)), backend.asarray(X)
    made.forward(x, training=False)
    assert values(made) == []
    made.forward(x, training=False, terms=PLAIN)
    assert values(made) == pytest.approx([0.5 * np.abs(X).sum(axis=1).mean()])
    made.forward(x, training=False)
    assert values(made) == []
    made.forward(x, training=True)
    assert values(made) == pytest.approx([0.5 * np.abs(X).sum(axis=1).mean()])


def test_rows_count_by_their_weights_and_gradients_by_the_share_of_a_rank(backend: Backend) -> None:
    made, weights = plan(backend, nnx.L1Sparsity(0.5)), np.array([1.0, 0.0, 2.0, 0.5, 3.0, 1.0])
    made.forward(backend.asarray(X), terms=Terms(backend.asarray(weights), 0.25))
    assert values(made) == pytest.approx([0.5 * np.average(np.abs(X).sum(axis=1), weights=weights)])
    dx = backend.to_numpy(made.backward(backend.zeros(X.shape, "float64"), input_gradient=True))
    expected = np.broadcast_to(0.25 * 0.5 * (weights / weights.sum())[:, None], X.shape)
    np.testing.assert_allclose(dx, expected, rtol=1e-12)


@pytest.mark.parametrize("scale", [1e-300, 1e307])
def test_only_ratios_of_weights_matter(backend: Backend, scale: float) -> None:
    made, weights = plan(backend, nnx.L1Sparsity(0.5)), np.array([1.0, 2.0, 9.0, 9.0, 3.0, 9.0])
    made.forward(backend.asarray(X), terms=Terms(backend.asarray(weights * scale)))
    assert values(made) == pytest.approx([0.5 * np.average(np.abs(X).sum(axis=1), weights=weights)])


def test_a_rank_whose_rows_all_have_the_weight_zero_adds_nothing(backend: Backend) -> None:
    made = plan(backend, nnx.L1Sparsity(0.5))
    made.forward(backend.asarray(X), terms=Terms(backend.zeros(6, "float64"), 0.0))
    assert values(made) == [0.0]


def test_terms_inside_containers_count(backend: Backend) -> None:
    inner = nnx.Residual([nnx.Sigmoid(), nnx.KLSparsity(0.1)])
    made = plan(backend, nnx.L1Sparsity(1.0), nnx.Sequential([nnx.L1Sparsity(2.0), inner]))
    made.forward(backend.asarray(X))
    first, second, third = values(made)
    assert second == pytest.approx(2.0 * first)
    assert third > 0.0


def test_a_larger_and_a_smaller_batch_have_their_own_terms(backend: Backend) -> None:
    made = plan(backend, nnx.L1Sparsity(1.0))
    for rows in (2, 6, 1, 6):
        made.forward(backend.asarray(X[:rows]))
        assert values(made) == pytest.approx([np.abs(X[:rows]).sum(axis=1).mean()])


def test_names_are_listed_once_and_in_order() -> None:
    network = nnx.Network([nnx.Residual([nnx.L1Sparsity(1.0)]), nnx.Sigmoid(), nnx.KLSparsity(1.0)])
    assert names_of(walk(network.layers)) == ("sparsity",)
    assert names_of([nnx.ReLU()]) == ()
