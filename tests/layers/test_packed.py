"""Packed ensembles: members that share their dense layers, and a trained scale of features."""

from __future__ import annotations

import numpy as np
import pytest

import nnx


def ensemble(members=3, device="cpu", dtype="float64", start="normal"):
    layers = [
        nnx.FeatureScale(), nnx.Members(members, start), nnx.Dense(6), nnx.Tanh(), nnx.MemberDense(2),
    ]  # fmt: skip
    return nnx.Network(layers, device=device, dtype=dtype, seed=3).build(4)


def member(network, m):
    """A network of dense layers that is one member: its scales are part of the first weights."""
    scale, adapter, dense, _, last = network.layers
    alone = nnx.Network([nnx.Dense(6), nnx.Tanh(), nnx.Dense(2)], dtype="float64", seed=0).build(4)
    alone.layers[0].W[...] = (scale.s * adapter.R[m])[:, None] * dense.W
    alone.layers[0].b[...] = dense.b
    alone.layers[2].W[...], alone.layers[2].b[...] = last.W[m], last.b[m]
    return alone


def test_each_member_is_a_network_with_its_scale_and_last_layer(rng):
    network, x = ensemble(), rng.standard_normal((7, 4))
    network.layers[0].s[...] = rng.uniform(0.5, 2.0, 4)
    together = network.predict(x)
    assert together.shape == (7, 3, 2)
    for m in range(3):
        np.testing.assert_allclose(together[:, m], member(network, m).predict(x), rtol=1e-12, atol=1e-13)


def test_shared_weights_get_the_sum_of_the_members_gradients(rng):
    """The same as three networks that are trained apart, with the chain rule for the scales."""
    network, x = ensemble(), rng.standard_normal((7, 4))
    scale, adapter, dense, _, last = network.layers
    scale.s[...] = rng.uniform(0.5, 2.0, 4)
    dy = rng.standard_normal((7, 3, 2))
    network.forward(network.asarray(x), training=True)
    network.backward(network.asarray(dy))
    shared = np.zeros_like(dense.W)
    for m in range(3):
        alone = member(network, m)
        alone.forward(alone.asarray(x), training=True)
        alone.backward(alone.asarray(np.ascontiguousarray(dy[:, m])))
        first, _, second = alone.layers
        shared += (scale.s * adapter.R[m])[:, None] * first.dW
        dR = scale.s * (dense.W * first.dW).sum(axis=1)
        np.testing.assert_allclose(adapter.dR[m], dR, rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(last.dW[m], second.dW, rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(last.db[m], second.db, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(dense.dW, shared, rtol=1e-11, atol=1e-12)


def test_devices_compute_the_same(rng):
    x, dy = rng.standard_normal((50, 4)), rng.standard_normal((50, 3, 2))
    found = []
    for device in ("numpy", "cpu"):
        network = ensemble(device=device, dtype="float32")
        y = network.forward(network.asarray(x), training=True).copy()
        dx = network.backward(network.asarray(dy), input_gradient=True).copy()
        found.append([y, dx, *(gradient.copy() for _, _, gradient in network.parameters())])
    for one, other in zip(*found, strict=True):  # sums over 150 rows of numbers of about 1
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=2e-4)


@pytest.mark.parametrize("start", ["signs", "normal", "ones"])
def test_how_members_start(start):
    R = nnx.Members(500, start).build(40).R  # 20,000 numbers: the mean has a standard error of 0.007
    expected = {"signs": (0.0, 1.0), "normal": (0.0, 1.0), "ones": (1.0, 0.0)}[start]
    assert (float(R.mean()), float(R.std())) == pytest.approx(expected, abs=0.05)
    if start == "signs":
        assert set(np.unique(R)) == {-1.0, 1.0}


def test_feature_scale_starts_at_one_and_learns_which_features_matter(rng):
    x = rng.standard_normal((200, 2)).astype(np.float32)
    network = nnx.Network([nnx.FeatureScale(), nnx.Dense(1)], seed=0).build(2)
    assert network.layers[0].s.tolist() == [1.0, 1.0]
    network.fit(x, 3 * x[:, :1], loss="mse", optimizer=nnx.AdamW(0.02, weight_decay=0.5), epochs=30)
    used, unused = np.abs(network.layers[0].s)
    assert used > 2 * unused


def test_wrong_shapes_and_starts_are_refused():
    with pytest.raises(nnx.ConfigurationError, match="start must be one of signs"):
        nnx.Members(2, "random")
    with pytest.raises(nnx.ConfigurationError, match="Members takes rows of features"):
        nnx.Network([nnx.Members(2)]).build((3, 4))
    with pytest.raises(nnx.ConfigurationError, match=r"put nnx\.Members"):
        nnx.Network([nnx.MemberDense(2)]).build(3)
