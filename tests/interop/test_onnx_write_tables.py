"""Layers for the columns of a table in an ONNX file compute what the network computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.onnx_graphs import CLOSE, ROWS, run
from support.small_networks import randomized
from support.small_tables import classes_for, numbers_for, table

import nnx
from nnx.estimators import TabularClassifier, TabularRegressor
from nnx.interop import onnx as exchange
from nnx.interop.onnx_write_tables import TABLES

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install 'nnx-arrays[onnx]'")
pytestmark = pytest.mark.usefixtures("on_cpu")

EDGES = [[-1.0, 0.1, 0.8], [0.0, 2.0], [-2.0, -0.4, 0.3, 0.9], [-0.7, 0.6]]
LAYERS = {
    "columns": ([nnx.Columns(1, 3)], (4,)),
    "the last column": ([nnx.Columns(3, 4)], (4,)),
    "scale": ([nnx.FeatureScale()], (4,)),
    "scale of members": ([nnx.Members(3), nnx.FeatureScale()], (4,)),
    "members": ([nnx.Members(3, "normal")], (4,)),
    "dense members": ([nnx.MemberDense(2)], (3, 4)),
    "categories": ([nnx.CategoryEmbedding([3, 1, 5, 2], 2)], (4,)),
    "piecewise": ([nnx.PiecewiseLinearEmbedding(EDGES, 3)], (4,)),
    "periodic": ([nnx.PeriodicEmbedding(5, 3, 0.2)], (4,)),
}


def same(path: Path, network: nnx.Network, x: np.ndarray) -> None:
    """See that the file computes the same, for several rows and for one."""
    exchange.export(network, path)
    for rows in (x, x[:1]):
        y = run(path, rows)
        assert y.dtype == network.dtype
        np.testing.assert_allclose(y, network.predict(rows), **CLOSE)


def test_every_layer_that_is_written_is_tried():
    assert {type(layer) for layers, _ in LAYERS.values() for layer in layers} == set(TABLES)


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_computed_alike_by_onnx_runtime(tmp_path: Path, rng, dtype, name: str):
    layers, shape = LAYERS[name]
    made = [type(layer)(**layer.config()) for layer in layers]
    network = randomized(nnx.Network(made, dtype=dtype).build(shape), rng)
    x = (3.0 * rng.standard_normal((ROWS, *shape))).astype(dtype)  # also outside of edges and categories
    same(tmp_path / "model.onnx", network, x)
    if name == "scale":
        (back,) = exchange.load(tmp_path / "model.onnx").layers
        assert isinstance(back, nnx.Rescale)
        np.testing.assert_array_equal(back.scale, network.weights()["featurescale_1.s"])
    else:
        with pytest.raises(nnx.FileFormatError, match=rf"node '{network[0].name}"):
            exchange.load(tmp_path / "model.onnx")


def test_what_is_no_category_counts_as_0(tmp_path: Path, rng):
    network = randomized(nnx.Network([nnx.CategoryEmbedding([3, 4], 2)]).build(2), rng)
    odd = [-1.0, -0.5, -0.0, 0.5, 1.5, 2.4, 2.5, 3.0, 3.5, 1e30, np.inf, -np.inf, np.nan]
    x = np.array([[one, one] for one in odd], np.float32)
    exchange.export(network, tmp_path / "model.onnx")
    y = run(tmp_path / "model.onnx", x)
    np.testing.assert_array_equal(y, network[0].forward(x))
    np.testing.assert_array_equal(y[-1], y[2])


def test_branches_of_columns_in_a_network(tmp_path: Path, rng):
    branches = [
        [nnx.Columns(0, 2), nnx.FeatureScale(), nnx.PeriodicEmbedding(4, 3), nnx.ReLU()],
        [nnx.Columns(2, 4), nnx.CategoryEmbedding([5, 7], 3)],
    ]
    layers = [nnx.Concatenate(branches), nnx.Members(3), nnx.Dense(8), nnx.LayerNorm(), nnx.ReLU(),
              nnx.Dropout(0.1), nnx.MemberDense(3), nnx.Softmax()]  # fmt: skip
    network = randomized(nnx.Network(layers, seed=0).build(4), rng)
    x = np.hstack([rng.standard_normal((ROWS, 2)), rng.integers(0, 5, (ROWS, 2))]).astype(np.float32)
    same(tmp_path / "model.onnx", network, x)


@pytest.mark.parametrize("kind", ["piecewise_linear", "periodic", "none"])
@pytest.mark.parametrize("estimator", [TabularClassifier, TabularRegressor])
def test_the_network_of_a_tabular_estimator(tmp_path: Path, estimator, kind: str):
    train, new = table(120), table(50, seed=1)
    y = classes_for(train) if estimator is TabularClassifier else numbers_for(train)
    model = estimator(16, members=2, epochs=3, numeric_embedding=kind, random_state=0).fit(train, y)
    exchange.export(model.network_, tmp_path / "model.onnx")
    outputs = run(tmp_path / "model.onnx", model.encoder_.transform(new))
    mean = outputs.mean(axis=1, dtype=np.float64)
    if estimator is TabularClassifier:
        np.testing.assert_allclose(mean, model.predict_proba(new), rtol=1e-5, atol=1e-5)
    else:
        found = (mean * model.scale_ + model.center_).ravel()
        np.testing.assert_allclose(found, model.predict(new), rtol=1e-5, atol=1e-4)
