"""The recipe of the estimators for tables: edges, layers, learning rates, targets."""

from __future__ import annotations

import numpy as np
import pytest

import nnx
from nnx.estimators import tabular_recipe as recipe


def built(kind="piecewise_linear", cardinalities=(3, 4), columns=2, members=3, activation="relu", **options):
    numbers = np.random.default_rng(0).standard_normal((50, columns)).astype(np.float32)
    layers = [
        *recipe.embedding_layers(numbers, cardinalities, kind, 5),
        *recipe.member_layers((7, 6), 2, [nnx.Softmax()], members=members, activation=activation, dropout=0.1,
                              embedded=True),
    ]  # fmt: skip
    return nnx.Network(layers, seed=0, **options).build(columns + len(cardinalities))


def test_edges_are_quantiles_of_rows_and_of_rare_numbers():
    ramp, constant = np.linspace(0.0, 1.0, 1001), np.ones(1001)
    rare = np.concatenate([np.zeros(960), np.arange(1.0, 42.0)])
    edges = recipe.edges_of(np.column_stack([ramp, rare, constant]).astype(np.float32), bins=4)
    np.testing.assert_allclose(edges[0], [0.0, 0.25, 0.5, 0.75, 1.0], atol=1e-6)
    np.testing.assert_allclose(edges[1], [0.0, 10.0, 20.0, 31.0, 41.0])  # rows alone: 0 and 41
    assert edges[2] == [1.0, 2.0]
    assert nnx.PiecewiseLinearEmbedding(edges, 2).inputs == 3


def test_edges_rise_and_are_no_more_than_the_bins_need(rng):
    numbers = np.column_stack([rng.integers(0, n, 500) for n in (2, 3, 40, 499)]).astype(np.float32)
    for edges in recipe.edges_of(numbers, bins=16):
        assert np.all(np.diff(edges) > 0.0)
        assert 2 <= len(edges) <= 17
    few = recipe.edges_of(numbers[:, :2], bins=16)
    assert few == [[0.0, 1.0], [0.0, 1.0, 2.0]]  # no edges between numbers that exist


@pytest.mark.parametrize("kind", recipe.EMBEDDINGS)
@pytest.mark.parametrize(("columns", "cardinalities"), [(2, (3, 4)), (2, ()), (0, (3, 4))])
def test_every_kind_of_columns_makes_a_network(kind, columns, cardinalities):
    network = built(kind, cardinalities, columns)
    p = network.predict(np.zeros((4, columns + len(cardinalities)), np.float32))
    assert p.shape == (4, 3, 2)
    steps = recipe.optimizer_of(network, 0.01, 0.1, 100)
    network.fit(np.zeros((4, network.input_shape[0])), np.full((4, 3, 2), 0.5), loss="cross_entropy",
                optimizer=steps, epochs=1, batch_size=4)  # fmt: skip


def test_gradients_of_the_whole_network_are_right():
    network = built(dtype="float64", activation="tanh")
    x = np.column_stack([np.random.default_rng(1).standard_normal((6, 2)), [[0, 3]] * 3 + [[2, 1]] * 3])
    y = np.full((6, 3, 2), 0.5)
    # codes are columns too, and a small step does not change a code
    assert nnx.gradcheck.check(network, x, y, nnx.CategoricalCrossEntropy()).passed


def test_scales_learn_faster_and_only_shared_weights_decay():
    network = built()
    optimizer = recipe.optimizer_of(network, 0.01, 0.5, 1000)
    _, spans = optimizer.state_for(network)
    for span in spans:
        name, settings = network.arena.name_of(span.values), dict(span.settings or ())
        rate = settings.get("learning_rate", optimizer.schedule)
        fast = name.endswith(".s")
        assert rate(500) == pytest.approx((6.0 if fast else 1.0) * optimizer.schedule(500))
        shared = name.startswith("dense_")
        decays = settings.get("weight_decay", optimizer.weight_decay) > 0.0
        assert decays <= shared, name
    assert optimizer.schedule(0) < optimizer.schedule(20) == pytest.approx(0.01)
    assert optimizer.schedule(1000) < 1e-4


@pytest.mark.parametrize(
    ("rows", "batch", "epochs"), [(256, 256, 200), (25600, 256, 30), (10**7, 256, 24), (1, 1, 200)]
)
def test_epochs_follow_from_the_number_of_steps(rows, batch, epochs):
    assert recipe.epochs_for(rows, batch) == epochs


def test_two_classes_have_one_column():
    assert recipe.target_columns(np.array([0, 1, 1]), 2).tolist() == [[0.0], [1.0], [1.0]]
    assert recipe.target_columns(np.array([2, 0]), 3).tolist() == [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]


def test_smoothed_targets_are_probabilities():
    one, several = np.array([[0.0], [1.0]]), np.eye(4)
    np.testing.assert_allclose(recipe.smoothed(one, 0.2), [[0.1], [0.9]])
    smooth = recipe.smoothed(several, 0.2)
    np.testing.assert_allclose(smooth.sum(axis=1), 1.0)
    np.testing.assert_allclose(smooth.max(axis=1), 0.85)


def test_the_error_is_that_of_the_mean_and_not_the_mean_of_errors():
    y = recipe.repeated(np.array([[1.0], [0.0]]), 2)
    p = np.array([[[0.0], [2.0]], [[1.0], [1.0]]])
    assert recipe.ensemble_error(y, p) == 0.5
    assert recipe.ensemble_error(y, p, sample_weight=np.array([3.0, 1.0])) == 0.25
