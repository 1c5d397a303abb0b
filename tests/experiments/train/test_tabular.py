"""``nnx train --preset tabular``: tables with columns of any kind, from the file to the prediction."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from support.command_line import invoke
from support.own_files import table
from support.own_models import here, trained  # noqa: F401

import nnx
from nnx.experiments.result import Result
from nnx.experiments.train import tabular
from nnx.experiments.train.config import Config
from nnx.experiments.train.declared import tables
from nnx.experiments.train.experiment import run
from nnx.experiments.train.preparation import Preparation

pytestmark = pytest.mark.usefixtures("on_cpu")
PRICE = ("--target", "price", "--ignore", "dear")
QUICK = ("--preset", "tabular", "--epochs", 6, "--batch-size", 32)


def houses(path="houses.csv", rows=120, seed=0):
    """Prices that depend on a number with gaps, a category, a boolean and a date."""
    rng = np.random.default_rng(seed)
    with Path(path).open("w", newline="") as file:
        out = csv.writer(file, delimiter=";")
        file.write("Houses\n")
        out.writerow(["nr", "size", "town", "built", "garden", "zip", "weight", "price", "dear"])
        for at in range(rows):
            size, town = rng.normal(100.0, 20.0), rng.choice(["Bonn", "Ulm", "Kiel"])
            year, garden = rng.integers(1950, 2020), rng.random() < 0.5
            price = size * (2.0 if town == "Bonn" else 1.0) + 40.0 * garden + (year - 1950)
            cells = ["" if rng.random() < 0.1 else f"{size:.1f}", town, f"{at % 28 + 1}/{at % 12 + 1}/{year}"]
            cells += [str(garden).upper(), ("007", "008")[at % 2], str(at % 3), f"{price:.1f}"]
            row = [at + 1, *(cell.replace(".", ",") for cell in cells), "yes" if price > 190.0 else "no"]
            out.writerow(row)
    return path


def test_classes_from_the_table_to_the_prediction():
    found = trained(houses(), "--target", "dear", "--ignore", "price", "--kinds", "zip=category", *QUICK)
    metrics = found["metrics"]
    assert metrics["accuracy"] > metrics["majority_accuracy"]
    assert metrics["columns"][0][:3] == ["size", "number", "guessed"]
    assert ["zip", "category", "given", "007, 008"] in metrics["columns"]
    assert [row[1] for row in metrics["columns"]] == [
        "number", "category", "date", "boolean", "category", "number",
    ]  # fmt: skip
    invoke("predict", "run", "houses.csv", "--id", "nr", "--probabilities", "--out", "p.csv")
    head, *rows = table("p.csv")
    assert head == ["nr", "dear", "no", "yes"]
    assert [row[0] for row in rows] == [str(at + 1) for at in range(120)]
    np.testing.assert_allclose(np.array(rows)[:, 2:].astype(float).sum(axis=1), 1.0, rtol=1e-5)


def test_the_columns_are_shown():
    metrics = result(target="dear", ignore="price", epochs=1).metrics
    shown = tables(Result("train", "classification", "", "", "", "", 0, metrics))
    columns = next(each for each in shown if "columns" in each.title)
    assert columns.title == "6 columns"
    assert columns.rows[1] == ("town", "category", "guessed", "Bonn, Kiel, Ulm")


def test_values_are_predicted_in_their_own_unit_whatever_the_columns_order():
    metrics = trained(houses(), *PRICE, *QUICK[:2], "--epochs", 30)["metrics"]
    assert metrics["r2"] > 0.6
    invoke("predict", "run", "houses.csv", "--out", "p.npy")
    rows = list(csv.reader(Path("houses.csv").read_text().splitlines()[1:], delimiter=";"))
    with Path("turned.csv").open("w", newline="") as file:
        csv.writer(file, delimiter=";").writerows([*reversed(row), "x"] for row in rows)
    invoke("predict", "run", "turned.csv", "--out", "q.npy")
    np.testing.assert_array_equal(np.load("p.npy"), np.load("q.npy"))
    assert 100.0 < np.load("p.npy").mean() < 300.0
    text = Path("houses.csv").read_text()
    Path("new.csv").write_text(text.replace("Bonn", "Rom", 1))
    assert "(first 'Rom'), read as unknown" in invoke("predict", "run", "new.csv").stderr
    Path("bad.csv").write_text(text.replace("Ulm;", "Ulm;soon", 1))
    with pytest.raises(nnx.DataError, match=r"bad\.csv: line \d+, column built: 'soon.*not a date \(dmy\)"):
        invoke("predict", "run", "bad.csv")
    Path("less.csv").write_text(text.replace("town", "city", 1))
    with pytest.raises(nnx.ConfigurationError, match=r"less\.csv: has no column 'town'"):
        invoke("predict", "run", "less.csv")
    with pytest.raises(nnx.ConfigurationError, match="--preset tabular: other programs cannot"):
        invoke("export", "run", "--out", "m.onnx")
    assert not Path("m.onnx").exists()


def result(path=None, **options):
    """The result of a quick training, without files."""
    return run(Config.of(path or houses(), {"preset": "tabular", "epochs": 6, "batch_size": 32} | options))


def test_weights_of_rows_and_classes_count():
    given = {"target": "dear", "ignore": "price"}
    found = result(**given, weights="weight", class_weight="balanced").metrics
    assert "weight" not in [row[0] for row in found["columns"]]
    counted = sum(each["rows"] for each in found["by_class"].values())
    assert counted != found["validation_rows"]  # the weights of the rows held out
    plain = result(target="dear", ignore="price,weight").metrics
    assert plain["validation_loss"] != found["validation_loss"]


def test_the_same_training_gives_the_same_bytes():
    one, other = (result(target="price", ignore="dear") for _ in range(2))
    for name, value in one.network.weights().items():
        assert value.tobytes() == other.network.weights()[name].tobytes(), name
    assert one.description == other.description


class Interrupt(nnx.Callback):
    def on_epoch_end(self, run):
        if run.epoch == 2:
            raise KeyboardInterrupt


def test_a_stopped_training_resumes_to_the_same_model():
    given = {"preset": "tabular", "target": "price", "ignore": "dear", "epochs": 4}
    config = Config.of(houses(), given)
    whole = run(config).network
    with pytest.raises(KeyboardInterrupt):
        run(config, [Interrupt()], checkpoint=nnx.Checkpoint("kept", every=1))
    again = run(config, checkpoint=nnx.Checkpoint("kept", resume=True)).network
    for name, value in whole.weights().items():
        np.testing.assert_array_equal(again.weights()[name], value)


def test_the_number_of_epochs_fits_the_rows_unless_it_is_given():
    auto = Config.of("t.csv", {"preset": "tabular"})
    assert auto.epochs == 0
    assert tabular.settled(auto, 100_000).epochs < tabular.settled(auto, 1000).epochs
    given = Config.of("t.csv", {"preset": "tabular", "epochs": 7})
    assert tabular.settled(given, 1000).epochs == 7
    assert Config.of("t.csv", {}).epochs == 50


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--layers", "8"), "does not take --layers"),
        (("--optimizer", "sgd"), "does not take --optimizer"),
        (("--scale", "minmax"), "does not take --scale"),
        (("--missing", "mean"), "leave out --missing mean"),
        (("--loss", "binary_cross_entropy"), "does not take the loss binary_cross_entropy"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, text):
    with pytest.raises(nnx.ConfigurationError, match=text):
        invoke("train", houses(), "--target", "dear", *QUICK, *options)


def test_kinds_without_the_preset_are_refused():
    with pytest.raises(nnx.ConfigurationError, match="--kinds is for --preset tabular"):
        invoke("train", houses(), "--target", "dear", "--kinds", "zip=category")


def test_a_damaged_record_of_columns_is_refused():
    found = result(target="price", ignore="dear", epochs=1)
    kept = json.loads(json.dumps(found.description["preparation"]))
    shapes = found.network.input_shape, found.network.output_shape
    assert Preparation.from_metadata(kept, *shapes).layout.table == kept["layout"]["table"]
    for damage in (
        lambda layout: layout["table"]["columns"].pop(),
        lambda layout: layout["table"].update(version=2),
        lambda layout: layout.update(features=3),
        lambda layout: layout["chosen"].pop(),
        lambda layout: layout.update(width=1),
    ):
        wrong = json.loads(json.dumps(kept))
        damage(wrong["layout"])
        with pytest.raises(nnx.FileFormatError, match="damaged"):
            Preparation.from_metadata(wrong, *shapes)
