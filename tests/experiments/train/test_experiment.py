"""A training on one's own data: split fairly, learnt, resumed, and refused where it makes no sense."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from support.command_line import COMMAND, environment, invoke, visible
from support.own_files import digit_images, iris, table
from support.own_models import here, trained  # noqa: F401
from support.places import OLD

import nnx
from nnx import model_files
from nnx.datasets import load_digits
from nnx.experiments.train.labelled import load_labelled

pytestmark = pytest.mark.usefixtures("on_cpu")


def houses(rows=200):
    """Two targets of very different size, linear in features of very different size."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 3)) * [1e-3, 1.0, 1e6] + [5.0, 0.0, 1e9]
    y = np.stack([x[:, 2] * 2e-3 + 1e5, (x[:, 0] - 5.0) * 3.0], axis=1)
    return x, y


def test_a_table_of_classes_is_learnt_and_predicted_by_name():
    result = trained(iris(), "--target", "species", "--ignore", "id", "--epochs", 60, "--seed", 1)
    metrics = result["metrics"]
    assert (result["experiment"], result["preset"], result["dataset"]) == (
        "train", "classification", "iris.csv",
    )  # fmt: skip
    assert metrics["classes"] == ["setosa", "versicolor", "virginica"]
    assert (metrics["rows"], metrics["validation_rows"], metrics["features"]) == (120, 30, 4)
    assert metrics["accuracy"] > 0.85
    assert metrics["majority_accuracy"] == pytest.approx(1 / 3)
    assert np.sum(metrics["confusion_matrix"]) == 30
    assert {"result.json", "history.csv", "model.safetensors", "figures"} <= set(visible(Path("run")))
    assert Path("run/figures/confusion_matrix.png").is_file()
    invoke("predict", "run", "iris.csv", "--out", "all.csv")
    rows = table("all.csv")
    species = [row[-1] for row in table("iris.csv")]
    assert rows[0] == ["species"]
    assert np.mean([row[0] == true for row, true in zip(rows[1:], species[1:], strict=True)]) > 0.9
    invoke("predict", "run", "iris.csv", "--probabilities", "--out", "p.csv")
    assert table("p.csv")[0] == ["species", *metrics["classes"]]
    invoke("predict", "run", "iris.csv", "--out", "p.npy")
    given = np.array(table("p.csv")[1:])[:, 1:].astype(np.float32)
    np.testing.assert_array_equal(np.load("p.npy"), given)
    np.testing.assert_allclose(given.sum(axis=1), 1.0, rtol=1e-5)


def test_several_values_are_learnt_in_their_own_units():
    x, y = houses()
    header = "a,b,c,price,rent"
    np.savetxt("houses.csv", np.hstack([x, y]), delimiter=",", header=header, comments="", fmt="%.17g")
    result = trained("houses.csv", "--target", "price,rent", "--task", "regression", "--epochs", 100)
    assert set(result["metrics"]["by_target"]) == {"price", "rent"}
    for errors in result["metrics"]["by_target"].values():
        assert errors["r2"] > 0.95
    invoke("predict", "run", "houses.csv", "--out", "out.csv")
    rows = table("out.csv")
    assert rows[0] == ["price", "rent"]
    predicted = np.array(rows[1:], float)
    assert (np.abs(predicted - y).mean(axis=0) < 0.3 * y.std(axis=0)).all()


@pytest.mark.parametrize("kind", ["folder", "npy"])
def test_images_are_coded_and_given_back(kind):
    source = digit_images(by_class=False)
    if kind == "npy":
        np.save("x.npy", (load_digits().x_train[:120].reshape(-1, 8, 8) * 255).astype(np.uint8))
        source = "x.npy"
    result = trained(source, "--layers", "32 relu,6", "--epochs", 30)
    assert (result["preset"], result["config"]["loss"]) == ("autoencoding", "binary_cross_entropy")
    assert Path("run/figures/reconstructions.png").is_file()
    network = nnx.load("run/model.safetensors")
    shape = (8, 8) if kind == "npy" else (8, 8, 1)
    assert network.input_shape == network.output_shape == shape
    assert [layer.outputs for layer in network] == [64, 32, 32, 6, 32, 32, 64, shape[-1], shape[-1]]
    assert network.encoder_length == 4
    invoke("encode", "run", source, "--out", "codes.npy")
    assert np.load("codes.npy").shape == (120, 6)
    invoke("reconstruct", "run", source, "--out", "back.npy")
    back = np.load("back.npy")
    original = load_labelled(source).x
    assert back.min() >= 0.0
    assert 50 < back.max() <= 255
    assert result["metrics"]["mse"] == pytest.approx(np.mean(np.square(back - original)), rel=0.3)


