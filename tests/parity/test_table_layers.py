"""The layers for tables: TensorFlow computes the same outputs and gradients from their formulas."""

from __future__ import annotations

import numpy as np
import pytest

import nnx

pytestmark = pytest.mark.keras

EDGES = [[-1.0, 0.0, 0.4, 2.0], [-0.5, 0.5], [-2.0, -1.0, 1.0]]
NUMBERS, CARDINALITIES, UNITS, MEMBERS = 3, [3, 4], 2, 3


def network(embedding):
    categories = [nnx.Columns(NUMBERS, NUMBERS + 2), nnx.CategoryEmbedding(CARDINALITIES, UNITS)]
    layers = [
        nnx.Concatenate([[nnx.Columns(0, NUMBERS), embedding], categories]),
        nnx.FeatureScale(), nnx.Members(MEMBERS, "normal"), nnx.Dense(5), nnx.Tanh(), nnx.MemberDense(2),
    ]  # fmt: skip
    made = nnx.Network(layers, dtype="float64", seed=0).build(NUMBERS + 2)
    for _, value, _ in made.parameters():
        value[...] += 0.3 * np.random.default_rng(value.size).standard_normal(value.shape)
    return made


def encoded(tf, x, p):
    """The embedding of the numbers, of shape (rows, features, units), as its paper writes it."""
    if "c" in p:
        v = 2 * np.pi * x[:, :, None] * p["c"]
        return tf.einsum("rft,ftu->rfu", tf.concat([tf.cos(v), tf.sin(v)], axis=2), p["W"]) + p["b"]
    columns = []
    for j, edges in enumerate(EDGES):
        parts = []
        for t in range(len(edges) - 1):
            e = (x[:, j] - edges[t]) / (edges[t + 1] - edges[t])
            e = tf.maximum(e, 0.0) if t > 0 else e
            parts.append(tf.minimum(e, 1.0) if t < len(edges) - 2 else e)
        linear = x[:, j, None] * p["v"][j] + p["b"][j]
        columns.append(tf.stack(parts, axis=1) @ p["W"][j, : len(parts)] + linear)
    return tf.stack(columns, axis=1)


@pytest.mark.parametrize(
    "make",
    [lambda: nnx.PiecewiseLinearEmbedding(EDGES, UNITS), lambda: nnx.PeriodicEmbedding(4, UNITS, 0.3)],
    ids=["piecewise-linear", "periodic"],
)
def test_outputs_and_gradients(rng, make):
    tf = pytest.importorskip("tensorflow", reason="needs TensorFlow: pip install 'nnx-arrays[compare]'")
    ours = network(make())
    codes = np.column_stack([rng.integers(0, n, 40) for n in CARDINALITIES])
    x = np.column_stack([rng.standard_normal((40, NUMBERS)), codes])
    dy = rng.standard_normal((40, MEMBERS, 2))
    y = ours.forward(ours.asarray(x), training=True)
    dx = ours.backward(ours.asarray(dy), input_gradient=True)

    named = {name: tf.Variable(value.copy()) for name, value, _ in ours.parameters()}
    short = {
        name.rpartition(".")[2]: named[name]
        for name in named
        if "embedding" in name and "category" not in name
    }
    by = {name: next(v for key, v in named.items() if key.endswith(name)) for name in
          ("categoryembedding_1.W", "featurescale_1.s", "members_1.R", "dense_1.W", "dense_1.b",
           "memberdense_1.W", "memberdense_1.b")}  # fmt: skip
    numbers = tf.Variable(x[:, :NUMBERS])
    with tf.GradientTape() as tape:
        vectors = tf.gather(by["categoryembedding_1.W"], codes + np.array([0, CARDINALITIES[0]]))
        first = tf.concat([encoded(tf, numbers, short), vectors], axis=1)
        row = tf.reshape(first, (40, -1)) * by["featurescale_1.s"]
        hidden = tf.tanh(row[:, None, :] * by["members_1.R"] @ by["dense_1.W"] + by["dense_1.b"])
        theirs = tf.einsum("rmi,miu->rmu", hidden, by["memberdense_1.W"]) + by["memberdense_1.b"]
        total = tf.reduce_sum(theirs * dy)
    np.testing.assert_allclose(y, theirs.numpy(), rtol=1e-12, atol=1e-12)
    gradients = tape.gradient(total, {**named, "x": numbers})
    np.testing.assert_allclose(dx[:, :NUMBERS], gradients.pop("x").numpy(), rtol=1e-11, atol=1e-12)
    assert not dx[:, NUMBERS:].any()
    for name, _, gradient in ours.parameters():
        found = tf.convert_to_tensor(gradients[name]).numpy()
        np.testing.assert_allclose(gradient, found, rtol=1e-11, atol=1e-12, err_msg=name)
