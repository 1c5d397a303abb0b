"""What a network promises besides its numbers: building, sharing, copying, freezing, several threads."""

from __future__ import annotations

import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import nnx

RNG = np.random.default_rng(7)
X = RNG.normal(size=(12, 3)).astype(np.float32)
Y = RNG.normal(size=(12, 2)).astype(np.float32)

OPTIMIZERS = {
    "sgd": lambda: nnx.SGD(0.1),
    "momentum": lambda: nnx.SGD(0.1, momentum=0.9),
    "nesterov": lambda: nnx.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda: nnx.Adam(0.01, l2=0.1, clip_norm=1.0, clip_value=0.5),
    "adamw": lambda: nnx.AdamW(0.01),
    "rmsprop": lambda: nnx.RMSprop(0.01, momentum=0.9),
    "adagrad": lambda: nnx.Adagrad(0.1),
}


def small(**options):
    layers = [nnx.Dense(3, 5), nnx.Tanh(), nnx.Dense(4), nnx.ReLU(), nnx.Dense(2)]
    return nnx.Network(layers, device="cpu", **{"seed": 0, **options})


def every_layer(**options):
    return nnx.Network(
        [
            nnx.Dense(3, 8), nnx.BatchNorm(), nnx.GELU(), nnx.Dropout(0.3), nnx.Dense(8), nnx.LayerNorm(),
            nnx.LeakyReLU(0.2), nnx.Dense(6), nnx.Softmax(),
        ],
        device="cpu", **{"seed": 0, **options},
    )  # fmt: skip


def train(network, optimizer=None, x=X, y=Y, **options):
    defaults = {"loss": nnx.MeanSquaredError(), "epochs": 3, "batch_size": 5}
    return network.fit(x, y, optimizer=optimizer or nnx.Adam(0.01), **(defaults | options))


def same_bytes(a, b):
    assert list(a) == list(b)
    for name in a:
        assert a[name].dtype == b[name].dtype
        assert a[name].tobytes() == b[name].tobytes(), name


# ------------------------------------------------------------------- building


def test_widths_are_inferred_from_the_layer_before():
    network = nnx.Network([nnx.Dense(3, 5), nnx.BatchNorm(), nnx.Dense(4), nnx.ReLU(), nnx.Dense(2)])
    assert [layer.inputs for layer in network.layers] == [3, 5, 5, 4, 4]
    assert [layer.outputs for layer in network.layers] == [5, 5, 4, 4, 2]
    assert network[2].W.shape == (5, 4)
    assert network[2].b.shape == (4,)
    assert (network.inputs, network.outputs, len(network)) == (3, 2, 5)


@pytest.mark.parametrize("first_use", ["fit", "predict", "forward", "build"])
def test_the_first_width_is_taken_from_the_first_data(first_use):
    network = nnx.Network([nnx.Dense(4), nnx.Tanh(), nnx.Dense(2)], seed=0, device="cpu")
    assert network.inputs is None
    assert "?" in network.summary()
    {
        "fit": lambda: train(network),
        "predict": lambda: network.predict(X),
        "forward": lambda: network.forward(X),
        "build": lambda: network.build(3),
    }[first_use]()
    assert network.inputs == 3
    if first_use != "fit":
        stated = nnx.Network([nnx.Dense(3, 4), nnx.Tanh(), nnx.Dense(2)], seed=0, device="cpu")
        same_bytes(network.weights(), stated.weights())


def test_build_again_with_the_same_width_keeps_the_weights():
    network = small()
    before = network.weights()
    assert network.build(3) is network
    same_bytes(before, network.weights())


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh", "softmax", "gelu", "silu", "softplus", "elu"])
def test_the_activation_shorthand_is_the_two_layers(name):
    short = nnx.Network([nnx.Dense(3, 4, activation=name), nnx.Dense(2)], seed=3, device="cpu")
    kinds = {type(layer).__name__.lower() for layer in short.layers}
    assert len(short) == 3
    assert name in kinds
    long = nnx.Network([nnx.Dense(3, 4), type(short[1])(), nnx.Dense(2)], seed=3, device="cpu")
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


