"""Models are applied to files and arrays as in training; what does not fit is refused in one line."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.command_line import invoke
from support.own_files import digits
from support.own_models import applied, classes, here, table, trained, write  # noqa: F401
from support.places import OLD

import nnx
from nnx.datasets import load_digits
from nnx.experiments.train import Model

pytestmark = pytest.mark.usefixtures("on_cpu")


@pytest.fixture
def model():
    classes()
    trained("t.csv", "--target", "kind", "--ignore", "name,w", "--epochs", 2)
    return table(Path("t.csv").read_text())


def test_answers_are_named_numbered_and_written_to_standard_output(model):
    plain = table(invoke("predict", "run", "t.csv").stdout)
    assert plain[0] == ["kind"]
    assert len(plain) == 121
    assert {row[0] for row in plain[1:]} <= {"rare", "common"}
    for identity, cells in (("name", [row[0] for row in model]), ("1", [row[0] for row in model]),
                            ("row", ["row", *map(str, range(1, 121))])):  # fmt: skip
        done = table(invoke("predict", "run", "t.csv", "--id", identity).stdout)
        assert [row[0] for row in done] == cells
        assert [row[1:] for row in done] == plain
    done = table(invoke("predict", "run", "t.csv", "--id", "name", "--probabilities").stdout)
    assert done[0] == ["name", "kind", "common", "rare"]
    np.testing.assert_allclose(np.array(done[1:])[:, 2:].astype(float).sum(axis=1), 1.0, rtol=1e-6)


def test_several_files_are_answered_in_their_order(model):
    write("two.csv", model[0], model[1:6])
    done = table(invoke("predict", "run", "t.csv", "two.csv", "--id", "name").stdout)
    assert done[0] == ["name", "file", "kind"]
    assert [row[1] for row in done[1:]] == ["t.csv"] * 120 + ["two.csv"] * 5
    assert [row[2] for row in done[121:]] == [row[2] for row in done[1:6]]
    invoke("predict", "run", "two.csv", "two.csv", "--out", "both.npy")
    assert np.load("both.npy").shape == (10, 2)


@pytest.mark.parametrize("kind", ["the same", "a link", "another spelling", "one of several"])
def test_an_input_is_not_written_over_unless_forced(model, kind):
    before = Path("t.csv").read_bytes()
    Path("sub").mkdir()
    write("two.csv", model[0], model[1:3])
    out = {"a link": "link.csv", "another spelling": "sub/../t.csv"}.get(kind, "t.csv")
    if kind == "a link":
        os.link("t.csv", out)
    inputs = ["two.csv", "t.csv"] if kind == "one of several" else ["t.csv"]
    with pytest.raises(nnx.ConfigurationError, match=r"is also an INPUT, and would replace it.*--force"):
        invoke("predict", "run", *inputs, "--out", out)
    assert Path("t.csv").read_bytes() == before
    invoke("predict", "run", *inputs, "--out", out, "--force")
    assert Path(out).read_text().splitlines()[0] in ("kind", "file,kind")


def test_what_an_id_cannot_be_is_named(model):
    np.save("x.npy", np.zeros((2, 2)))
    assert invoke("predict", "run", "x.npy", "--id", "row").stdout.startswith("row,kind\n1,")
    for line, words in (
        ("x.npy --id name", "has no named columns, so there is no column 'name': use --id row"),
        ("t.csv --id nam", "did you mean 'name'?"),
        ("t.csv --id name --out y.npy", "adds a column to a .csv file"),
    ):
        with pytest.raises(nnx.ConfigurationError) as caught:
            invoke("predict", "run", *line.split())
        assert words in str(caught.value)


def test_bytes_and_numbers_are_not_confused():
    images = (load_digits().x_train[:50] * 255).astype(np.uint8)
    np.save("bytes.npy", images)
    np.save("floats.npy", images / 255)
    trained("bytes.npy", "--epochs", 1, "--layers", "4")
    with pytest.raises(nnx.DataError, match=r"float64.* bytes"):
        invoke("predict", "run", "floats.npy", "--out", "y.npy")


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


def test_a_network_that_makes_images_of_flat_rows_takes_images_too():
    """The classifier of ``nnx run`` is such a network; its help shows ``nnx predict`` on an image."""
    network = nnx.Network([nnx.Reshape((2, 3, 1)), nnx.Conv2D(4, 2), nnx.Flatten()], device="cpu", seed=0)
    network.build(6).save("own.safetensors")
    image = np.random.default_rng(0).integers(0, 256, (2, 3), np.uint8)
    Image.fromarray(image).save("a.png")
    expected = network.predict(image.reshape(1, 6) / np.float32(255))
    np.testing.assert_array_equal(applied("predict", "a.png", model="own.safetensors"), expected)
    Image.fromarray(image.T).save("b.png")
    with pytest.raises(nnx.DataError, match=r"b\.png: .*3 × 2 pixels.* 2 × 3"):
        invoke("predict", "own.safetensors", "b.png")


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
