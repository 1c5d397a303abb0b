"""``--preset conv`` of ``nnx train``: layers that fit the size of images, with their colours."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.command_line import invoke
from support.own_files import digit_images, iris
from support.own_models import here, trained  # noqa: F401

import nnx
from nnx.experiments.train.config import Config
from nnx.experiments.train.layer_presets import layers_of
from nnx.experiments.train.networks import build

pytestmark = pytest.mark.usefixtures("on_cpu")

CONV = Config("x", preset="conv")


@pytest.mark.parametrize(
    ("shape", "stages", "side"),
    [((8, 8, 1), 1, 4), ((28, 28), 2, 7), ((32, 48, 3), 2, 8), ((64, 64, 3), 3, 8), ((224, 224, 3), 5, 7)],
)
def test_each_stage_halves_an_image_until_it_is_about_7_pixels(shape, stages, side):
    network = build(CONV, "classification", shape, 4, "cross_entropy")
    pools = [layer for layer in network.layers if isinstance(layer, nnx.MaxPool2D)]
    assert len(pools) == stages
    assert min(pools[-1].output_shape[:2]) == side
    first = next(layer for layer in network.layers if isinstance(layer, nnx.Conv2D))
    assert first.inputs == (shape[2] if len(shape) == 3 else 1)
    assert network.output_shape == (4,)


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28), (30, 42, 3), (33, 47, 3), (2, 2, 1)])
def test_an_autoencoder_returns_images_of_the_same_shape(shape):
    network = build(CONV, "autoencoding", shape, 0, "binary_cross_entropy")
    assert network.output_shape == shape
    code = network[: network.encoder_length].output_shape
    assert code == (min(64, max(8, int(np.prod(shape)) // 12)),)
    assert network.predict(np.zeros((2, *shape), np.float32)).shape == (2, *shape)


def test_rows_that_are_no_images_and_layers_next_to_it_are_refused():
    with pytest.raises(nnx.ConfigurationError, match=r"preset conv is for images, but .* shape \(5,\)"):
        layers_of(CONV, "regression", (5,))
    with pytest.raises(
        nnx.ConfigurationError, match=r"at least 2 × 2 pixels.* \(1, 9, 9\): height, width, ch"
    ):
        build(CONV, "regression", (1, 9, 9), 1, "mse")
    with pytest.raises(nnx.ConfigurationError, match="leave out --layers"):
        layers_of(Config("x", preset="conv", layers=("8",)), "regression", (8, 8))
    iris()
    with pytest.raises(nnx.ConfigurationError, match="preset conv is for images"):
        trained("iris.csv", "--target", "species", "--preset", "conv")
    assert not Path("run").exists()


def test_colours_decide_where_shapes_do_not():
    """Each image has the same grey value; only a network that sees colours can tell the classes apart."""
    rng = np.random.default_rng(0)
    for number in range(60):
        colour = ("red", "green")[number % 2]
        pixels = np.zeros((8, 8, 3), np.uint8)
        pixels[:, :, number % 2] = rng.integers(100, 250, (8, 8))
        Path("photos", colour).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(f"photos/{colour}/{number}.png")
    result = trained("photos", "--preset", "conv", "--epochs", 15)
    assert result["metrics"]["shape"] == [8, 8, 3]
    assert result["metrics"]["accuracy"] == 1.0
    assert (result["config"]["preset"], result["config"]["layers"][0]) == (
        "conv", "conv2d 16 3 padding=same"
    )  # fmt: skip
    assert {"filters", "activation_maps"} <= set(result["artifacts"])
    page = Path("run/report.html").read_text()
    assert "Filters and activation maps" in page
    command = next(line for line in page.splitlines() if "nnx train photos" in line)
    assert "--preset conv" in command
    assert "--layers" not in command
    invoke("predict", "run", "photos/red/0.png", "--out", "one.csv")
    assert Path("one.csv").read_text().splitlines()[1].endswith(",red")


def test_an_autoencoder_of_a_folder_can_be_applied_and_resumed():
    digit_images(by_class=False, count=40)
    options = shlex.split("digits --preset conv --epochs 2 --checkpoint-every 1")
    result = trained(*options)
    assert result["preset"] == "autoencoding"
    invoke("encode", "run", "digits", "--out", "codes.npy")
    assert np.load("codes.npy").shape == (40, 8)
    invoke("train", *options, "--out", "run", "--resume", "-q")
    with pytest.raises(nnx.ConfigurationError, match="--layers"):
        invoke("train", "digits", "--layers", "4", "--epochs", 2, "--out", "run", "--resume", "-q")