def test_summary_tells_widths_counts_and_what_is_frozen():
    network = small()
    network[2].trainable = False
    text = network.summary()
    lines = text.splitlines()
    assert "dense_1" in lines[2]
    assert lines[2].split()[-2:] == ["5", "20"]
    assert lines[4].split()[-3:] == ["4", "24", "frozen"]
    assert f"{20 + 24 + 10} parameters, float32, cpu" in lines[-1]
    assert network.parameter_count() == 54


# --------------------------------------------------------------------- passes


def test_forward_and_backward_are_the_formulas():
    network = nnx.Network([nnx.Dense(3, 4), nnx.Sigmoid(), nnx.Dense(2)], seed=0, dtype="float64", device="cpu")
    x, dy = X.astype(np.float64), Y.astype(np.float64)
    first, last = network[0], network[2]
    h = 1.0 / (1.0 + np.exp(-(x @ first.W + first.b)))
    np.testing.assert_allclose(network.forward(x, training=True), h @ last.W + last.b, rtol=1e-13)
    dx = network.backward(dy, input_gradient=True)
    np.testing.assert_allclose(last.dW, h.T @ dy, rtol=1e-12)
    np.testing.assert_allclose(last.db, dy.sum(axis=0), rtol=1e-12)
    dz = (dy @ last.W.T) * h * (1.0 - h)
    np.testing.assert_allclose(first.dW, x.T @ dz, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(first.db, dz.sum(axis=0), rtol=1e-12)
    np.testing.assert_allclose(dx, dz @ first.W.T, rtol=1e-12, atol=1e-14)


def test_backward_overwrites_gradients_and_leaves_dy_alone():
    network = small()
    network.forward(X, training=True)
    dy = Y.copy()
    assert network.backward(dy) is None
    once = [gradient.copy() for _, _, gradient in network.parameters()]
    network.backward(dy)
    assert dy.tobytes() == Y.tobytes()
    for (name, _, gradient), before in zip(network.parameters(), once, strict=True):
        assert gradient.tobytes() == before.tobytes(), name


@pytest.mark.parametrize("final", [nnx.Sigmoid, nnx.Softmax, nnx.Identity])
def test_dy_is_left_alone_where_the_last_activation_is_fused(final):
    network = nnx.Network([nnx.Dense(3, 2), final()], seed=0, device="cpu")
    network.forward(X, training=True)
    dy = Y.copy()
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
    np.testing.assert_allclose(a.forward(x, training=True), b.forward(X, training=True), rtol=1e-6)
    a.backward(Y), b.backward(Y)
    for (name, _, left), (_, _, right) in zip(a.parameters(), b.parameters(), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-6, err_msg=name)
    assert a.predict(x).tobytes() == b.predict(X).tobytes()
    train(a, x=x), train(b)
    same_bytes(a.weights(), b.weights())


def test_a_ragged_batch_between_full_ones_disturbs_nothing():
    network, alone = every_layer(), every_layer()
    sizes = (12, 5, 1, 12, 7)
    for rows in sizes:
        for layer in (alone, network):
            layer.forward(X[:rows], training=True)
            layer.backward(RNG.normal(size=(rows, 6)).astype(np.float32) * 0)
    np.testing.assert_array_equal(network.forward(X[:5]), alone.forward(X[:5]))
    network.forward(X[:4], training=True)
    network.backward(np.ones((4, 6), np.float32))
    fresh = every_layer()
    fresh.set_weights(network.weights())
    fresh.forward(X[:4], training=True)
    fresh.backward(np.ones((4, 6), np.float32))
    for (name, _, left), (_, _, right) in zip(network.parameters(), fresh.parameters(), strict=True):
        np.testing.assert_array_equal(left, right, err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_everything_stays_in_the_dtype_of_the_network(dtype):
    network = every_layer(dtype=dtype)
    x, y = X.astype("float64"), np.abs(RNG.normal(size=(12, 6)))
    train(network, x=x, y=y)
    assert network.predict(x).dtype == dtype
    for name, value, gradient in network.parameters():
        assert (value.dtype, gradient.dtype) == (dtype, dtype), name
    assert {slot.dtype.name for slot in network.arena.slots.values()} == {dtype}


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
        network = nnx.Network(layers, seed=0, dtype=dtype, fuse=fuse, device="cpu")
        history = train(network, nnx.SGD(0.1), y=y, loss=loss(), epochs=5)
        results.append((network.predict(X), history["loss"]))
    tolerance = 1e-9 if dtype == "float64" else 2e-5
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=tolerance)


def test_dropout_drops_in_training_only():
    network = nnx.Network([nnx.Dropout(0.5), nnx.Dense(200, 1, initializer="zeros")], seed=0, device="cpu")
    network.build(200)
    x = np.ones((50, 200), np.float32)
    layer = network[0:1]
    assert (layer.forward(x) == 1.0).all()
    y = layer.forward(x, training=True).copy()
    assert set(np.unique(y)) == {0.0, 2.0}
    assert abs(float((y == 0).mean()) - 0.5) < 0.02
    dx = layer.backward(np.ones_like(x), input_gradient=True)
    np.testing.assert_array_equal(dx, y)
    assert layer.forward(x, training=True).tobytes() == y.tobytes()  # the same step: the same mask
    network.arena.step += 1
    assert layer.forward(x, training=True).tobytes() != y.tobytes()


def test_dropout_masks_do_not_depend_on_the_batch_that_went_before():
    a, b = every_layer(), every_layer()
    a.forward(X[:2], training=True)
    assert a.forward(X, training=True).tobytes() == b.forward(X, training=True).tobytes()


def test_batch_norm_follows_the_batch_in_training_and_the_past_in_inference():
    network = nnx.Network([nnx.BatchNorm(momentum=0.9, epsilon=1e-5)], seed=0, dtype="float64", device="cpu")
    x = X.astype(np.float64) * 3.0 + 1.0
    np.testing.assert_allclose(network.predict(x), x / np.sqrt(1.0 + 1e-5))
    y = network.forward(x, training=True)
    np.testing.assert_allclose(y.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(y.std(axis=0), 1.0, rtol=1e-4)
    np.testing.assert_allclose(network[0].running_mean, 0.1 * x.mean(axis=0))
    np.testing.assert_allclose(network[0].running_variance, 0.9 + 0.1 * x.var(axis=0))
    before = network.weights()
    network.predict(x)
    same_bytes(before, network.weights())


# --------------------------------------------------------------------- slices


def test_a_slice_shares_its_parameters():
    network = small()
    part = network[:2]
    np.testing.assert_allclose(part.predict(X), np.tanh(X @ network[0].W + network[0].b), rtol=1e-5)
    network[0].W[...] = 0.0
    assert not part.predict(X).any()
    next(iter(part.parameters()))[1][...] = 1.0
    assert (network[0].W == 1.0).all()
    assert part.span == (0, 2)
    assert network[1:4][1:].span == (2, 4)


def test_a_slice_has_plans_of_its_own():
    network = small()
    network.forward(X, training=True)
    expected = small()
    expected.forward(X, training=True)
    expected.backward(Y)
    other = network[:2]
    other.forward(X[::-1].copy(), training=True)
    other.predict(X[:3])
    network.backward(Y)
    np.testing.assert_array_equal(network[0].dW, expected[0].dW)


def test_encoder_and_decoder_together_are_the_network():
    network = small()
    codes = network[:2].predict(X)
    np.testing.assert_array_equal(network[2:].predict(codes), network.predict(X))


@pytest.mark.parametrize("index", [slice(None, None, 2), slice(3, 1), slice(2, 2), slice(None, None, -1)])
def test_a_slice_covers_a_contiguous_range(index):
    with pytest.raises(nnx.ConfigurationError, match="contiguous"):
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
    network.forward(X, training=True)
    network.backward(np.full((12, 2), np.nan, np.float32))
    history = train(network[3:], x=RNG.normal(size=(12, 4)))
    assert np.isfinite(history["loss"]).all()


@pytest.mark.parametrize("part", [slice(0, 2), slice(2, 5)])
def test_a_slice_is_saved_copied_and_pickled_as_a_network_of_its_own(part, tmp_path):
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
    with pytest.raises(nnx.ConfigurationError, match="network it belongs to"):
        small()[:2].to("cpu")


# ----------------------------------------------------------------- parameters


def test_parameters_are_views_that_write_through():
    network = small()
    for name, value, gradient in network.parameters():
        value[...] = 0.5
        gradient[...] = 0.25
        assert np.shares_memory(value, network.arena.values), name
        assert np.shares_memory(gradient, network.arena.gradients), name
    assert (network[0].W == 0.5).all()
    assert (network[4].b == 0.5).all()
    nnx.SGD(1.0).step(network)
    assert all((value == 0.25).all() for _, value, _ in network.parameters())


def test_parameters_start_on_cache_lines_and_padding_stays_zero():
    network = small()
    base = network.arena.values.ctypes.data
    used = np.zeros(network.arena.values.size, bool)
    for layer in network.layers:
        for name in layer.parameter_shapes():
            view = getattr(layer, name)
            start = (view.ctypes.data - base) // view.itemsize
            assert start * view.itemsize % 64 == 0
            used[start : start + view.size] = True
    train(network, nnx.AdamW(0.1, l2=0.1))
    assert not network.arena.values[~used].any()


def test_weights_are_copies_and_set_weights_puts_them_back():
    network = every_layer()
    before = network.weights()
    assert "batchnorm_1.running_variance" in before
    train(network, y=np.ones((12, 6)))
    assert any(before[name].tobytes() != value.tobytes() for name, value in network.weights().items())
    network.set_weights(before)
    same_bytes(before, network.weights())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda w: w.pop("dense_1.W"),
        lambda w: w.update(extra=np.zeros(3)),
        lambda w: w.update({"dense_3.b": np.zeros(3)}),
    ],
)
def test_weights_that_do_not_fit_change_nothing(spoil):
    network = small()
    before = network.weights()
    wrong = {name: value + 1.0 for name, value in before.items()}
    spoil(wrong)
    with pytest.raises(nnx.DataError, match=r"dense_1\.W|extra|dense_3\.b"):
        network.set_weights(wrong)
    same_bytes(before, network.weights())


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("frozen", [(0,), (2,), (4,), (0, 2), (0, 4), (0, 2, 4)])
def test_frozen_layers_keep_their_values(name, frozen):
    network = small()
    for index in frozen:
        network[index].trainable = False
    before = network.weights()
    train(network, OPTIMIZERS[name]())
    after = network.weights()
    names = {network[index].name for index in frozen}
    for key in before:
        changed = before[key].tobytes() != after[key].tobytes()
        assert changed == (key.split(".")[0] not in names), key


