"""Networks: building, passes, modes, slices."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from support.small_networks import (
    OPTIMIZERS,
    RNG,
    X,
    Y,
    backward,
    every_layer,
    forward,
    host,
    same_bytes,
    small,
    train,
)

import nnx

pytestmark = pytest.mark.usefixtures("device")

# ------------------------------------------------------------------- building


def test_widths_are_inferred_from_the_layer_before():
    network = nnx.Network([nnx.Dense(3, 5), nnx.BatchNorm(), nnx.Dense(4), nnx.ReLU(), nnx.Dense(2)])
    assert [layer.inputs for layer in network.layers] == [3, 5, 5, 4, 4]
    assert [layer.outputs for layer in network.layers] == [5, 5, 4, 4, 2]
    assert network[2].W.shape == (5, 4)
    assert network[2].b.shape == (4,)
    assert (network.inputs, network.outputs, len(network)) == (3, 2, 5)


@pytest.mark.parametrize("first_use", ["fit", "predict", "forward", "build"])
def test_the_first_width_comes_from_the_first_data(first_use):
    network = nnx.Network([nnx.Dense(4), nnx.Tanh(), nnx.Dense(2)], seed=0)
    assert network.inputs is None
    assert "?" in network.summary()
    {
        "fit": lambda: train(network),
        "predict": lambda: network.predict(X),
        "forward": lambda: forward(network, X),
        "build": lambda: network.build(3),
    }[first_use]()
    assert network.inputs == 3
    if first_use != "fit":
        stated = nnx.Network([nnx.Dense(3, 4), nnx.Tanh(), nnx.Dense(2)], seed=0)
        same_bytes(network.weights(), stated.weights())


def test_build_again_with_the_same_width_keeps_the_weights():
    network = small()
    before = network.weights()
    assert network.build(3) is network
    same_bytes(before, network.weights())


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh", "softmax", "gelu", "silu", "softplus", "elu"])
def test_the_activation_shorthand_is_the_two_layers(name):
    short = nnx.Network([nnx.Dense(3, 4, activation=name), nnx.Dense(2)], seed=3)
    kinds = {type(layer).__name__.lower() for layer in short.layers}
    assert len(short) == 3
    assert name in kinds
    long = nnx.Network([nnx.Dense(3, 4), type(short[1])(), nnx.Dense(2)], seed=3)
    assert short.predict(X).tobytes() == long.predict(X).tobytes()
    train(short), train(long)
    same_bytes(short.weights(), long.weights())


def test_layers_and_parameters_are_named_by_kind_and_order():
    network = every_layer()
    assert [layer.name for layer in network.layers] == [
        "dense_1", "batchnorm_1", "gelu_1", "dropout_1", "dense_2", "layernorm_1", "leakyrelu_1", "dense_3",
        "softmax_1",
    ]  # fmt: skip
    assert [name for name, _, _ in network.parameters()] == [
        "dense_1.W", "dense_1.b", "batchnorm_1.gamma", "batchnorm_1.beta", "dense_2.W", "dense_2.b",
        "layernorm_1.gamma", "layernorm_1.beta", "dense_3.W", "dense_3.b",
    ]  # fmt: skip


def test_summary_tells_widths_counts_and_what_is_frozen(device):
    network = small()
    network[2].trainable = False
    lines = network.summary().splitlines()
    cells = {line.split()[0]: line.split()[1:] for line in lines}
    assert cells["dense_1"] == ["5", "20"]
    assert cells["dense_2"] == ["4", "24", "frozen"]
    assert f"{20 + 24 + 10} parameters, float32, {device}" in lines[-1]
    assert network.parameter_count() == 54


# --------------------------------------------------------------------- passes


def test_forward_and_backward_are_the_formulas():
    network = nnx.Network([nnx.Dense(3, 4), nnx.Sigmoid(), nnx.Dense(2)], seed=0, dtype="float64")
    x, dy = X.astype(np.float64), Y.astype(np.float64)
    W, b, V, c = (host(value) for _, value, _ in network.parameters())
    h = 1.0 / (1.0 + np.exp(-(x @ W + b)))
    np.testing.assert_allclose(forward(network, x, training=True), h @ V + c, rtol=1e-13)
    dx = backward(network, dy, input_gradient=True)
    dW, db, dV, dc = (host(gradient) for _, _, gradient in network.parameters())
    np.testing.assert_allclose(dV, h.T @ dy, rtol=1e-12)
    np.testing.assert_allclose(dc, dy.sum(axis=0), rtol=1e-12)
    dz = (dy @ V.T) * h * (1.0 - h)
    np.testing.assert_allclose(dW, x.T @ dz, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(db, dz.sum(axis=0), rtol=1e-12)
    np.testing.assert_allclose(dx, dz @ W.T, rtol=1e-12, atol=1e-14)


def test_backward_overwrites_gradients_and_leaves_dy_alone():
    network = small()
    forward(network, X, training=True)
    dy = network.asarray(Y.copy())
    assert network.backward(dy) is None
    once = [gradient.copy() for _, _, gradient in network.parameters()]
    network.backward(dy)
    assert dy.tobytes() == Y.tobytes()
    for (name, _, gradient), before in zip(network.parameters(), once, strict=True):
        assert gradient.tobytes() == before.tobytes(), name


@pytest.mark.parametrize("final", [nnx.Sigmoid, nnx.Softmax, nnx.Identity])
def test_dy_is_left_alone_where_the_last_activation_is_fused(final):
    network = nnx.Network([nnx.Dense(3, 2), final()], seed=0)
    forward(network, X, training=True)
    dy = network.asarray(Y.copy())
    network.backward(dy, input_gradient=True)
    assert dy.tobytes() == Y.tobytes()


@pytest.mark.parametrize("order", ["columns", "strided", "reversed", "transposed"])
def test_inputs_of_any_layout_give_the_same_numbers(order):
    wide = np.repeat(np.repeat(X, 2, axis=0), 2, axis=1)
    x = {
        "columns": np.asfortranarray(X), "strided": wide[::2, ::2], "reversed": X[::-1].copy()[::-1],
        "transposed": X.T.copy().T,
    }[order]  # fmt: skip
    a, b = small(), small()
    np.testing.assert_allclose(forward(a, x, training=True), forward(b, X, training=True), rtol=1e-6)
    backward(a, Y), backward(b, Y)
    for (name, _, left), (_, _, right) in zip(a.parameters(), b.parameters(), strict=True):
        np.testing.assert_allclose(host(left), host(right), rtol=1e-5, atol=1e-6, err_msg=name)
    assert a.predict(x).tobytes() == b.predict(X).tobytes()
    train(a, x=x), train(b)
    same_bytes(a.weights(), b.weights())


def test_a_ragged_batch_between_full_ones_disturbs_nothing():
    """Whatever sizes went before, each pass is that of a network which never saw another batch."""
    network = every_layer()
    for step, rows in enumerate((12, 5, 1, 12, 7, 4)):
        alone = every_layer()
        network.arena.step = alone.arena.step = step  # with the masks of this step in both
        alone.set_weights(network.weights())  # running statistics too: the batches before have moved them
        dy = RNG.normal(size=(rows, 6)).astype(np.float32)
        passes = []
        for each in (network, alone):
            y = forward(each, X[:rows], training=True)
            dx = backward(each, dy, input_gradient=True)
            gradients = {name: host(gradient).copy() for name, _, gradient in each.parameters()}
            passes.append({"y": y, "dx": dx} | gradients | {"inference": forward(each, X[:rows])})
        assert any(passes[0]["dense_1.W"].ravel()) == (rows > 1)  # a batch of one is normalized to zero
        for name, value in passes[0].items():
            np.testing.assert_array_equal(value, passes[1][name], err_msg=f"{name} of {rows} rows")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_everything_stays_in_the_dtype_of_the_network(dtype):
    network = every_layer(dtype=dtype)
    x, y = X.astype("float64"), np.abs(RNG.normal(size=(12, 6)))
    optimizer = nnx.Adam(1e-3)
    train(network, x=x, y=y, optimizer=optimizer)
    assert network.predict(x).dtype == dtype
    for name, value, gradient in network.parameters():
        assert (value.dtype, gradient.dtype) == (dtype, dtype), name
    assert {slot.dtype.name for slot in network.arena.states[optimizer].slots.values()} == {dtype}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("final", "loss"),
    [
        (nnx.Sigmoid, nnx.BinaryCrossEntropy),
        (nnx.Softmax, nnx.CategoricalCrossEntropy),
        (nnx.Identity, nnx.MeanSquaredError),
    ],
)
def test_fused_and_plain_agree(final, loss, dtype):
    y = np.eye(2)[RNG.integers(0, 2, 12)]
    results = []
    for fuse in (True, False):
        layers = [nnx.Dense(3, 5), nnx.Tanh(), nnx.Dense(4), nnx.ELU(), nnx.Dense(4), nnx.Softplus(),
                  nnx.Dense(2), final()]  # fmt: skip
        network = nnx.Network(layers, seed=0, dtype=dtype, fuse=fuse)
        history = train(network, nnx.SGD(0.1), y=y, loss=loss(), epochs=5)
        results.append((network.predict(X), history["loss"]))
    tolerance = 1e-9 if dtype == "float64" else 2e-5
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=tolerance)


def test_dropout_drops_in_training_only():
    network = nnx.Network([nnx.Dropout(0.5), nnx.Dense(200, 1, initializer="zeros")], seed=0)
    network.build(200)
    x = np.ones((50, 200), np.float32)
    layer = network[0:1]
    assert (forward(layer, x) == 1.0).all()
    y = forward(layer, x, training=True)
    assert set(np.unique(y)) == {0.0, 2.0}
    assert abs(float((y == 0).mean()) - 0.5) < 0.02
    dx = backward(layer, np.ones_like(x), input_gradient=True)
    np.testing.assert_array_equal(dx, y)
    assert forward(layer, x, training=True).tobytes() != y.tobytes()  # each pass has a mask for itself
    network.arena.step += 1
    assert forward(layer, x, training=True).tobytes() != y.tobytes()


def test_dropout_masks_do_not_depend_on_the_batch_that_went_before():
    a, b = every_layer(), every_layer()
    forward(a, X[:2], training=True), forward(b, X[:7], training=True)
    a.set_weights(b.weights())  # running statistics too
    assert forward(a, X, training=True).tobytes() == forward(b, X, training=True).tobytes()


def test_batch_norm_follows_the_batch_in_training_and_the_past_in_inference():
    network = nnx.Network([nnx.BatchNorm(momentum=0.9, epsilon=1e-5)], seed=0, dtype="float64")
    x = X.astype(np.float64) * 3.0 + 1.0
    np.testing.assert_allclose(network.predict(x), x / np.sqrt(1.0 + 1e-5))
    y = forward(network, x, training=True)
    np.testing.assert_allclose(y.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(y.std(axis=0), 1.0, rtol=1e-4)
    np.testing.assert_allclose(host(network[0].running_mean), 0.1 * x.mean(axis=0))
    np.testing.assert_allclose(host(network[0].running_variance), 0.9 + 0.1 * x.var(axis=0))
    before = network.weights()
    network.predict(x)
    same_bytes(before, network.weights())


# --------------------------------------------------------------------- slices


def test_a_slice_shares_its_parameters():
    network = small()
    part = network[:2]
    np.testing.assert_allclose(
        part.predict(X), np.tanh(X @ host(network[0].W) + host(network[0].b)), rtol=1e-5
    )
    network[0].W[...] = 0.0
    assert not part.predict(X).any()
    next(iter(part.parameters()))[1][...] = 1.0
    assert (network[0].W == 1.0).all()
    assert part.span == (0, 2)
    assert network[1:4][1:].span == (2, 4)


def test_a_slice_has_its_own_plans():
    network = small()
    forward(network, X, training=True)
    expected = small()
    forward(expected, X, training=True)
    backward(expected, Y)
    other = network[:2]
    forward(other, X[::-1].copy(), training=True)
    other.predict(X[:3])
    backward(network, Y)
    np.testing.assert_array_equal(host(network[0].dW), host(expected[0].dW))


def test_encoder_and_decoder_together_are_the_network():
    network = small()
    codes = network[:2].predict(X)
    np.testing.assert_array_equal(network[2:].predict(codes), network.predict(X))


@pytest.mark.parametrize("index", [slice(None, None, 2), slice(3, 1), slice(2, 2), slice(None, None, -1)])
def test_a_slice_takes_neighbouring_layers(index):
    with pytest.raises(nnx.ConfigurationError, match="one or more neighbouring layers"):
        small()[index]


def test_an_index_gives_the_layer():
    network = small()
    assert network[0] is network.layers[0]
    assert network[-1] is network.layers[-1]
    with pytest.raises(IndexError):
        network[9]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_a_slice_changes_its_layers_only(name):
    network = small()
    before = network.weights()
    train(network[2:4], OPTIMIZERS[name](), x=RNG.normal(size=(12, 5)), y=np.ones((12, 4)))
    after = network.weights()
    for key in before:
        changed = before[key].tobytes() != after[key].tobytes()
        assert changed == key.startswith("dense_2."), key


def test_gradients_left_outside_a_slice_are_no_fault_of_its_training():
    network = small()
    forward(network, X, training=True)
    backward(network, np.full((12, 2), np.nan, np.float32))
    history = train(network[3:], x=RNG.normal(size=(12, 4)))
    assert np.isfinite(history["loss"]).all()


@pytest.mark.parametrize("part", [slice(0, 2), slice(2, 5)])
def test_a_slice_is_saved_copied_and_pickled_as_a_separate_network(part, tmp_path):
    network = small()
    piece = network[part]
    x = X if part.start == 0 else RNG.normal(size=(12, 5)).astype(np.float32)
    expected = piece.predict(x)
    piece.save(tmp_path / "part.safetensors")
    for twin in (
        nnx.load(tmp_path / "part.safetensors"), piece.copy(), copy.deepcopy(piece),
        pickle.loads(pickle.dumps(piece)),
    ):  # fmt: skip
        assert twin.predict(x).tobytes() == expected.tobytes()
        assert len(twin) == len(piece)
        train(twin, x=x, y=np.zeros_like(expected))
    assert piece.predict(x).tobytes() == expected.tobytes()


def test_a_slice_cannot_be_moved():
    with pytest.raises(nnx.ConfigurationError, match="on the whole network"):
        small()[:2].to("cpu")