def test_two_runs_give_the_same_bytes():
    for out in ("one", "two"):
        trained(iris(), "--target", "species", "--epochs", 3, out=out)
    for name in ("model.safetensors", "history.csv"):
        assert Path("one", name).read_bytes() == Path("two", name).read_bytes()


MISTAKES = {
    "train iris.csv": (nnx.DataError, ["line 2, column 6 (species)", "'setosa' is not a number", "ignore"]),
    "train iris.csv --target specie": (nnx.ConfigurationError, ["did you mean 'species'?"]),
    "train iris.csv --target id --ignore species": (
        nnx.ConfigurationError, ["column 5 (id) holds whole numbers (150 different, 0 to 149)", "regression"],
    ),
    "train iris.csv --target id,species": (nnx.ConfigurationError, ["one target, but 2"]),
    "train iris.csv --target species --task autoencoding": (nnx.ConfigurationError, ["has no target"]),
    "train iris.csv --target species --task regression": (nnx.DataError, ["'setosa' is not a number"]),
    "train iris.csv --task classification": (nnx.ConfigurationError, ["needs a target"]),
    "train iris.csv --target species --loss mse": (nnx.ConfigurationError, ["mse is not for classification"]),
    "train iris.csv --target species --layers 64,relo": (nnx.ConfigurationError, ["did you mean 'relu'?"]),
    "train iris.csv --target species --layers '64 relo'": (nnx.ConfigurationError, ["mean '64 relu'?"]),
    "train iris.csv --target species --layers '0 relu'": (nnx.ConfigurationError, ["from 1 to 65,536"]),
    "train iris.csv --target species --layers '99999999999 relu'": (nnx.ConfigurationError, ["65,536"]),
    "train iris.csv --target species --layers 'dropout 1'": (nnx.ConfigurationError, ["[0, 1)"]),
    "train iris.csv --target species --layers 'dropout'": (nnx.ConfigurationError, ["'dropout RATE'"]),
    "train iris.csv --target species --layers 'batch_norm 2'": (nnx.ConfigurationError, ["stands alone"]),
    "train iris.csv --target species --momentum 0.9": (nnx.ConfigurationError, ["adam has no momentum"]),
    "train iris.csv --target species --epochs many": (nnx.ConfigurationError, ["--epochs", "'many'"]),
    "train iris.csv --target species --validation 0.001": (nnx.DataError, ["of 150 rows", "0.001"]),
    "train iris.csv --target species --image-size 2x2": (nnx.ConfigurationError, ["no folder of images"]),
    "train iris.csv --target species --group '*.b'": (nnx.ConfigurationError, ["'*.b weight_decay=0'"]),
    "train iris.csv --target species --group '*.b l2=x'": (nnx.ConfigurationError, ["l2 must be a number"]),
    "train iris.csv --target species --group '*.b wd=1'": (nnx.ConfigurationError, ["'wd'", "weight_decay"]),
    "train iris.csv --target species --group '*.b l2=-1'": (nnx.ConfigurationError, ["l2", "[0, inf)"]),
    "train iris.csv --target species --group '*.b momentum=1'": (nnx.ConfigurationError, ["'momentum'"]),
    "train iris.csv --target species --group 'dense_9.* l2=1'": (
        nnx.ConfigurationError, ["groups['dense_9.*'] matches no parameter"],
    ),
    "train iris.csv --target species --group '*.b l2=1' --group '*.b l2=0'": (
        nnx.ConfigurationError, ["'*.b' is given twice"],
    ),
    "train iris.csv --target species --group '*.b l2=1 l2=0'": (nnx.ConfigurationError, ["l2 is given"]),
    "train x.npy --task classification": (nnx.ConfigurationError, ["needs targets"]),
    "train x.npy --layers relu": (nnx.ConfigurationError, ["needs a width"]),
    "train x.npy --target y.npy": (nnx.DataError, ["holds 6 samples, but 5 targets"]),
    "train x.npy --target one.npy": (nnx.DataError, ["at least two classes"]),
    "train x.npy --ignore 1": (nnx.ConfigurationError, ["no columns to ignore"]),
    "train nan.npy": (nnx.DataError, ["nan.npy", "number 2 of a row", "NaN or infinite", "first in row"]),
    "train empty": (nnx.DataError, ["empty: holds no images"]),
    "train empty --task regression": (nnx.ConfigurationError, ["classification or autoencoding"]),
}  # fmt: skip


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_named_and_leaves_nothing(line):
    import shlex

    kind, parts = MISTAKES[line]
    iris()
    np.save("x.npy", np.random.default_rng(0).normal(size=(6, 2)))
    np.save("y.npy", np.arange(5))
    np.save("one.npy", np.ones(6, int))
    np.save("nan.npy", np.array([[1.0, 2.0], [3.0, np.nan]] * 5))
    Path("empty").mkdir()
    before = visible(Path.cwd())
    with pytest.raises(kind) as caught:
        invoke(*shlex.split(line), "-q")
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)
    assert [name for name in visible(Path.cwd()) if name != "runs"] == before