def test_freezing_takes_effect_between_steps_and_can_be_undone():
    network, optimizer = small(), nnx.Adam(0.01)
    train(network, optimizer)
    network[0].trainable = False
    before = network[0].W.copy()
    train(network, optimizer)
    assert network[0].W.tobytes() == before.tobytes()
    network[0].trainable = True
    train(network, optimizer)
    assert network[0].W.tobytes() != before.tobytes()


def test_trainable_neighbours_are_updated_in_one_call():
    network = small()
    arena = network.arena

    def ranges():
        return list(arena.ranges(0, len(network)))

    assert ranges() == [slice(0, arena.values.size)]
    network[2].trainable = False
    assert len(ranges()) == 2
    network[0].trainable = False
    assert len(ranges()) == 1
    network[4].trainable = False
    assert ranges() == []


# --------------------------------------------------------------------- copies


@pytest.mark.parametrize(
    "duplicate", [lambda n: n.copy(), copy.deepcopy, copy.copy, lambda n: pickle.loads(pickle.dumps(n))]
)
def test_copies_are_equal_and_independent(duplicate):
    network = every_layer()
    network[4].trainable = False
    network.code = 3
    train(network, y=np.ones((12, 6)))
    twin = duplicate(network)
    same_bytes(network.weights(), twin.weights())
    assert twin.code == 3
    assert [layer.trainable for layer in twin.layers] == [layer.trainable for layer in network.layers]
    assert twin.seed == network.seed
    assert twin.predict(X).tobytes() == network.predict(X).tobytes()
    before = network.weights()
    train(twin, y=np.zeros((12, 6)))
    same_bytes(before, network.weights())


