"""The references of tasks 9 to 15 compute what nnx's own layers, losses, optimizers and `fit` compute."""

from __future__ import annotations

import numpy as np
import pytest

import nnx
from nnx.course.task import task


def functions(number):
    return task(number).reference()


def arguments(number, name):
    return [case.arguments for case in task(number).cases() if case.function == name]


def slopes(loss, value):
    """Return the slope of a loss with respect to each number of an array, by central differences."""
    found = np.empty(value.shape)
    for place in np.ndindex(value.shape):
        before = value[place]
        value[place] = before + 1e-6
        above = loss()
        value[place] = before - 1e-6
        below = loss()
        value[place] = before
        found[place] = (above - below) / 2e-6
    return found


def test_adam_is_that_of_nnx():
    known = arguments(9, "adam_step")[0]
    rng = np.random.default_rng(0)
    network = nnx.Network([nnx.Dense(3, 2)], dtype="float64", device="numpy", seed=0)
    optimizer = nnx.Adam(known["learning_rate"], known["beta1"], known["beta2"], known["epsilon"])
    settings = {name: known[name] for name in ("learning_rate", "beta1", "beta2", "epsilon")}
    w = {name: value.copy() for name, value, _ in network.parameters()}
    m, v = ({name: np.zeros_like(value) for name, value in w.items()} for _ in range(2))
    for t in range(1, 6):
        for name, _, gradient in network.parameters():
            gradient[...] = rng.normal(size=gradient.shape)
            w[name], m[name], v[name] = functions(9)["adam_step"](
                w[name], gradient, m[name], v[name], t, **settings
            )
        optimizer.step(network)
        for name, value, _ in network.parameters():
            np.testing.assert_allclose(value, w[name], rtol=1e-12)


@pytest.mark.parametrize("rate", [0.25, 0.5])
def test_dropout_is_that_of_nnx(rate):
    """The layer draws its own mask. With random numbers that give this mask, the output is the same."""
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(50, 20)), rng.normal(size=(50, 20))
    network = nnx.Network([nnx.Dropout(rate)], dtype="float64", device="numpy", seed=0).build(20)
    y = network.forward(x, training=True).copy()
    random = np.where(y == 0.0, rate / 2, rate)
    own, factor = functions(10)["dropout_forward"](x, rate, random, True)
    np.testing.assert_allclose(own, y)
    dx = network.backward(dy, input_gradient=True)
    np.testing.assert_allclose(functions(10)["dropout_backward"](dy, factor), dx)
    assert abs(np.mean(y == 0.0) - rate) < 0.05
    np.testing.assert_array_equal(
        functions(10)["dropout_forward"](x, rate, random, False)[0], network.forward(x, training=False)
    )


def batch_norm(known, momentum=0.9):
    """Return a layer of nnx with the numbers of a case."""
    layer = nnx.BatchNorm(momentum, known["epsilon"]).build(len(known["gamma"]), dtype="float64")
    layer.gamma[...] = known["gamma"]
    for name in ("beta", "running_mean", "running_variance"):
        if name in known:
            getattr(layer, name)[...] = known[name]
    return layer


def test_batch_normalisation_is_that_of_nnx():
    for known in arguments(11, "batch_norm_forward"):
        y, mean, variance = functions(11)["batch_norm_forward"](**known)
        layer = batch_norm(known, known["momentum"])
        np.testing.assert_allclose(layer.forward(known["x"], training=known["training"]), y, atol=1e-12)
        np.testing.assert_allclose(layer.running_mean, mean)
        np.testing.assert_allclose(layer.running_variance, variance)
    for known in arguments(11, "batch_norm_backward"):
        dx, dgamma, dbeta = functions(11)["batch_norm_backward"](**known)
        layer = batch_norm(known)
        layer.forward(known["x"], training=True)
        np.testing.assert_allclose(layer.backward(known["dy"]), dx, atol=1e-12)
        np.testing.assert_allclose(layer.dbeta, dbeta)
        np.testing.assert_allclose(layer.dgamma, dgamma)


def test_the_training_loop_with_whole_batches_is_fit():
    """With all rows in each batch, the order does not matter, so `fit` gives the same numbers."""
    known = next(one for one in arguments(12, "train") if one["epochs"] == 3)
    losses, W, b = functions(12)["train"](**known)
    network = nnx.Network([nnx.Dense(*W.shape)], dtype="float64", device="numpy", seed=0)
    (_, own_W, _), (_, own_b, _) = network.parameters()
    own_W[...], own_b[...] = known["W"], known["b"]
    history = network.fit(
        known["x"], known["y"], loss="mse", optimizer=nnx.SGD(known["learning_rate"]), epochs=3,
        batch_size=known["batch_size"],
    )  # fmt: skip
    np.testing.assert_allclose(own_W, W)
    np.testing.assert_allclose(own_b, b)
    np.testing.assert_allclose(history["loss"], losses)


def test_the_training_loop_takes_the_steps_of_nnx():
    """With batches too: the same rows in the same order, through layers, loss and optimizer of nnx."""
    known = next(one for one in arguments(12, "train") if one["epochs"] == 4)
    losses, W, b = functions(12)["train"](**known)
    network = nnx.Network([nnx.Dense(*W.shape)], dtype="float64", device="numpy", seed=0)
    (_, own_W, _), (_, own_b, _) = network.parameters()
    own_W[...], own_b[...] = known["W"], known["b"]
    loss, optimizer = nnx.MeanSquaredError(), nnx.SGD(known["learning_rate"])
    rng, size = np.random.default_rng(known["seed"]), known["batch_size"]
    found = []
    for _ in range(4):
        order = rng.permutation(len(known["x"]))
        parts = [order[start : start + size] for start in range(0, len(order), size)]
        total = 0.0
        for part in parts:
            p = network.forward(known["x"][part], training=True)
            total += float(loss(known["y"][part], p)) * len(part)
            network.backward(loss.gradient(known["y"][part], p))
            optimizer.step(network)
        found.append(total / len(order))
    np.testing.assert_allclose(own_W, W)
    np.testing.assert_allclose(own_b, b)
    np.testing.assert_allclose(found, losses)


