"""``nnx train`` and ``nnx predict`` on the user's own data: read right, split fairly, scaled alike, named."""

from __future__ import annotations

import csv
import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.command_line import COMMAND, command, environment, invoke, visible
from support.places import OLD

import nnx
from nnx import model_files
from nnx.cli.main import cli
from nnx.datasets import load_digits
from nnx.experiments.result import model_path
from nnx.experiments.train import experiment as own_data
from nnx.experiments.train.config import RULES, Config, defaults, read_toml
from nnx.experiments.train.labelled import load_inputs, load_labelled
from nnx.experiments.train.preparation import Preparation
from nnx.experiments.train.scaling import ScaledRows, Scaling

pytestmark = pytest.mark.usefixtures("on_cpu")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def iris(header=True, name="iris.csv"):
    """The flowers of scikit-learn as a table: four measures, a number of no meaning, the species."""
    from sklearn.datasets import load_iris

    bunch = load_iris()
    with Path(name).open("w", newline="") as file:
        writer = csv.writer(file)
        if header:
            writer.writerow(["sepal length", "sepal width", "petal length", "petal width", "id", "species"])
        for number, (row, label) in enumerate(zip(bunch.data, bunch.target, strict=True)):
            writer.writerow([*row, number, bunch.target_names[label]])
    return name


