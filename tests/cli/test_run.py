"""``nnx run`` in real processes: what it prints, the files in its folder, its exit status."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest
from support.command_line import KEYS, TIMING, command, visible, without_note_on_a_busy_machine

from nnx.backends import resolve


def test_json_is_one_object_with_the_named_keys(trained):
    folder, done = trained
    result = json.loads(done.stdout)
    assert result.keys() >= KEYS
    assert result["timing"].keys() >= TIMING
    assert (result["experiment"], result["preset"], result["dtype"], result["seed"]) == (
        "autoencoder", "shallow", "float32", 0)  # fmt: skip
    assert (result["device"], result["backend"]) == ("cpu", resolve("cpu").name)
    assert result["config"]["tf32"] is False
    assert set(result["metrics"]) == {"test_mse", "test_mse_per_image", "test_bce", "pca_test_mse"}
    timing = result["timing"]
    assert timing["steps"] == 40 * 45
    assert timing["microseconds_per_step"] > 0
    parts = timing["import_seconds"] + timing["data_seconds"] + timing["train_seconds"]
    assert 0 < parts < timing["total_seconds"]
    assert result == json.loads((folder / "result.json").read_text())


def test_a_missing_mnist_is_replaced_and_said(trained):
    _, done = trained
    result = json.loads(done.stdout)
    assert result["dataset"] == "digits"
    assert "8×8 digits instead of MNIST" in result["notes"][0]
    lines = done.stderr.splitlines()
    others = [line for line in lines if "  elapsed " in line]
    (first,) = set(lines) - set(others)
    assert first.startswith("note: ")
    assert "8×8 digits instead of MNIST" in first
    times = r"  elapsed \d:\d\d(  remaining \d:\d\d)?"
    ends = [line for line in others if "loss" in line]
    assert all(re.fullmatch(rf"epoch \d+/40{times}  loss \S+  val_loss \S+", line) for line in ends)
    assert len(ends) == 20
    assert all(re.match(rf".+{times}", line) for line in others)  # what took longer than usual here


def test_the_folder_holds_what_the_result_names(trained):
    folder, _ = trained
    result = json.loads((folder / "result.json").read_text())
    files = [name for name in visible(folder) if (folder / name).is_file()]
    assert sorted(result["artifacts"].values()) == files
    assert set(result["artifacts"]) == {
        "history", "model", "result", "loss", "reconstructions", "codes", "evidence", "report",
    }  # fmt: skip
    with (folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == list(range(1, 41))
    assert float(rows[-1]["val_loss"]) < float(rows[0]["val_loss"])


def test_a_folder_with_a_result_is_refused_before_training(trained):
    folder, _ = trained
    before = {name: (folder / name).stat().st_mtime_ns for name in visible(folder)}
    done = command(folder.parent, "run", "xor", "--out", "ae")
    assert done.returncode == 1
    assert "ae already holds a result" in done.stderr
    assert {name: (folder / name).stat().st_mtime_ns for name in visible(folder)} == before


def test_xor_prints_its_tables_and_nothing_else_when_quiet(tmp_path):
    done = command(tmp_path, "run", "xor", "-q")
    assert (done.returncode, without_note_on_a_busy_machine(done.stderr)) == (0, "")
    assert "4500" in done.stdout
    assert "accuracy 100%" in done.stdout
    (folder,) = (tmp_path / "runs").iterdir()
    assert str(folder.relative_to(tmp_path)) in done.stdout.splitlines()[-1]
    assert set(visible(folder)) >= {"figures/decision_surface.png", "figures/loss.png"}
    assert "\x1b" not in done.stdout


def test_verbose_says_which_device_auto_took_and_why(tmp_path):
    done = command(tmp_path, "run", "xor", "--epochs", 2, "--json", "-v")
    assert done.returncode == 0
    device = json.loads(done.stdout)["device"]
    lines = [line for line in done.stderr.splitlines() if "elapsed" not in line]
    assert len(lines) == 2
    assert lines[0].startswith("device auto: using")
    assert lines[1].startswith(f"device: {device} ")


def test_all_runs_three_and_sums_them_up(tmp_path):
    done = command(tmp_path, "run", "all", "--preset", "shallow", "--dataset", "digits", "--out", "a/b", "-q")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == ["autoencoder", "svm", "xor"]
    for row in ("xor", "autoencoder", "svm"):
        assert re.search(rf"^ {row} .* s $", done.stdout, re.MULTILINE)
    svm = json.loads((tmp_path / "a" / "b" / "svm" / "result.json").read_text())
    assert svm["timing"].keys() >= TIMING
    assert (svm["timing"]["steps"], svm["preset"]) == (0, "shallow")
    assert set(svm["metrics"]) == {"accuracy", "confusion_matrix", "pca_accuracy", "mcnemar", "svm_engine"}


@pytest.mark.parametrize("name", ["xor", "autoencoder", "svm"])
def test_all_refuses_a_folder_with_a_result_before_any_training(tmp_path, name):
    (tmp_path / "all" / name).mkdir(parents=True)
    (tmp_path / "all" / name / "result.json").write_text("{}")
    before = visible(tmp_path)
    done = command(tmp_path, "run", "all", "--dataset", "digits", "--out", "all")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"nnx: all/{name} already holds a result: choose another --out, or remove it\n"
    assert visible(tmp_path) == before


def test_svm_takes_a_model(trained, answer):
    folder, _ = trained
    done = answer("run", "svm", "--model", folder, "--dataset", "digits", "--json", "--out", "svm")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert np.sum(result["metrics"]["confusion_matrix"]) == 360


@pytest.mark.mnist
def test_svm_refuses_a_model_of_other_data(trained, tmp_path, mnist_directory, answer):
    folder, _ = trained
    done = answer(
        "run", "svm", "--model", folder, "--dataset", "mnist", "--out", "no",
        NNX_DATA_DIR=str(mnist_directory),
    )  # fmt: skip
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "rows of 64" in done.stderr
    assert "784" in done.stderr
    assert not (tmp_path / "no").exists()


@pytest.mark.mnist
def test_svm_takes_the_data_that_its_model_was_trained_on(trained, mnist_directory, answer):
    folder, _ = trained
    done = answer(
        "run", "svm", "--model", folder, "--out", "yes", "--json",
        NNX_DATA_DIR=str(mnist_directory),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["dataset"] == "digits"


@pytest.mark.parametrize(("agree", "status"), [(True, 0), (False, 1)])
def test_compare_fails_where_the_losses_do_not_agree(monkeypatch, tmp_path, capsys, agree, status):
    """The comparison itself has tests of its own; this is what the command makes of its result."""
    from nnx.cli.main import main
    from nnx.experiments import Result, compare

    asked = []

    def run(config, progress, spent):
        asked.append(config)
        assert spent > 0.0  # loading Python and libraries is part of the minutes
        progress("at work")
        notes = [] if agree else ["no speed-up is given"]
        return Result("compare", "", "digits", "cpu", "numpy", "float32", 3, {"agree": agree}, notes=notes)

    monkeypatch.setattr(compare, "run", run)
    with pytest.raises(SystemExit) as caught:
        main(["run", "compare", "--minutes", "2", "--threads", "1", "--dataset", "digits", "--seed", "3",
              "--with", "torch, sklearn", "--json", "--out", str(tmp_path / "run")])  # fmt: skip
    printed = capsys.readouterr()
    assert caught.value.code == status
    assert asked == [compare.Config(2.0, "digits", 3, None, "float32", 1, ("torch", "sklearn"))]
    assert json.loads(printed.out)["metrics"] == {"agree": agree}
    assert json.loads(printed.out)["timing"].keys() >= TIMING
    said = [line for line in printed.err.splitlines() if "  elapsed " not in line]
    assert said == ["at work"] + ([] if agree else ["note: no speed-up is given"])
    assert json.loads((tmp_path / "run" / "result.json").read_text())["metrics"] == {"agree": agree}


def test_presets_offered_are_those_of_the_experiments():
    from nnx.cli.main import cli
    from nnx.experiments import autoencoder, xor

    for words, known in (("xor", xor.PRESETS), ("autoencoder", autoencoder.PRESETS),
                         ("svm", autoencoder.PRESETS), ("all", autoencoder.PRESETS)):  # fmt: skip
        options = {option.name: option for option in cli.commands["run"].get_command(None, words).params}
        assert set(options["preset"].type.choices) == set(known)
        if "dataset" in options:
            assert tuple(options["dataset"].type.choices) == autoencoder.DATASETS