def test_a_network_without_weights_can_be_copied():
    network = nnx.Network([nnx.Dense(4), nnx.Dense(2)], seed=5, device="cpu")
    for twin in (network.copy(), pickle.loads(pickle.dumps(network))):
        assert twin.inputs is None
        assert twin.predict(X).tobytes() == network.copy().predict(X).tobytes()


def test_to_works_in_place_and_keeps_optimizer_state():
    network, still = small(), small()
    optimizer, other = nnx.Adam(0.01), nnx.Adam(0.01)
    train(network, optimizer), train(still, other)
    assert network.to("numpy") is network
    train(network, optimizer), train(still, other)
    same_bytes(network.weights(), still.weights())


def test_moving_to_another_backend_forgets_nothing():
    network, still = every_layer(), every_layer()
    optimizer, other = nnx.Adam(0.01), nnx.Adam(0.01)
    y = np.ones((12, 6))
    train(network, optimizer, y=y), train(still, other, y=y)
    moved = type(network.backend)()
    network.to(moved)
    assert network.backend is moved
    assert network[0].W.base is not None
    assert np.shares_memory(network[0].W, network.arena.values)
    train(network, optimizer, y=y), train(still, other, y=y)
    same_bytes(network.weights(), still.weights())


# ---------------------------------------------------------- layers used alone


