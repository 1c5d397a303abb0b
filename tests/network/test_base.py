"""A network builds its layers on a device, moves between devices, and runs forward and backward."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.addresses import lies_within
from support.small_networks import (
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


class FromIntegers(nnx.Layer):
    """Half of each integer."""

    input_dtype = "integer"

    def forward_into(self, x, y, workspace):
        y[...] = x / 2


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


def test_a_slice_cannot_be_moved():
    with pytest.raises(nnx.ConfigurationError, match="on the whole network"):
        small()[:2].to("cpu")


def test_the_old_name_of_encoder_length_works_with_a_warning(tmp_path):
    """In version 0.1 it was `network.code`; files still have that name."""
    network = every_layer()
    with pytest.warns(DeprecationWarning, match=r"network\.code is now network\.encoder_length") as seen:
        network.code = 3
    assert network.encoder_length == 3
    with pytest.warns(DeprecationWarning, match=r"network\.code is now network\.encoder_length") as read:
        assert network.code == 3
    assert {Path(warning.filename) for warning in [*seen, *read]} == {Path(__file__)}
    assert network.config()["code"] == 3
    network.save(tmp_path / "model.safetensors")
    assert nnx.load(tmp_path / "model.safetensors").encoder_length == 3


@pytest.mark.parametrize("length", [0, -1, 99, 1.5, "2"])
def test_an_encoder_leaves_a_layer_on_both_sides(length):
    network = every_layer()
    network.encoder_length = len(network) - 1
    with pytest.raises(nnx.ConfigurationError, match="encoder_length must be"):
        network.encoder_length = length
    assert network.encoder_length == len(network) - 1


def test_to_works_in_place_and_keeps_optimizer_state():
    network, still = small(), small()
    optimizer, other = nnx.Adam(0.01), nnx.Adam(0.01)
    train(network, optimizer), train(still, other)
    assert network.to(network.backend.name) is network
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
    assert lies_within(network[0].W, network.arena.values)
    train(network, optimizer, y=y), train(still, other, y=y)
    same_bytes(network.weights(), still.weights())


@pytest.mark.parametrize(
    "wrong", ["a list", "another dtype", "integers", "another width", "another rank", "masked"]
)
def test_each_pass_checks_x_and_not_only_the_first(wrong):
    network = small()
    forward(network, X, training=True)
    x = network.asarray(X)
    unfit = {
        "a list": X.tolist(),
        "another dtype": x.astype("float64"),
        "integers": x.astype("int32"),
        "another width": network.asarray(X[:, :2]),
        "another rank": network.asarray(X[:, :, None]),
        "masked": np.ma.masked_array(X, mask=X > 0.0),  # the numbers under the mask are no data
    }[wrong]
    for part in (network, network[:1]):
        with pytest.raises(nnx.DataError, match=r"forward takes|x has 2 features"):
            part.forward(unfit, training=True)
    assert network.forward(x, training=True).shape == (len(X), 2)


def test_each_pass_checks_integers():
    network = nnx.Network([FromIntegers(), nnx.Dense(2)], seed=0)
    numbers = network.asarray(np.arange(6).reshape(3, 2))
    network.forward(numbers, training=True)
    with pytest.raises(nnx.DataError, match="takes integers, not float32"):
        network.forward(numbers.astype("float32"), training=True)


def gradients(network, dy):
    """Of a network whose last layer is a product: its kernels read the bytes of dy itself."""
    forward(network, X, training=True)
    network.backward(dy)
    return {name: host(gradient).copy() for name, _, gradient in network.parameters()}


@pytest.mark.parametrize("kind", ["float64", "float16", "int32"])
def test_a_gradient_of_another_type_is_converted(kind):
    a, b = (nnx.Network([nnx.Dense(3, 4), nnx.Tanh(), nnx.Dense(2)], seed=0) for _ in range(2))
    dy = np.round(4.0 * Y)  # the same numbers in each type
    expected = gradients(a, a.asarray(dy))
    same_bytes(gradients(b, b.backend.asarray(dy, kind)), expected)


@pytest.mark.parametrize("wrong", ["a list", "complex numbers"])
def test_dy_that_is_no_array_of_numbers_is_refused_in_a_line(wrong):
    network = small()
    forward(network, X, training=True)
    dy = Y.tolist() if wrong == "a list" else network.backend.asarray(Y.astype("complex64"))
    with pytest.raises(nnx.DataError, match=r"^backward takes .*(dy = network.asarray\(dy\)|not complex64)$"):
        network.backward(dy)


def test_predict_between_forward_and_backward_changes_no_gradient():
    a, b = every_layer(), every_layer()
    for network, interrupt in ((a, False), (b, True)):
        forward(network, X, training=True)
        if interrupt:
            network.predict(X[::-1])
        backward(network, np.ones((12, 6), np.float32))
    assert a.arena.gradients.tobytes() == b.arena.gradients.tobytes()


def test_without_a_seed_one_is_drawn_and_told():
    a, b = small(seed=None), small(seed=None)
    assert a.seed != b.seed
    same_bytes(a.weights(), small(seed=a.seed).weights())


def test_both_dtypes_start_from_the_same_draw():
    single, double = small(dtype="float32").weights(), small(dtype="float64").weights()
    for name in single:
        np.testing.assert_array_equal(single[name], double[name].astype(np.float32))
