"""Networks from the lines that describe their hidden layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.command_line import invoke
from support.own_files import iris
from support.own_models import here, trained  # noqa: F401

import nnx
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


@pytest.mark.parametrize(
    ("layers", "task", "right"),
    [
        ("8,8,4", "regression", "Dense ReLU Residual Residual LayerNorm Dense"),
        ("8,8,2", "autoencoding", "Dense ReLU Residual LayerNorm Dense Dense ReLU Residual LayerNorm Dense"),
    ],
)
def test_residual_makes_blocks_of_the_hidden_layers(layers, task, right):
    network = build(Config("x", layers=tuple(layers.split(",")), residual=True), task, (6,), 6, "mse")
    assert " ".join(type(layer).__name__ for layer in network) == right
    if task == "autoencoding":
        assert network[: network.encoder_length].outputs == 2
    with pytest.raises(nnx.ConfigurationError, match="residual needs two hidden layers"):
        build(Config("x", layers=("8",), residual=True), "regression", (6,), 1, "mse")


@pytest.mark.usefixtures("here")
def test_residual_is_a_flag_and_true_in_a_file():
    result = trained(
        iris(), "--target", "species", "--layers", "8,8", "--residual", "--epochs", 1, out="flag"
    )
    assert result["config"]["residual"] is True
    Path("options.toml").write_text('layers = ["8", "8"]\nresidual = true\nepochs = 1\n')
    again = trained(iris(), "--target", "species", "--config", "options.toml", out="file")
    assert again["config"]["residual"] is True
    assert again["metrics"]["accuracy"] == result["metrics"]["accuracy"]
    Path("options.toml").write_text('residual = "yes"\n')
    with pytest.raises(nnx.ConfigurationError, match="residual: must be true or false, not 'yes'"):
        invoke("train", iris(), "--config", "options.toml")


def test_layers_for_images_are_refused_for_a_table_in_its_words():
    for text in ("conv1d 4 3", "conv2d 4 3", "max_pool2d"):
        with pytest.raises(nnx.ConfigurationError, match=r"layers: .* is for images and .* shape \(6,\)"):
            build(Config("x", layers=("8", text)), "regression", (6,), 1, "mse")


def test_a_note_says_how_images_with_the_channels_first_are_read():
    first, last = np.random.default_rng(0).integers(0, 256, (2, 12, 3, 8, 8), np.uint8)
    np.savez("first.npz", x=first, y=np.arange(12) % 2)
    np.savez("last.npz", x=np.moveaxis(last, 1, -1), y=np.arange(12) % 2)
    for name, noted in (("first", 1), ("last", 0)):
        result = trained(f"{name}.npz", "--preset", "conv", "--epochs", 1, out=name)
        notes = [note for note in result["notes"] if "np.moveaxis(x, 1, -1)" in note]
        assert len(notes) == noted
        assert not noted or "height 3 with 8 channels" in notes[0]


def test_groups_give_some_parameters_settings_of_their_own():
    iris()
    options = ("iris.csv", "--target", "species", "--epochs", 3, "--optimizer", "adamw")
    start = trained(*options, "--group", "* learning_rate=0", out="start")
    given = ("--group", "dense_1.* learning_rate=0 weight_decay=0", "--group", "*.b weight_decay=0")
    result = trained(*options, *given, "--schedule", "cosine", out="run")
    assert result["config"]["group"] == [given[1], given[3]]
    first, last = (nnx.load(f"{name}/model.safetensors").weights() for name in ("start", "run"))
    for name, value in last.items():
        assert np.array_equal(value, first[name]) == name.startswith("dense_1."), name
    assert start["config"]["group"] == ["* learning_rate=0"]
    page = invoke("report", "run").stdout and Path("run/report.html").read_text()
    assert (
        "--group &#39;dense_1.* learning_rate=0 weight_decay=0&#39; --group &#39;*.b weight_decay=0&#39;"
        in page
    )
    with pytest.raises(nnx.ConfigurationError, match=r"--group \*\.b l2=1 \(the run has dense_1\.\* learn"):
        invoke("train", *options, "--group", "*.b l2=1", "--out", "run", "--resume", "-q")
    Path("run.toml").write_text('group = ["dense_1.* learning_rate=0 weight_decay=0", "*.b weight_decay=0"]')
    trained(*options, "--schedule", "cosine", "--config", "run.toml", out="toml")
    assert Path("toml/history.csv").read_bytes() == Path("run/history.csv").read_bytes()