def test_the_autoencoder_is_that_of_nnx():
    for known in arguments(13, "autoencoder_forward"):
        x, W2 = known["x"], known["W2"]
        code, p = functions(13)["autoencoder_forward"](**known)
        layers = [nnx.Dense(*known["W1"].shape), nnx.Tanh(), nnx.Dense(*W2.shape), nnx.Sigmoid()]
        network = nnx.Network(layers, dtype="float64", device="numpy", seed=0)
        for (_, value, _), name in zip(network.parameters(), ("W1", "b1", "W2", "b2"), strict=True):
            value[...] = known[name]
        loss = nnx.BinaryCrossEntropy()
        own = network.forward(x, training=True)
        np.testing.assert_allclose(own, p)
        np.testing.assert_allclose(network[:2].predict(x), code)
        features = x.shape[1]
        network.backward(loss.gradient(x, own))
        dW1, db1, dW2, db2 = (gradient for _, _, gradient in network.parameters())
        mean = float(loss(x, own)) / functions(13)["autoencoder_loss"](x, p)
        assert np.isclose(mean, 1.0) or np.isclose(mean, features)
        found = functions(13)["autoencoder_backward"](x, code, p, W2)
        for gradient, ours in zip((dW1, db1, dW2, db2), found, strict=True):
            np.testing.assert_allclose(gradient / mean, ours, atol=1e-12)


def test_the_autoencoder_has_the_gradients_of_central_differences():
    known = arguments(13, "autoencoder_forward")[0]
    forward, loss = functions(13)["autoencoder_forward"], functions(13)["autoencoder_loss"]
    code, p = forward(**known)
    found = functions(13)["autoencoder_backward"](known["x"], code, p, known["W2"])
    for name, gradient in zip(("W1", "b1", "W2", "b2"), found, strict=True):
        measured = slopes(lambda: loss(known["x"], forward(**known)[1]), known[name])
        np.testing.assert_allclose(gradient, measured, atol=1e-9)


def test_convolution_is_that_of_nnx(monkeypatch):
    """The layer's padding "same" is 1 for a window of 3 × 3; other padding is zeros around x."""
    monkeypatch.setenv("NNX_DEVICE", "numpy")
    for known in arguments(15, "convolution_backward"):
        x, W, dy, padding = known["x"], known["W"], known["dy"], known["padding"]
        sides = (padding, padding)
        image = np.pad(x, ((0, 0), sides, sides, (0, 0)))
        layer = nnx.Conv2D(W.shape[3], len(W), strides=known["stride"]).build(
            image.shape[1:], dtype="float64"
        )
        layer.W[...], layer.b[...] = W, np.arange(W.shape[3])
        y = functions(14)["convolution_forward"](x, W, np.arange(W.shape[3]), known["stride"], padding)
        np.testing.assert_allclose(layer.forward(image), y, atol=1e-12)
        dx = layer.backward(dy)[:, padding : padding + x.shape[1], padding : padding + x.shape[2]]
        found = functions(15)["convolution_backward"](**known)
        for gradient, ours in zip((dx, layer.dW, layer.db), found, strict=True):
            np.testing.assert_allclose(gradient, ours, atol=1e-12)
        if 2 * padding + 1 == len(W) and known["stride"] == 1:
            same = nnx.Conv2D(W.shape[3], len(W), padding="same").build(x.shape[1:], dtype="float64")
            same.W[...], same.b[...] = W, np.arange(W.shape[3])
            np.testing.assert_allclose(same.forward(x), y, atol=1e-12)


def test_convolution_has_the_gradients_of_central_differences():
    for known in arguments(15, "convolution_backward")[1::3]:
        x, W, dy, stride, padding = (known[name] for name in ("x", "W", "dy", "stride", "padding"))
        b = np.zeros(W.shape[3])
        found = functions(15)["convolution_backward"](**known)

        def loss(x=x, W=W, b=b, dy=dy, stride=stride, padding=padding):
            return (functions(14)["convolution_forward"](x, W, b, stride, padding) * dy).sum()

        for gradient, value in zip(found, (x, W, b), strict=True):
            np.testing.assert_allclose(gradient, slopes(loss, value), atol=1e-7)


def test_batch_normalisation_has_the_gradients_of_central_differences():
    for known in arguments(11, "batch_norm_backward"):
        x, dy, gamma, epsilon = (known[name] for name in ("x", "dy", "gamma", "epsilon"))
        beta = np.zeros(len(gamma))
        found = functions(11)["batch_norm_backward"](**known)

        def loss(x=x, gamma=gamma, beta=beta, dy=dy, epsilon=epsilon):
            forward = functions(11)["batch_norm_forward"]
            return (forward(x, gamma, beta, beta, gamma, True, 0.9, epsilon)[0] * dy).sum()

        for gradient, value in zip(found, (x, gamma, beta), strict=True):
            np.testing.assert_allclose(gradient, slopes(loss, value), atol=1e-7)
