"""Networks from the lines that describe their hidden layers."""

from __future__ import annotations

import pytest
from support.own_models import here  # noqa: F401

from nnx.experiments.train.config import Config
from nnx.experiments.train.networks import build

pytestmark = pytest.mark.usefixtures("on_cpu")


@pytest.mark.parametrize(
    ("layers", "task", "right"),
    [
        ("64,32", "regression", "Dense ReLU Dense ReLU Dense"),
        ("64,32", "classification", "Dense ReLU Dense ReLU Dense Softmax"),
        ("64 linear,32", "regression", "Dense Dense ReLU Dense"),
        ("64,batch_norm,tanh,32", "regression", "Dense BatchNorm Tanh Dense ReLU Dense"),
        ("64,dropout 0.1,32 tanh", "regression", "Dense ReLU Dropout Dense Tanh Dense"),
        ("16,4", "autoencoding", "Dense ReLU Dense Dense ReLU Dense"),
        ("16,tanh,4", "autoencoding", "Dense Tanh Dense Dense Tanh Dense"),
        ("16,4 tanh", "autoencoding", "Dense ReLU Dense Tanh Dense ReLU Dense"),
        ("4", "autoencoding", "Dense Dense"),
    ],
)
def test_a_width_without_an_activation_has_relu_but_for_a_code(layers, task, right):
    config = Config("x", layers=tuple(layers.split(",")))
    loss = "cross_entropy" if task == "classification" else "mse"
    network = build(config, task, (6,), 6, loss)
    names = [type(layer).__name__ for layer in network if type(layer).__name__ != "Identity"]
    assert " ".join(names) == right
    if task == "autoencoding":
        assert network[: network.encoder_length].outputs == 4
