"""Names, commands and sentences of a report say what the run was and what it reached."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict

import pytest
from support.report_pages import read

from nnx import reports
from nnx.cli import show
from nnx.cli.main import cli
from nnx.experiments import Result, svm
from nnx.experiments.result import read_run
from nnx.experiments.train.config import RULES, Config
from nnx.reports import facts


def made(experiment, metrics, **other):
    return Result(
        experiment, "", other.pop("dataset", "mnist"), "cpu", "numpy", "float32", 0, metrics, **other
    )


def test_runs_are_called_by_as_much_of_their_path_as_tells_them_apart():
    assert facts.names(["/a/x", "/a/y"]) == ["x", "y"]
    assert facts.names(["/a/x", "/b/x"]) == ["a/x", "b/x"]
    assert facts.names(["C:\\a\\x", "C:\\b\\x"]) == ["a/x", "b/x"]
    assert facts.names(["/a", "/a"]) == ["/a (1)", "/a (2)"]


def test_the_command_to_train_again_gives_the_same_configuration(run_folders):
    words = shlex.split(facts.command(read_run(run_folders["train"])))
    given = cli.commands["train"].make_context("train", words[2:]).params
    assert (words[:2], given["task"], given["target"]) == (["nnx", "train"], "classification", ("place",))
    options = {name: RULES[name].parsed(value) for name, value in given.items() if name in RULES and value}
    again = asdict(Config.of(given["data"], options))
    stored = read_run(run_folders["train"]).config
    again = json.loads(json.dumps(again)) | {"device": None}
    assert again == stored | {"device": None}


@pytest.mark.parametrize("name", ["autoencoder", "svm", "xor"])
def test_the_command_to_run_again_is_one_that_nnx_takes(run_folders, name):
    result = read_run(run_folders[name])
    words = shlex.split(facts.command(result))
    assert words[0] == "nnx"
    given = cli.commands["run"].get_command(None, result.experiment).make_context(name, words[3:])
    asked = {key: value for key, value in result.config.items() if value is not None and key != "device"}
    del asked["dtype"]  # it follows from the precision
    if name == "svm":
        del asked["precision"]  # the model's own
        by_user = {key for key in given.params if given.get_parameter_source(key).name == "COMMANDLINE"}
        assert svm.check(svm.Config(given.params["model"]), by_user) == ""
    assert asked.items() <= given.params.items()
    assert given.params["device"] == result.backend


def test_the_command_of_a_comparison_names_the_frameworks_by_their_option():
    config = {
        "minutes": 2.0,
        "dataset": "digits",
        "seed": 3,
        "threads": None,
        "frameworks": ["keras", "torch"],
    }
    result = Result("compare", "", "digits", "cpu", "numpy", "float32", 3, config=config)
    words = shlex.split(facts.command(result))
    assert " ".join(words[:5]) == "nnx run compare --minutes 2.0"
    given = cli.commands["run"].get_command(None, "compare").make_context("compare", words[3:]).params
    assert given["frameworks"] == ("keras", "torch")


def test_a_flag_is_given_where_it_was_given():
    def of(value):
        return facts.command(
            Result("xor", "deep", "xor", "gpu:0", "cupy", "float32", 0, config={"tf32": value})
        )

    assert of(True) == "nnx run xor --tf32 --device gpu:0"
    assert of(False) == "nnx run xor --device gpu:0"


@pytest.mark.parametrize(
    ("experiment", "metrics", "sentence"),
    [
        ("autoencoder", {"test_mse": 0.77e-2, "pca_test_mse": 1e-2}, "23% less error than PCA of the same"),
        ("autoencoder", {"test_mse": 1.5e-2, "pca_test_mse": 1e-2}, "50% more error than PCA of the same"),
        ("svm", {"accuracy": 0.99, "pca_accuracy": 0.98, "mcnemar": {"p_value": 0.0012}},
         "50% fewer errors than an SVM on PCA of the same size: accuracy 99.00% against 98.00% "
         "(McNemar's test: p = 0.0012)."),
        ("svm", {"accuracy": 0.96, "pca_accuracy": 0.99}, "300% more errors than an SVM on PCA"),
        ("svm", {"accuracy": 0.96, "pca_accuracy": 1.0}, "More errors than an SVM on PCA"),
        ("svm", {"accuracy": 0.99, "pca_accuracy": 0.99}, "As accurate as an SVM on PCA"),
        ("train", {"accuracy": 0.8, "majority_accuracy": 1 / 3}, "most common class gives 33.3%."),
        ("train", {"r2": 0.372}, "37% less squared error"),
        ("train", {"r2": -0.5}, "50% more squared error"),
        ("xor", {"accuracy": 0.75}, "3 of the 4 cases are right."),
        ("compare", {"speedup": {"deep": {"keras": 1.9, "keras_xla": 1.5}}},
         "takes 1.5 times as long in Keras with XLA as in nnx."),
        ("compare", {"speedup": {"deep": {"keras": 0.5, "keras_xla": 1.5}}},
         "takes 2 times as long in nnx as in Keras."),
        ("compare", {"speedup": {"classifier": {"sklearn": 3.0}}},
         "a step of the classifier takes 3 times as long in scikit-learn as in nnx."),
        ("compare", {"agree": False}, ""),
        ("autoencoder", {"test_mse": float("nan"), "pca_test_mse": 1e-2}, ""),
    ],
)  # fmt: skip
def test_a_sentence_says_what_a_run_reached(experiment, metrics, sentence):
    assert sentence in facts.verdict(made(experiment, metrics))
    assert bool(facts.verdict(made(experiment, metrics))) == bool(sentence)


@pytest.mark.parametrize("name", ["autoencoder", "svm", "train", "values"])
def test_figures_have_the_names_that_the_terminal_prints(run_folders, name, capsys):
    result = read_run(run_folders[name])
    result.timing |= {"steps": 0.0, "total_seconds": 1.0}  # which the command adds at its end
    show.result(result, run_folders[name])
    printed = " ".join(capsys.readouterr().out.split())
    assert [one for one in facts.metrics(result) if one not in printed] == []


def test_runs_on_different_data_are_marked(run_folders, tmp_path, both):
    assert "Different data" in both.text
    page = read(reports.write_report([run_folders["xor"], run_folders["other"]], tmp_path / "same.html"))
    assert "Different data" not in page.text
    rows = {"rows": 120, "validation_rows": 30}
    runs = [made("train", rows, config={"seed": seed}, dataset="iris.csv") for seed in (0, 1)]
    assert len(facts.different_data(runs)) == 2  # other rows were held out
    assert facts.different_data(runs[:1] * 2) == []
