"""The errors for a beginner's mistakes: what is wrong, where, and what to write instead."""

import numpy as np
import pytest

import nnx
from nnx.callbacks import EarlyStopping
from nnx.cli.main import cli


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def invoke(*arguments):
    return cli.main([str(argument) for argument in arguments], standalone_mode=False)


def flowers(path, cells=None):
    """A table of 150 flowers; `cells` replaces the first cell of some lines."""
    rng = np.random.default_rng(0)
    lines = ["sepal length,width,species"]
    for row in range(150):
        kind = row % 3
        lines.append(f"{kind + rng.random():.2f},{rng.random():.2f},{'abc'[kind]}")
    for line, cell in (cells or {}).items():
        lines[line - 1] = cell + "," + lines[line - 1].split(",", 1)[1]
    path.write_text("\n".join(lines) + "\n")
    return path.name


def told(*arguments, error=nnx.ConfigurationError):
    with pytest.raises(error) as caught:
        invoke(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("categories", ["error", "onehot"])
def test_a_mistyped_cell_is_named_with_the_ways_out(tmp_path, categories):
    name = flowers(tmp_path / "f.csv", {11: "five"})
    said = told("train", name, "--target", "species", "--categories", categories, error=nnx.DataError)
    assert said == (
        "f.csv: line 11, column 1 (sepal length): 'five' is not a number, the other 149 cells are: correct "
        'it, or empty it and add --missing drop, or leave the column out with --ignore "sepal length"'
    )


def test_several_mistyped_cells_are_counted_and_the_target_of_a_regression_is_looked_at_too(tmp_path):
    name = flowers(tmp_path / "f.csv", {11: "five", 13: "six"})
    said = told("train", name, "--target", "species", error=nnx.DataError)
    assert "'five' is not a number, nor is 1 more cell, the other 148 cells are: correct them" in said
    given = ("--target", "1", "--task", "regression", "--ignore", "species")
    assert "'five' is not a number" in told("train", name, *given, error=nnx.DataError)


def test_without_a_target_texts_and_an_autoencoder_are_explained(tmp_path, capsys):
    name = flowers(tmp_path / "f.csv")
    said = told("train", name, error=nnx.DataError)
    assert said.startswith(
        "no --target is given, so this would be an autoencoder; to learn a column, name it, for example "
        "--target species. f.csv: line 2, column 3 (species): 'a' is not a number: "
    )
    invoke("train", name, "--ignore", "species", "--epochs", "1", "--out", "run")
    assert "note: f.csv: no --target is given, so this is an autoencoder" in capsys.readouterr().err
    invoke("train", name, "--ignore", "species", "--task", "autoencoding", "--epochs", "1", "--out", "asked")
    assert "no --target" not in capsys.readouterr().err


def test_a_finished_run_is_not_the_answer_to_other_options(tmp_path, capsys):
    name = flowers(tmp_path / "f.csv")
    usual = ("train", name, "--target", "species", "--batch-size", "500", "--out", "run")
    invoke(*usual, "--epochs", "1")
    said = told(*usual, "--epochs", "2", "--layers", "8 tanh", "--resume")
    assert "--epochs 2 (the run has 1)" in said
    assert "--layers 8 tanh (the run has 64 relu,32 relu)" in said
    assert "--target" not in said
    assert "--batch-size" not in said
    (tmp_path / "other.toml").write_text("seed = 3\n")
    assert "--seed 3 (the run has 0)" in told(*usual, "--config", "other.toml", "--resume")
    capsys.readouterr()
    invoke(*usual, "--resume")
    assert "note: the run in run is finished" in capsys.readouterr().err
    assert told("train", "run") == "run is the folder of a run: name the file or folder of the data"


def test_early_stopping_says_that_it_needs_validation_data():
    network = nnx.Network([nnx.Dense(2, 1)], seed=0)
    x = np.ones((8, 2), np.float32)
    how = {"loss": nnx.MeanSquaredError(), "optimizer": nnx.SGD(0.1), "epochs": 2, "batch_size": 4}
    with pytest.raises(nnx.ConfigurationError) as caught:
        network.fit(x, x[:, 0], callbacks=[EarlyStopping()], **how)
    assert str(caught.value) == (
        'EarlyStopping: val_loss needs validation data: set validation=0.2 in fit, or monitor="loss"'
    )
    network.fit(x, x[:, 0], callbacks=[EarlyStopping(monitor="loss")], **how)


def test_dense_takes_its_units_by_name():
    network = nnx.Network([nnx.Dense(units=10), nnx.ReLU(), nnx.Dense(inputs=10, units=3)], seed=0)
    network.build(4)
    assert (network.inputs, network.outputs) == (4, 3)
    with pytest.raises(nnx.ConfigurationError, match="Dense: units must be a positive integer"):
        nnx.Dense()


def test_a_table_with_other_columns_is_answered_with_both_lists(tmp_path, capsys):
    name = flowers(tmp_path / "f.csv")
    invoke("train", name, "--target", "species", "--missing", "mean", "--epochs", "1", "--out", "run")
    (tmp_path / "other.csv").write_text("width,colour\n1,2\n")
    said = told("predict", "run", "other.csv")
    assert said == "other.csv: has no column 'sepal length'; it has 'width', 'colour'"
    (tmp_path / "near.csv").write_text("sepal_length,width\n1,2\n")
    assert told("predict", "run", "near.csv").endswith(": did you mean 'sepal_length'?")
    (tmp_path / "many.csv").write_text("colour,weight,size\n1,2,3\n")
    said = told("predict", "run", "many.csv")
    assert "has no column 'sepal length', 'width' of those the network was trained on" in said
    assert "it has 'colour', 'weight', 'size'" in said
    assert "did you mean" not in said
    capsys.readouterr()
    (tmp_path / "gap.csv").write_text("sepal length,width\n,2\n1,2\n")
    invoke("predict", "run", "gap.csv", "--out", "p.csv")
    assert capsys.readouterr().err.splitlines() == [
        "note: gap.csv: 1 of 2 rows had empty cells: each cell got the number that the model has for its "
        "column",
        "p.csv: 2 answers",
    ]
    assert "is a table, not a model" in told("predict", "f.csv", "gap.csv", error=nnx.NnxError)


def test_layers_without_a_list_and_a_rate_below_zero():
    with pytest.raises(nnx.ConfigurationError, match=r"nnx\.Network takes one list of layers: nnx\.N"):
        nnx.Network(nnx.Dense(2, 2), nnx.Softmax())
    with pytest.raises(nnx.ConfigurationError, match=r"^Adam: the learning rate"):
        nnx.Adam(-1)