def houses(rows=200):
    """Two targets of very different size, linear in features of very different size."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 3)) * [1e-3, 1.0, 1e6] + [5.0, 0.0, 1e9]
    y = np.stack([x[:, 2] * 2e-3 + 1e5, (x[:, 0] - 5.0) * 3.0], axis=1)
    return x, y


def digit_images(folder="digits", count=120, by_class=True, size=8):
    data = load_digits()
    for index in range(count):
        place = Path(folder, f"digit {data.y_train[index]}") if by_class else Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        image = (data.x_train[index].reshape(8, 8) * 255).astype(np.uint8)
        Image.fromarray(image).resize((size, size)).save(place / f"{index:03}.png")
    return folder


def trained(*arguments, out="run"):
    done = invoke("train", *arguments, "--out", out, "-q", "--json")
    return json.loads(done.stdout)


def table(path):
    with Path(path).open(newline="") as file:
        return list(csv.reader(file))


# --------------------------------------------------------------------------------------------- the tasks


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


def test_columns_are_found_by_name_whatever_their_order():
    trained(iris(), "--target", "species", "--ignore", "id", "--epochs", 2)
    rows = table("iris.csv")
    with Path("turned.csv").open("w", newline="") as file:
        csv.writer(file).writerows([[row[3], row[1], row[0], row[2]] for row in rows])
    for source in ("iris.csv", "turned.csv"):
        invoke("predict", "run", source, "--probabilities", "--out", f"of-{source}")
    assert table("of-iris.csv") == table("of-turned.csv")
    Path("lacking.csv").write_text("sepal length,sepal width\n1,2\n")
    with pytest.raises(nnx.ConfigurationError, match=r"lacking\.csv: has no column 'petal length'"):
        invoke("predict", "run", "lacking.csv", "--out", "no.csv")


def test_a_table_without_names_is_taken_by_place():
    iris(header=False)
    trained("iris.csv", "--target", "-1", "--ignore", "5", "--epochs", 2)
    with Path("features.csv").open("w", newline="") as file:
        csv.writer(file).writerows(row[:4] for row in table("iris.csv"))
    for source in ("iris.csv", "features.csv"):
        invoke("predict", "run", source, "--out", f"of-{source}")
    assert table("of-iris.csv") == table("of-features.csv")


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


def test_an_archive_of_labels_and_an_array_with_a_file_of_them_are_the_same():
    data = load_digits()
    images = (data.x_train.reshape(-1, 8, 8) * 255).astype(np.uint8)[:400]
    names = np.array([f"n{label}" for label in data.y_train[:400]])
    np.savez("d.npz", x=images, y=names)
    np.save("x.npy", images)
    np.save("y.npy", names)
    first = trained("d.npz", "--epochs", 5, out="one")
    second = trained("x.npy", "--target", "y.npy", "--epochs", 5, out="two")
    assert first["metrics"] == second["metrics"]
    assert first["metrics"]["classes"] == [f"n{label}" for label in range(10)]
    assert first["metrics"]["accuracy"] > 0.6


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


def test_a_folder_of_classes_is_learnt_and_each_image_named():
    digit_images(size=9)
    Image.new("RGB", (5, 7), "red").save("digits/digit 0/other.jpg")
    with pytest.raises(nnx.DataError, match="--image-size 9x9"):
        trained("digits")
    assert not Path("run").exists()
    result = trained("digits", "--image-size", "8x8", "--epochs", 80, "--layers", "32 relu")
    assert result["metrics"]["features"] == 192  # one image has colours, so all have
    assert result["metrics"]["accuracy"] > 0.5
    invoke("predict", "run", "digits", "--out", "all.csv")
    rows = table("all.csv")
    assert rows[0] == ["file", "class"]
    assert len(rows) == 122
    assert [row[0] for row in rows if row[0].endswith(".jpg")] == ["digits/digit 0/other.jpg"]
    right = [row[1] == Path(row[0]).parent.name for row in rows[1:]]
    assert np.mean(right) > 0.7
    invoke("predict", "run", "digits/digit 0/other.jpg", "--out", "one.csv")
    assert table("one.csv")[1][0] == "digits/digit 0/other.jpg"


def test_colours_are_kept_where_the_first_image_has_them():
    Path("flat").mkdir()
    for index, colour in enumerate(("red", "lime", "blue") * 4):
        Image.new("RGB", (2, 3), colour).save(f"flat/{index:02}.png")
    data = load_labelled("flat")
    assert data.layout.image == (3, 2, 3)
    assert data.x.shape == (12, 3, 2, 3)
    np.testing.assert_array_equal(data.x[0].reshape(-1), [255, 0, 0] * 6)
    np.testing.assert_array_equal(data.x[1].reshape(-1), [0, 255, 0] * 6)


# --------------------------------------------------------------------------------- the split, the scaling


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_the_split_holds_out_the_same_share_of_each_class(share):
    labels = np.repeat([0, 1, 2], [100, 40, 1])
    data = own_data.Labelled("x", "classification", labels[:, None], labels, ("a", "b", "c"), (), None)
    train, held_out = own_data.split(data, share, seed=3)
    assert sorted([*train, *held_out]) == list(range(141))
    counts = np.bincount(labels[held_out], minlength=3)
    assert counts[0] == pytest.approx(100 * share, abs=1)
    assert counts[1] == pytest.approx(40 * share, abs=1)
    assert 2 in labels[train]
    again, _ = own_data.split(data, share, seed=3)
    other, _ = own_data.split(data, share, seed=4)
    np.testing.assert_array_equal(train, again)
    assert not np.array_equal(train, other)


def test_the_scaling_is_fitted_on_the_rows_to_train_on_alone(monkeypatch):
    monkeypatch.setattr("nnx.experiments.train.scaling._BLOCK", 64)  # several blocks
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 5)) * [1, 10, 1e-4, 1e6, 0] + [0, 5, 1, 1e9, 7]
    rows = np.arange(0, 1000, 2)
    x[1::2] = 1e12
    scaling = Scaling.fitted("standard", x, rows)
    np.testing.assert_allclose(scaling.shift, x[rows].mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(scaling.scale[:4], x[rows].std(axis=0)[:4], rtol=1e-9)
    z = scaling.apply(x[rows], "float32")
    np.testing.assert_allclose(z.mean(axis=0), 0.0, atol=1e-6)
    np.testing.assert_allclose(z.std(axis=0), [1, 1, 1, 1, 0], atol=1e-5)
    np.testing.assert_allclose(scaling.undo(z), x[rows], rtol=1e-6, atol=1e-6)
    z = Scaling.fitted("minmax", x, rows).apply(x[rows], "float64")
    assert (z.min(), z.max()) == (0.0, 1.0)


@pytest.mark.parametrize("task", ["classification", "autoencoding"])
def test_a_large_file_is_mapped_and_gives_what_memory_gives(monkeypatch, task):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(300, 6)) * [1, 5, 1e3, 1, 1, 1] + 7).astype(np.float32)
    np.save("x.npy", x)
    np.save("y.npy", (x[:, 0] > 7).astype(int))
    target = ("y.npy",) if task == "classification" else ()
    config = Config("x.npy", target=target, layers=("8 tanh", "3"), epochs=4, scale="standard")
    in_memory = own_data.run(config)
    monkeypatch.setattr("nnx.experiments.train.scaling.READ_WHOLE", 1)
    monkeypatch.setattr("nnx.data.samples.READ_WHOLE", 1)
    monkeypatch.setattr("nnx.experiments.train.scaling._BLOCK", 60)
    made = []
    monkeypatch.setattr(
        "nnx.experiments.train.scaling.ScaledRows.bring",
        lambda rows, *given, bring=ScaledRows.bring: made.append(len(rows)) or bring(rows, *given),
    )
    for streamed in (False, True):
        monkeypatch.setattr("nnx.backends.base.Backend.holds", lambda *_, streamed=streamed: not streamed)
        mapped = own_data.run(config)
        assert set(made) == {240}
        assert mapped.history["loss"] == pytest.approx(in_memory.history["loss"], rel=1e-4)
        assert mapped.history["val_loss"] == pytest.approx(in_memory.history["val_loss"], rel=1e-4)
        name = "accuracy" if task == "classification" else "mse"
        assert mapped.metrics[name] == pytest.approx(in_memory.metrics[name], rel=1e-4)


@pytest.mark.parametrize("value", [0.1, 1234567.891])
def test_a_column_that_is_constant_is_only_shifted_whatever_rounding_makes_of_it(value):
    x = np.full((1000, 2), value)
    x[:, 1] += np.linspace(0.0, 1e-3, 1000)
    scaling = Scaling.fitted("standard", x)
    assert scaling.scale[0] == 1.0
    np.testing.assert_allclose(scaling.shift[0], value, rtol=1e-12)
    np.testing.assert_allclose(scaling.scale[1], x[:, 1].std(), rtol=1e-6)


@pytest.mark.parametrize("kind", ["standard", "minmax"])
@pytest.mark.parametrize("values", [(0.1 + 0.2, 0.3), (-0.7, -0.1 * 7), (1e20 * 1.1, 1.1e20)])
def test_a_column_that_differs_by_rounding_alone_is_only_shifted(kind, values):
    assert values[0] != values[1]
    x = np.resize(values, (1000, 1))
    scaling = Scaling.fitted(kind, x)
    assert scaling.scale.tolist() == [1.0]
    assert abs(scaling.apply(np.float32(x), "float64")).max() <= np.spacing(np.float32(abs(values[0])))
    apart = np.resize([values[0], values[0] * (1.0 + 1e-13)], (1000, 1))
    assert Scaling.fitted(kind, apart).scale < 1.1e-13 * abs(values[0])


def test_a_number_of_a_column_is_no_name_that_stands_in_the_data():
    Path("signs.csv").write_text("-1,1,2,1\n1,1,3,-1\n-1,-1,4,1\n")
    data = load_labelled("signs.csv", "classification", ["-1"])
    np.testing.assert_array_equal(data.x, [[-1, 1, 2], [1, 1, 3], [-1, -1, 4]])
    assert (data.classes, data.y.tolist()) == (("-1", "1"), [1, 0, 1])
    Path("values.csv").write_text("3,1,2\n6,5,4\n")
    data = load_labelled("values.csv", "regression", ["3"])
    np.testing.assert_array_equal(data.y, [[2], [4]])
    Path("pandas.csv").write_text("0,1,2\n6.0,5.0,4.0\n9.0,8.0,7.0\n")  # DataFrame.to_csv, without names
    data = load_labelled("pandas.csv", "regression", ["2"])
    np.testing.assert_array_equal(data.y, [[4], [7]])
    assert data.targets == ("2",)


def test_columns_of_one_name_are_told_apart():
    Path("twice.csv").write_text("a,a,kind\n1,2,x\n3,4,y\n")
    data = load_labelled("twice.csv", "classification", ["kind"])
    x, _ = load_inputs("twice.csv", data.layout)
    np.testing.assert_array_equal(x, data.x)
    Path("values.csv").write_text("a,t,t\n" + "".join(f"{i},{i},{2 * i}\n" for i in range(30)))
    metrics = trained("values.csv", "--task", "regression", "--target", "2,3", "--epochs", 1)["metrics"]
    assert list(metrics["by_target"]) == ["t", "t.1"]


@pytest.mark.parametrize(
    ("target", "ignore", "words"),
    [(["t", "-1"], [], "target names a column twice"), (["t"], ["2"], "by target and by ignore")],
)
def test_a_target_is_named_once(target, ignore, words):
    Path("once.csv").write_text("a,t\n1,2\n3,4\n")
    with pytest.raises(nnx.ConfigurationError, match=words):
        load_labelled("once.csv", "regression", target, ignore)


def test_the_model_keeps_what_it_needs_and_nothing_else():
    trained(iris(), "--target", "species", "--ignore", "id", "--epochs", 1, "--seed", 5)
    path = model_path(Path("run"))
    network = nnx.load(path)
    kept = Preparation.of_model(path, nnx.checkpoints.read_metadata(path), network)
    data = load_labelled("iris.csv", target=["species"], ignore=["id"])
    train, _ = own_data.split(data, 0.2, 5)
    np.testing.assert_allclose(kept.inputs.shift, data.x[train].mean(axis=0), rtol=1e-14)
    assert kept.layout == data.layout
    assert kept.classes == ("setosa", "versicolor", "virginica")


def test_bytes_and_numbers_are_not_confused():
    images = (load_digits().x_train[:50] * 255).astype(np.uint8)
    np.save("bytes.npy", images)
    np.save("floats.npy", images / 255)
    trained("bytes.npy", "--epochs", 1, "--layers", "4")
    with pytest.raises(nnx.DataError, match=r"float64.* bytes"):
        invoke("predict", "run", "floats.npy", "--out", "y.npy")


def test_values_that_are_not_finite_are_not_predicted():
    np.savez("d.npz", x=np.arange(40.0).reshape(20, 2), y=np.arange(20) % 2)
    trained("d.npz", "--epochs", 1)
    np.save("nan.npy", np.array([[1.0, 2.0], [np.nan, 2.0]]))
    with pytest.raises(nnx.DataError, match=r"NaN or infinite.* row 1"):
        invoke("predict", "run", "nan.npy", "--out", "y.csv")
    assert not Path("y.csv").exists()


def test_two_runs_give_the_same_bytes():
    for out in ("one", "two"):
        trained(iris(), "--target", "species", "--epochs", 3, out=out)
    for name in ("model.safetensors", "history.csv"):
        assert Path("one", name).read_bytes() == Path("two", name).read_bytes()


# ------------------------------------------------------------------------------------- the configuration


def test_a_file_gives_the_options_and_options_override_it():
    Path("run.toml").write_text(
        'target = ["species"]\nignore = "id"\nlayers = ["16 tanh", "dropout 0.1", "8 relu"]\nepochs = 3\n'
        'optimizer = "sgd"\nlearning_rate = 0.1\nmomentum = 0.9\nschedule = "cosine"\nscale = "minmax"\n'
        'loss = "cross_entropy"\nbatch_size = 16\npatience = 2\nvalidation = 0.3\nseed = 4\n'
        'dtype = "float64"\ndevice = "numpy"\nclip_norm = 1\nweight_decay = 0.001\n'
    )
    config = Config.of("iris.csv", {"epochs": 2}, "run.toml")
    assert (config.epochs, config.batch_size, config.layers) == (2, 16, ("16 tanh", "dropout 0.1", "8 relu"))
    result = trained(iris(), "--config", "run.toml", "--epochs", 2, "--seed", 6)
    kept = result["config"]
    assert (kept["epochs"], kept["seed"], kept["optimizer"]) == (2, 6, "sgd")
    assert (result["dtype"], result["backend"], result["seed"]) == ("float64", "numpy", 6)
    assert result["metrics"]["validation_rows"] == 45
    assert nnx.load("run/model.safetensors").config()["layers"][0]["config"]["units"] == 16


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


def test_every_option_is_a_key_and_every_key_an_option():
    offered = {option.name: option for option in cli.commands["train"].params}
    assert set(RULES) <= set(offered)
    assert set(defaults()) == set(RULES)
    page = (Path(nnx.__file__).parents[1] / "docs" / "own-data.md").read_text(encoding="utf-8")
    for name in RULES:
        assert f"| `{name}` |" in page


WRONG_FILES = {
    "an unknown key": ("epoch = 3", ["run.toml", "'epoch'", "did you mean 'epochs'?"]),
    "a key with a dash": ("batch-size = 3", ["'batch-size'", "did you mean 'batch_size'?"]),
    "a table": ("[optimizer]\nname = 'adam'", ["optimizer", "must be one of adam, adamw"]),
    "an unknown name": ("optimizer = 'adm'", ["'adm'", "did you mean 'adam'?"]),
    "a text for a number": ("epochs = '3'", ["epochs", "a whole number of at least 1", "'3'"]),
    "a fraction for a whole number": ("epochs = 2.5", ["a whole number of at least 1", "2.5"]),
    "truth for a number": ("epochs = true", ["a whole number", "True"]),
    "out of range": ("validation = 1.0", ["validation", "above 0 and below 1", "not 1"]),
    "not a number": ("learning_rate = nan", ["learning_rate", "a number above 0", "nan"]),
    "infinite": ("learning_rate = inf", ["a number above 0", "inf"]),
    "numbers for texts": ("layers = [64, 32]", ["layers", "a list of texts", "[64, 32]"]),
    "a size of one side": ("image_size = '28'", ["image_size", "28x28", "'28'"]),
    "no TOML": ("epochs 3", ["run.toml: is no TOML file", "line 1"]),
    "no text": (b"\xff\xfe", ["run.toml: is no TOML file"]),
    "a nest": ("a = " + "[" * 5000, ["run.toml: is no TOML file"]),
    "a very long number": ("a = " + "9" * 5000, ["run.toml: is no TOML file"]),
    "a very long file": ("#" * 2**15, ["more than the 8,192 bytes"]),
}


@pytest.mark.parametrize("what", WRONG_FILES)
def test_a_file_that_says_something_else_is_refused(what):
    text, parts = WRONG_FILES[what]
    Path("run.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(nnx.ConfigurationError) as caught:
        read_toml("run.toml")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    for part in parts:
        assert part in str(caught.value)


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
    "train nan.npy": (nnx.DataError, ["number 2 of a row", "not finite"]),
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


def test_the_command_in_a_separate_process(tmp_path):
    iris()
    done = command(tmp_path, "train", "iris.csv", "--target", "species", "--epochs", 2, "--out", "run")
    assert done.returncode == 0, done.stderr
    assert "accuracy of the commonest class" in done.stdout
    assert "epoch 2/2" in done.stderr
    done = command(tmp_path, "train", "iris.csv", "--target", "species", "--out", "run")
    assert (done.returncode, done.stdout) == (1, "")
    assert "already holds a result" in done.stderr
    done = command(tmp_path, "train", "iris.csv", "--target", "specie")
    assert done.returncode == 2
    assert done.stderr == "nnx: iris.csv: has no column 'specie': did you mean 'species'?\n"


@pytest.mark.parametrize(
    ("old", "name"), [("own_data", "run"), ("own_config", "Config"), ("applying", "Model")]
)
def test_the_old_names_of_the_modules_work_with_a_warning(old, name):
    from nnx.experiments import train

    sys.modules.pop(f"nnx.experiments.{old}", None)
    with pytest.warns(DeprecationWarning, match=f"nnx.experiments.{old} is now nnx.experiments.train"):
        module = importlib.import_module(f"nnx.experiments.{old}")
    assert getattr(module, name) is getattr(train, name)