def test_a_layer_works_alone():
    layer = nnx.Dense(3, 4, seed=0)
    y = layer.forward(X)
    np.testing.assert_allclose(y, X @ layer.W + layer.b, rtol=1e-5, atol=1e-6)
    dx = layer.backward(np.ones_like(y))
    np.testing.assert_allclose(dx, np.ones_like(y) @ layer.W.T, rtol=1e-5)
    np.testing.assert_allclose(layer.db, 12.0)
    assert layer.W.tobytes() == nnx.Dense(3, 4, seed=0).build().W.tobytes()


def test_a_layer_alone_applies_its_activation():
    layer = nnx.Dense(3, 4, activation="relu", seed=0)
    y = layer.forward(X)
    np.testing.assert_allclose(y, np.maximum(X @ layer.W + layer.b, 0.0), rtol=1e-5, atol=1e-6)
    assert (y == 0).any()


def test_a_layer_alone_infers_its_width():
    layer = nnx.Dense(4, seed=0)
    assert layer.forward(X).shape == (12, 4)
    assert layer.W.shape == (3, 4)
    with pytest.raises(nnx.ConfigurationError, match="number of inputs is not known"):
        nnx.Dense(4).build()


def test_a_layer_keeps_its_values_when_given_to_a_network():
    layer = nnx.Dense(3, 4, seed=9, activation="relu")
    alone = layer.forward(X).copy()
    W = layer.W.copy()
    network = nnx.Network([layer, nnx.Dense(2)], seed=0, device="cpu")
    np.testing.assert_array_equal(layer.W, W)
    assert np.shares_memory(layer.W, network.arena.values)
    np.testing.assert_array_equal(network[:2].predict(X), alone)


def test_a_layer_belongs_to_one_network():
    layer = nnx.Dense(3, 4)
    network = nnx.Network([layer], device="cpu")
    with pytest.raises(nnx.ConfigurationError, match="already belongs to a network"):
        nnx.Network([layer])
    with pytest.raises(nnx.ConfigurationError, match="already belongs to a network"):
        nnx.Network(list(network.layers))
    other = nnx.ReLU()
    with pytest.raises(nnx.ConfigurationError, match="already belongs"):
        nnx.Network([nnx.Dense(3, 3), other, nnx.Dense(3), other])
    with pytest.raises(nnx.ConfigurationError, match="belongs to a network"):
        layer.build(3)