def test_a_killed_run_resumes_and_ends_with_the_same_bytes(tmp_path):
    options = (
        "train",
        iris(),
        "--target",
        "species",
        "--epochs",
        "400",
        "--patience",
        "390",
        "--device",
        "numpy",
    )
    trained(*options[1:], out="whole")
    stopped = (*options, "--out", "run", "--checkpoint-every", "7")
    process = subprocess.Popen(
        [*COMMAND, *stopped], cwd=tmp_path, env=environment(tmp_path), stderr=subprocess.PIPE, text=True
    )
    assert any("epoch 40/" in line for line in process.stderr)
    process.kill()
    process.communicate()
    assert not Path("run/result.json").exists()
    result = json.loads(invoke(*stopped, "--resume", "-q", "--json").stdout)
    assert result["metrics"]["accuracy"] > 0.6
    for name in ("model.safetensors", "history.csv"):
        assert Path("run", name).read_bytes() == Path("whole", name).read_bytes()


TRAINED = OLD / "train-0.1.safetensors"


def test_a_run_of_version_0_1_is_resumed_if_newer_options_have_their_defaults(tmp_path):
    """Taken after two of three epochs of this very training; sums of these numbers are exact in any order."""
    Path("t.csv").write_text("a,b,y\n" + "".join(f"{k % 7},{k % 5},{k % 7 + k % 5}.5\n" for k in range(40)))
    line = ["train", "t.csv", "--target", "y", "--task", "regression", "--epochs", 3, "--batch-size", 8,
            "--layers", "2 tanh", "--scale", "none", "--device", "numpy", "--out", "run", "--resume",
            "-q"]  # fmt: skip
    kept = Path("run", "checkpoints")
    kept.mkdir(parents=True)
    shutil.copy(TRAINED, kept / "fit-1-step-8.safetensors")
    for option, value, words in (
        ("--missing", "mean", 'missing "error", not "mean"'),
        ("--categories", "onehot", 'categories "error", not "onehot"'),
        ("--header", "yes", 'header "auto", not "yes"'),
        ("--decimal", ".", 'decimal null, not "."'),
        ("--background", "black", 'background "white", not "black"'),
        ("--scale", "standard", 'scale "none", not "standard"'),
    ):
        with pytest.raises(nnx.ConfigurationError, match=f"fit-1-step-8.* is from a run with {words}"):
            invoke(*line, option, value)
    result = json.loads(invoke(*line, "--json").stdout)
    assert result["timing"]["steps"] == 12
    with Path("run", "history.csv").open() as file:
        first = float(next(iter(csv.DictReader(file)))["loss"])
    _, arrays, _ = model_files.read_training(TRAINED)
    assert first == arrays["history.loss"][0]
