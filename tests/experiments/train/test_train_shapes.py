"""``nnx train``, ``predict``, ``export`` and the estimators on rows of several axes, such as images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.command_line import invoke
from support.own_files import digits
from support.own_models import applied

import nnx
from nnx.datasets import load_arrays
from nnx.experiments.train import Model
from nnx.interop import keras, onnx

pytestmark = pytest.mark.usefixtures("on_cpu")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def trained(*arguments, out="run", epochs=3):
    done = invoke("train", *arguments, "--epochs", epochs, "--out", out, "-q", "--json")
    return json.loads(done.stdout)


# ------------------------------------------------------------------------------- what a network is given


def test_a_network_takes_images_in_their_shape_and_learns_what_it_learns_from_flat_rows():
    images, labels = digits()
    np.save("y.npy", labels)
    np.save("images.npy", images)
    np.save("flat.npy", images.reshape(60, 64))
    options = ("--target", "y.npy", "--task", "classification")
    found = [trained(f"{name}.npy", *options, out=name) for name in ("images", "flat")]
    assert [one["metrics"].pop("shape", None) for one in found] == [[8, 8], None]
    assert "8 × 8" in Path("images/report.html").read_text()
    assert "shape of a row" not in Path("flat/report.html").read_text()
    assert found[0]["metrics"] == found[1]["metrics"]
    shaped, flat = (nnx.load(f"{name}/model.safetensors") for name in ("images", "flat"))
    assert (shaped.input_shape, flat.input_shape) == ((8, 8), (64,))
    assert isinstance(shaped[0], nnx.Flatten)
    for name, value in flat.weights().items():
        np.testing.assert_array_equal(shaped.weights()[name], value)
    np.testing.assert_array_equal(
        applied("predict", "images.npy", model="images"), applied("predict", "flat.npy", model="flat")
    )


def test_every_file_that_holds_the_same_images_gives_the_same_outputs():
    images, labels = digits()
    np.savez("images.npz", x=images, y=np.array([f"n{label}" for label in labels]))
    trained("images.npz")
    expected = applied("predict", "images.npz")
    Path("folder").mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(f"folder/{number:03}.png")
    np.save("images.npy", images)
    np.save("channel.npy", images[..., None])
    np.save("flat.npy", images.reshape(60, 64))
    np.savetxt("table.csv", images.reshape(60, 64), delimiter=",", fmt="%d")
    for name in ("folder", "images.npy", "channel.npy", "flat.npy", "table.csv"):
        np.testing.assert_array_equal(applied("predict", name), expected, err_msg=name)
    result = Model.load("run").predict(images.reshape(60, 64))
    np.testing.assert_array_equal(result, expected)


def test_a_folder_of_images_is_rows_of_height_width_and_channels():
    rng = np.random.default_rng(0)
    Path("p").mkdir()
    for number in range(12):
        Image.fromarray(rng.integers(0, 256, (3, 4, 3), np.uint8)).save(f"p/{number:02}.png")
    result = trained("p", "--layers", "4", "--size", "2x5")
    assert (result["metrics"]["features"], result["metrics"]["shape"]) == (30, [2, 5, 3])
    network = nnx.load("run/model.safetensors")
    assert network.input_shape == network.output_shape == (2, 5, 3)
    assert applied("reconstruct", "p").shape == (12, 2, 5, 3)
    assert applied("encode", "p").shape == (12, 4)


def test_layers_may_say_themselves_where_rows_are_flattened():
    np.save("x.npy", np.random.default_rng(0).normal(size=(30, 5, 3)))
    trained("x.npy", "--layers", "4 tanh,flatten,2")
    network = nnx.load("run/model.safetensors")
    assert [layer.output_shape for layer in network] == [
        (5, 4),
        (5, 4),
        (20,),
        (2,),
        (4,),
        (4,),
        (15,),
        (5, 3),
    ]
    assert network.encoder_length == 4


@pytest.mark.parametrize("scale", ["standard", "minmax", "none"])
def test_each_number_of_a_row_has_its_own_scale_whatever_the_shape(scale):
    x = np.random.default_rng(0).normal(size=(40, 2, 3)) * [1.0, 10.0, 1e3] + [0.0, 5.0, 1e6]
    np.save("x.npy", x)
    np.save("flat.npy", x.reshape(40, 6))
    found = [
        trained(name, "--layers", "3", "--scale", scale, out=name[:-4]) for name in ("x.npy", "flat.npy")
    ]
    assert {**found[0]["metrics"], "shape": None} == {**found[1]["metrics"], "shape": None}
    given = applied("reconstruct", "x.npy", model="x")
    assert given.shape == (40, 2, 3)
    np.testing.assert_array_equal(given.reshape(40, 6), applied("reconstruct", "flat.npy", model="flat"))


def test_a_note_names_the_place_of_a_number_that_is_far_from_training():
    x = np.random.default_rng(0).normal(size=(40, 2, 3))
    np.save("x.npy", x)
    trained("x.npy", "--layers", "3")
    x[7, 1, 2] = 1e4
    np.save("far.npy", x)
    model = Model.load("run")
    model.predict(model.read("far.npy")[0])
    assert "1 of 40 rows" in model.notes[0]
    assert "number (2, 3) of a row" in model.notes[0]


# ---------------------------------------------------------------------------------- outputs, and exports


def test_outputs_of_several_axes_are_whole_in_npy_and_npz_and_named_by_place_in_csv():
    images, _ = digits()
    np.save("images.npy", images)
    trained("images.npy", "--layers", "8")
    whole = applied("reconstruct", "images.npy")
    assert whole.shape == (60, 8, 8)
    invoke("reconstruct", "run", "images.npy", "--out", "out.npz")
    np.testing.assert_array_equal(np.load("out.npz")["x"], whole)
    invoke("reconstruct", "run", "images.npy", "--id", "row", "--out", "out.csv")
    head, *lines = Path("out.csv").read_text().splitlines()
    names = [f"output {row}.{column}" for row in range(1, 9) for column in range(1, 9)]
    assert head.split(",") == ["row", *names]
    table = np.array([line.split(",") for line in lines], float)
    np.testing.assert_array_equal(table[:, 0], np.arange(1, 61))
    np.testing.assert_array_equal(table[:, 1:].reshape(60, 8, 8), whole)


@pytest.mark.parametrize("scale", ["auto", "minmax"])
@pytest.mark.parametrize("program", [onnx, keras], ids=["onnx", "keras"])
def test_an_export_is_compared_on_the_images_of_the_training(program, scale):
    pytest.importorskip(program.__name__.rpartition(".")[2], reason="not installed")
    images, _ = digits(20)
    np.save("images.npy", images)
    trained("images.npy", "--layers", "4", "--scale", scale, "--loss", "mse")
    name = f"model.{program.__name__.rpartition('.')[2]}"
    assert "20 rows of images.npy" in invoke("export", "run", "--out", name).stderr
    outputs, _ = program.compute(name, images.astype(np.float64 if scale == "minmax" else np.float32))
    np.testing.assert_allclose(outputs, applied("reconstruct", "images.npy"), rtol=1e-4, atol=0.05)
    if scale == "minmax":
        with pytest.raises(nnx.FileFormatError, match="one number for each feature"):
            program.load(name)


def test_integers_are_read_for_networks_that_take_them():
    numbers = np.arange(12)[::-1].reshape(2, 2, 3)
    np.savetxt("x.csv", numbers.reshape(2, 6), delimiter=",", fmt="%d")
    np.save("x.npy", numbers.astype(np.uint8))
    for name in ("x.csv", "x.npy"):
        found = load_arrays(name, "int64", shape=(2, 3))
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, numbers)
    np.savetxt("half.csv", np.array([[1.0, 2.0], [3.0, 4.5]]), delimiter=",")
    with pytest.raises(nnx.DataError, match=r"half\.csv: .*integers.* row 1"):
        load_arrays("half.csv", "int64")
