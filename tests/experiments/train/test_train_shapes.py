"""``nnx train``, ``predict``, ``export`` and the estimators on rows of several axes, such as images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.command_line import invoke
from support.places import OLD

import nnx
from nnx.datasets import load_arrays, load_digits
from nnx.experiments.train import Config, Model
from nnx.experiments.train import experiment as own_data
from nnx.experiments.train.scaling import ScaledRows
from nnx.interop import keras, onnx

pytestmark = pytest.mark.usefixtures("on_cpu")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def digits(count=60):
    """Return images as bytes of shape (count, 8, 8), and their labels."""
    data = load_digits()
    return np.round(data.x_train[:count] * 255).astype(np.uint8).reshape(-1, 8, 8), data.y_train[:count]


def trained(*arguments, out="run", epochs=3):
    done = invoke("train", *arguments, "--epochs", epochs, "--out", out, "-q", "--json")
    return json.loads(done.stdout)


def applied(command, *inputs, model="run"):
    invoke(command, model, *inputs, "--out", "out.npy")
    return np.load("out.npy")


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


def test_a_large_file_of_images_is_mapped_and_gives_what_memory_gives(monkeypatch):
    np.save("x.npy", np.random.default_rng(0).normal(size=(300, 2, 3)).astype(np.float32))
    config = Config("x.npy", layers=("4 tanh", "2"), epochs=3)
    in_memory = own_data.run(config)
    monkeypatch.setattr("nnx.experiments.train.scaling.READ_WHOLE", 1)
    monkeypatch.setattr("nnx.data.samples.READ_WHOLE", 1)
    monkeypatch.setattr("nnx.experiments.train.scaling._BLOCK", 60)
    problem = own_data.posed(config)
    assert isinstance(problem.train.x, ScaledRows)
    assert problem.train.x.shape == (240, 2, 3)
    mapped = own_data.run(config)
    assert mapped.history["loss"] == pytest.approx(in_memory.history["loss"], rel=1e-4)
    assert mapped.metrics["mse"] == pytest.approx(in_memory.metrics["mse"], rel=1e-4)


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


def test_a_model_that_version_0_1_trained_on_flattened_images_predicts_the_same():
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 4), np.uint8)
    np.save("x.npy", images)
    np.save("flat.npy", images.reshape(5, 16))
    shutil.copy(OLD / "flat-pictures-0.1.safetensors", "old.safetensors")
    network = nnx.load("old.safetensors")
    assert network.input_shape == (16,)
    expected = network.predict((images.reshape(5, 16) / 255.0).astype(np.float32)) * 255.0
    for name in ("x.npy", "flat.npy"):
        np.testing.assert_allclose(applied("reconstruct", name, model="old.safetensors"), expected, rtol=1e-6)
    np.save("wide.npy", images.reshape(5, 2, 8))
    with pytest.raises(nnx.DataError, match=r"wide.npy: has rows of shape \(2, 8\), .* shape \(4, 4, 1\)"):
        Model.load("old.safetensors").read("wide.npy")


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


def test_a_network_of_your_own_takes_rows_of_its_shape():
    network = nnx.Network([nnx.Dense(4), nnx.Tanh(), nnx.Reshape((2, 10))], device="cpu", seed=0)
    network.build((5, 3)).save("own.safetensors")
    x = np.random.default_rng(0).normal(size=(7, 5, 3)).astype(np.float32)
    np.save("x.npy", x)
    np.savez("x.npz", x=x)
    np.savetxt("x.csv", x.reshape(7, 15), delimiter=",", fmt="%.9g")
    for name in ("x.npy", "x.npz", "x.csv"):
        np.testing.assert_array_equal(applied("predict", name, model="own.safetensors"), network.predict(x))


def test_a_network_of_your_own_for_images_takes_images_of_its_size():
    network = nnx.Network([nnx.Flatten(), nnx.Dense(2)], device="cpu", seed=0)
    network.build((2, 3, 3)).save("own.safetensors")
    image = np.random.default_rng(0).integers(0, 256, (2, 3, 3), np.uint8)
    Image.fromarray(image).save("a.png")
    expected = network.predict(image[None] / np.float32(255))
    np.testing.assert_array_equal(applied("predict", "a.png", model="own.safetensors"), expected)
    Image.fromarray(image.transpose(1, 0, 2)).save("b.png")
    with pytest.raises(nnx.DataError, match=r"b\.png: .*3 × 2 pixels.* 2 × 3"):
        invoke("predict", "own.safetensors", "b.png")


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


# ------------------------------------------------------------------------------------------- what is wrong


def wrong_inputs():
    images, _ = digits(20)
    np.save("images.npy", images)
    np.save("large.npy", np.zeros((3, 9, 8), np.uint8))
    np.save("other.npy", np.zeros((3, 4, 16), np.uint8))
    np.save("vector.npy", np.zeros(64, np.uint8))
    np.savetxt("narrow.csv", np.zeros((3, 63)), delimiter=",", fmt="%d")
    np.save("colour.npy", np.zeros((3, 48), np.uint8))
    np.savez("ragged.npz", x=np.array([np.zeros((2, 2)), np.zeros((3, 2))], dtype=object))
    np.savez("short.npz", x=images, y=np.zeros(7))


WRONG = {
    "an image of another size": ("predict grey large.npy", ["(9, 8)", "takes rows of shape (8, 8)"]),
    "as many numbers in another shape": ("predict grey other.npy", ["(4, 16)", "takes rows of shape (8, 8)"]),
    "no axis": ("predict grey vector.npy", ["vector.npy: has shape (64,)", "at least two dimensions"]),
    "a table that is too narrow": ("predict grey narrow.csv", ["63 numbers in a row", "shape (8, 8)"]),
    "an image for a model of features": ("predict plain images.npy", ["64 features", "takes 3"]),
    "flat rows of colours": (
        "predict colour colour.npy",
        ["48 numbers", "not their order", "(rows, 4, 4, 3)"],
    ),
    "an archive of unequal rows": ("train ragged.npz", ["ragged.npz", "object"]),
    "an archive with too few targets": ("train short.npz", ["20 samples, but 7 targets"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_rows_of_another_shape_are_refused_in_one_line(case):
    wrong_inputs()
    for name, shape in (("grey", (8, 8)), ("colour", (4, 4, 3)), ("plain", (3,))):
        Path(name).mkdir()
        layers = [nnx.Flatten(), nnx.Dense(2)]
        nnx.Network(layers, device="cpu").build(shape).save(f"{name}/model.safetensors")
    line, parts = WRONG[case]
    with pytest.raises(nnx.DataError) as caught:
        invoke(*line.split(), "--out", "out.npy" if "predict" in line else "out")
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)
    assert not Path("out.npy").exists()
    assert not Path("out").exists()
