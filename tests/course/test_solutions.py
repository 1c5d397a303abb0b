"""The references of tasks 1 to 8 compute what nnx's own layers, losses and optimizers compute."""

from __future__ import annotations

import numpy as np
import pytest

import nnx
from nnx.course.task import task


def functions(number):
    return task(number).reference()


def arguments(number, name):
    return [list(case.arguments.values()) for case in task(number).cases() if case.function == name]


def layer_passes(x, dy, W, b, *activations):
    """Output and gradients of x, W and b, from a dense layer and activations of nnx in float64."""
    layers = [nnx.Dense(*W.shape), *activations]
    network = nnx.Network(layers, dtype="float64", device="numpy", seed=0)
    (_, own_W, dW), (_, own_b, db) = network.parameters()
    own_W[...], own_b[...] = W, b
    y = network.forward(x, training=True).copy()
    dx = network.backward(dy, input_gradient=True)
    return y, dx, dW, db


def test_a_neuron_is_a_dense_layer_with_one_unit():
    for x, w, b in arguments(1, "neuron"):
        _, y = functions(1)["neuron"](x, w, b)
        dx, dw, db = functions(1)["neuron_backward"](x, w, y, 1.5)
        ours = layer_passes(x[None], np.array([[1.5]]), w[:, None], b, nnx.Tanh())
        np.testing.assert_allclose(ours[0].item(), y)
        np.testing.assert_allclose(ours[1][0], dx)
        np.testing.assert_allclose(ours[2][:, 0], dw)
        np.testing.assert_allclose(ours[3].item(), db)


def test_a_dense_layer():
    for x, W, dy in arguments(3, "dense_backward"):
        b = np.arange(W.shape[1]) / 7
        y = functions(2)["dense_forward"](x, W, b)
        ours = layer_passes(x, dy, W, b)
        for got, wanted in zip(ours, (y, *functions(3)["dense_backward"](x, W, dy)), strict=True):
            np.testing.assert_allclose(got, wanted, atol=1e-12)


@pytest.mark.parametrize(
    ("number", "name", "layer"), [(4, "sigmoid", nnx.Sigmoid), (5, "softmax", nnx.Softmax)]
)
def test_an_activation(number, name, layer):
    for (z,) in arguments(number, name):
        z = np.atleast_2d(z).astype(float)
        y = functions(number)[name](z)
        dy = np.random.default_rng(1).normal(size=z.shape)
        ours = layer_passes(z, dy, np.eye(z.shape[1]), 0, layer())
        np.testing.assert_allclose(ours[0], y, atol=1e-12)
        np.testing.assert_allclose(ours[1], functions(number)[f"{name}_backward"](y, dy), atol=1e-12)


@pytest.mark.parametrize(
    ("number", "name", "loss"),
    [
        (6, "mean_squared_error", nnx.MeanSquaredError()),
        (6, "binary_cross_entropy", nnx.BinaryCrossEntropy(epsilon=1e-7)),
        (7, "cross_entropy", nnx.CategoricalCrossEntropy(from_logits=True)),
    ],
)
def test_a_loss(number, name, loss):
    for y_true, y_pred in arguments(number, name):
        value, gradient = functions(number)[name](y_true, y_pred)
        if number == 7:
            y_true = np.eye(y_pred.shape[1])[y_true]
        np.testing.assert_allclose(float(loss(y_true, y_pred)), value, rtol=1e-9)
        np.testing.assert_allclose(np.asarray(loss.gradient(y_true, y_pred)), gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_steps_of_an_optimizer(momentum):
    network = nnx.Network([nnx.Dense(3, 2)], dtype="float64", device="numpy", seed=0)
    optimizer = nnx.SGD(0.1, momentum=momentum)
    (_, own, gradient), _ = network.parameters()
    w, v = own.copy(), np.zeros((3, 2))
    for step in range(3):
        dw = np.random.default_rng(step).normal(size=w.shape)
        gradient[...] = dw
        optimizer.step(network)
        if momentum:
            w, v = functions(8)["momentum_step"](w, dw, v, 0.1, momentum)
        else:
            w = functions(8)["sgd_step"](w, dw, 0.1)
        np.testing.assert_allclose(own, w)