def test_layers_of_a_network_that_could_not_be_built_are_free():
    layer = nnx.Dense(3, 4, activation="relu")
    with pytest.raises(nnx.ConfigurationError, match="expects 5 inputs"):
        nnx.Network([layer, nnx.Dense(5, 2)])
    assert [type(part).__name__ for part in nnx.Network([layer, nnx.Dense(4, 2)]).layers] == [
        "Dense", "ReLU", "Dense",
    ]  # fmt: skip


# ------------------------------------------------- prediction beside training


def test_predict_during_training_leaves_training_undisturbed():
    class Interrupt(nnx.Callback):
        def on_step_end(self, run):
            run.network.predict(X[:3])
            run.network[:2].predict(X)
            run.network.forward(X[:7])

    a, b = every_layer(), every_layer()
    y = np.ones((12, 6), np.float32)
    ha, hb = train(a, y=y), train(b, y=y, callbacks=[Interrupt()])
    assert ha["loss"] == hb["loss"]
    same_bytes(a.weights(), b.weights())


def test_predict_between_forward_and_backward_changes_no_gradient():
    a, b = every_layer(), every_layer()
    for network, interrupt in ((a, False), (b, True)):
        network.forward(X, training=True)
        if interrupt:
            network.predict(X[::-1])
        network.backward(np.ones((12, 6), np.float32))
    assert a.arena.gradients.tobytes() == b.arena.gradients.tobytes()


def test_predict_is_the_same_in_batches_of_any_size():
    network = every_layer()
    x = RNG.normal(size=(103, 3))
    whole = network.predict(x, batch_size=1000)
    for rows in (1, 7, 103):
        np.testing.assert_allclose(network.predict(x, batch_size=rows), whole, rtol=1e-5, atol=1e-7)


def test_concurrent_predictions_equal_serial_ones():
    network = every_layer()
    pieces = [RNG.normal(size=(50 + i, 3)).astype(np.float32) for i in range(40)]
    serial = [network.predict(piece, batch_size=16) for piece in pieces]
    with ThreadPoolExecutor(8) as pool:
        threaded = list(pool.map(lambda piece: network.predict(piece, batch_size=16), pieces))
    for left, right in zip(serial, threaded, strict=True):
        assert left.tobytes() == right.tobytes()


def test_networks_trained_in_threads_give_the_numbers_they_give_alone():
    def work(seed):
        network = every_layer(seed=seed)
        history = train(network, y=np.ones((12, 6)), epochs=10)
        return network.weights(), history["loss"]

    alone = [work(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(work, range(4)))
    for (weights, losses), (threaded, threaded_losses) in zip(alone, together, strict=True):
        same_bytes(weights, threaded)
        assert losses == threaded_losses


def test_first_predictions_of_an_unbuilt_network_from_threads():
    network = nnx.Network([nnx.Dense(64), nnx.Tanh(), nnx.Dense(2)], seed=0, device="cpu")
    barrier = threading.Barrier(6)

    def first(_):
        barrier.wait()
        return network.predict(X)

    with ThreadPoolExecutor(6) as pool:
        results = {result.tobytes() for result in pool.map(first, range(6))}
    assert results == {network.predict(X).tobytes()}


# ---------------------------------------------------------------------- seeds


def test_the_same_seed_gives_the_same_run_byte_for_byte():
    def run(seed):
        network = every_layer(seed=seed)
        first = network.weights()
        history = train(network, y=np.ones((12, 6)))
        return first, network.weights(), history.metrics

    one, two, other = run(4), run(4), run(5)
    same_bytes(one[0], two[0])
    same_bytes(one[1], two[1])
    assert one[2] == two[2]
    assert one[0]["dense_1.W"].tobytes() != other[0]["dense_1.W"].tobytes()


def test_without_a_seed_one_is_drawn_and_told():
    a, b = small(seed=None), small(seed=None)
    assert a.seed != b.seed
    same_bytes(a.weights(), small(seed=a.seed).weights())


def test_both_dtypes_start_from_the_same_draw():
    single, double = small(dtype="float32").weights(), small(dtype="float64").weights()
    for name in single:
        np.testing.assert_array_equal(single[name], double[name].astype(np.float32))
