"""Weights, factors of classes, and the metrics of a training on one's own data."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn import metrics as sklearn_metrics
from support.command_line import invoke
from support.own_models import classes, here, trained, write  # noqa: F401

from nnx.cli.main import cli
from nnx.datasets import load_digits
from nnx.experiments.result import RunFolder
from nnx.experiments.train import experiment as own_data
from nnx.experiments.train import metrics as own_metrics
from nnx.experiments.train import problem
from nnx.experiments.train.applying import Model
from nnx.experiments.train.config import Config
from nnx.experiments.train.labelled import Labelled, load_labelled

pytestmark = pytest.mark.usefixtures("on_cpu")


def test_balanced_factors_and_metrics_count_weights_as_rows():
    rng = np.random.default_rng(1)
    y, w = rng.choice(3, 90, p=[0.6, 0.3, 0.1]), rng.integers(0, 4, 90).astype(float)
    p = rng.dirichlet(np.ones(3), 90) + np.eye(3)[y] * 0.3
    p /= p.sum(axis=1, keepdims=True)
    many = np.repeat(np.arange(90), w.astype(int))
    names = ("a", "b", "c")

    def data(labels, weights):
        return Labelled("d", "classification", labels[:, None], labels, names, (), None, weights)

    weighted = problem.class_factors(("balanced",), data(y, w), np.arange(90))
    repeated = problem.class_factors(("balanced",), data(y[many], None), np.arange(len(many)))
    np.testing.assert_allclose(weighted, repeated)
    sums = np.bincount(y, w * weighted[y])
    np.testing.assert_allclose(sums, sums[0])
    once = own_metrics.of_classes(y, p, names, 0, w)
    often = own_metrics.of_classes(y[many], p[many], names, 0)
    assert once.pop("by_class") == {name: pytest.approx(each) for name, each in often.pop("by_class").items()}
    assert once.pop("classes") == often.pop("classes")
    np.testing.assert_allclose(once.pop("confusion_matrix"), often.pop("confusion_matrix"))
    assert once == pytest.approx(often)
    true, answers = rng.normal(size=(90, 2)) + 1e9, rng.normal(size=(90, 2)) + 1e9
    assert own_metrics.of_values(true, answers, w) == pytest.approx(
        own_metrics.of_values(true[many], answers[many]), rel=1e-6
    )


def test_metrics_are_scikit_learn_s_on_the_rows_held_out():
    classes()
    options = {"target": ["kind"], "ignore": ["name"], "weights": "w", "epochs": 20}
    result = own_data.run(Config.of("t.csv", options))
    data = load_labelled("t.csv", target=["kind"], ignore=["name"], weights="w")
    _, rows = problem.split(data, 0.2, 0)
    assert data.x.shape == (120, 2)
    RunFolder.create(Path("run")).write_training(result)
    p = Model.load("run").predict(data.x[rows])
    true, w, found = data.y[rows], data.weights[rows], result.metrics
    predicted = p.argmax(axis=1)
    assert found["accuracy"] == pytest.approx(np.average(predicted == true, weights=w))
    assert found["majority_accuracy"] == pytest.approx(np.average(true == 0, weights=w))
    kwargs = {"sample_weight": w}
    assert found["balanced_accuracy"] == pytest.approx(
        sklearn_metrics.balanced_accuracy_score(true, predicted, **kwargs)
    )
    for name in ("precision", "recall", "f1"):
        score = getattr(sklearn_metrics, f"{name}_score")
        assert found[name] == pytest.approx(score(true, predicted, average="macro", **kwargs))
    assert found["roc_auc"] == pytest.approx(sklearn_metrics.roc_auc_score(true, p[:, 1], **kwargs))
    assert found["by_class"]["rare"]["rows"] == pytest.approx(w[true == 1].sum())
    assert np.sum(found["confusion_matrix"]) == pytest.approx(w.sum())


def test_a_class_that_is_missing_from_the_rows_has_no_recall_and_leaves_no_auc():
    p = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.7, 0.3, 0.0]])
    found = own_metrics.of_classes(np.array([0, 1, 1]), p, ("a", "b", "c"), 0)
    assert found["roc_auc"] is None
    assert found["by_class"]["c"] == {"precision": 0.0, "recall": None, "f1": 0.0, "rows": 0}
    assert found["recall"] == found["balanced_accuracy"] == 0.75


def test_rare_classes_count_where_they_are_balanced_or_given_a_factor():
    rng = np.random.default_rng(0)
    y = (rng.random(300) < 0.1).astype(int)
    np.savez("d.npz", x=rng.normal(size=(300, 2)) + y[:, None], y=y, w=np.full(300, 3))
    plain = trained("d.npz", "--epochs", 30, out="plain")["metrics"]
    same = trained("d.npz", "--epochs", 30, "--weights", "w", out="same")["metrics"]
    balanced = trained("d.npz", "--epochs", 30, "--class-weight", "balanced", out="balanced")["metrics"]
    factor = trained("d.npz", "--epochs", 30, "--class-weight", "1=9", out="factor")["metrics"]
    assert same["accuracy"] == pytest.approx(plain["accuracy"])
    assert same["validation_loss"] == pytest.approx(plain["validation_loss"], rel=1e-3)
    assert np.sum(same["confusion_matrix"]) == 3 * np.sum(plain["confusion_matrix"])
    for found in (balanced, factor):
        assert found["by_class"]["1"]["recall"] > plain["by_class"]["1"]["recall"]


@pytest.mark.parametrize("task", ["classification", "regression", "autoencoding"])
def test_a_model_no_better_than_the_simplest_guess_is_called_so(task):
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(200, 3)), rng.normal(size=200)
    good = {"classification": x[:, 0] > 0, "regression": x @ [1.0, 2.0, 3.0], "autoencoding": None}[task]
    bad = {"classification": noise > 0.9, "regression": noise, "autoencoding": None}[task]
    words = {
        "classification": "no better than always naming the commonest class, 0: accuracy",
        "regression": "for target 1 the model is no better than always answering with the mean",
        "autoencoding": "no better than the mean of each column would",
    }[task]
    for name, y, epochs in (("bad", bad, 1), ("good", good, 80)):
        arrays = {} if y is None else {"y": y.astype(int) if task == "classification" else y}
        np.savez(f"{name}.npz", x=x, **arrays)
        rate = () if name == "good" else ("--learning-rate", 1e-9)
        done = invoke("train", f"{name}.npz", "--epochs", epochs, *rate, "--out", name, "-q",
                      "--layers", "8 tanh,3")  # fmt: skip
        notes = json.loads(Path(name, "result.json").read_text())["notes"]
        assert [words in note for note in notes] == ([True] if name == "bad" else [])
        assert (words in done.stderr) == (name == "bad")


@pytest.mark.parametrize("task", ["regression", "autoencoding"])
def test_the_loss_has_its_metric_in_the_same_unit(task):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 2)) * [1.0, 1000.0]
    np.savez("d.npz", x=x, **({"y": x * [1.0, 3.0]} if task == "regression" else {}))
    found = trained("d.npz", "--epochs", 5, "--loss", "mse", "--layers", "4,1")["metrics"]
    assert found["scaled"]["mse"] == pytest.approx(found["validation_loss"], rel=1e-5)
    assert found["mse"] > 1000 * found["scaled"]["mse"]


MISTAKES = {
    "--class-weight balanced --target a --ignore kind --task regression": "is for classification",
    "--class-weight rare=-1 --target kind": "the factor of 'rare' must be a number of at least 0, not -1",
    "--class-weight rare=x --target kind": "the factor of 'rare' must be a number of at least 0, not x",
    "--class-weight rear=2 --target kind": "there is no class 'rear': did you mean 'rare'?",
    "--class-weight rare --target kind": "'rare' is neither 'balanced' nor NAME=FACTOR",
    "--validation 0 --target kind": "--validation: must be a number above 0 and below 1, not 0",
    "--loss log_loss --target kind": "'log_loss'",
    "--weights v --target kind": "has no column 'v'",
    "--weights kind --target kind": "weights: leave one out",
    "--weights zero --target kind": "all weights are 0",
    "--weights neg --target kind": "at least 0, but that of line 4 is -2",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_named_in_the_words_of_the_command_line(line):
    lines = [(k, "rare" if k % 4 == 0 else "common", 0, -2 if k == 2 else 1) for k in range(20)]
    write("t.csv", ["a", "kind", "zero", "neg"], lines)
    done = CliRunner().invoke(
        cli, ["train", "t.csv", *shlex.split(line), "--out", "run"], standalone_mode=False
    )
    assert isinstance(done.exception, Exception)
    assert MISTAKES[line] in str(done.exception)
    assert "\n" not in str(done.exception)
    assert not Path("run").exists()


@pytest.mark.parametrize("scale", ["auto", "standard", "minmax"])
def test_reconstructed_images_are_drawn_as_pixels_whatever_the_scale(scale):
    images = np.round(load_digits().x_train[:200] * 255).astype(np.uint8).reshape(-1, 8, 8)
    np.save("x.npy", images)
    result = own_data.run(Config("x.npy", scale=scale, layers=("16",), epochs=40, loss="mse"))
    _, rows = problem.split(load_labelled("x.npy"), 0.2, 0)
    originals, again = result.arrays["originals"], result.arrays["reconstructions"]
    np.testing.assert_allclose(originals, images.reshape(200, 64)[rows] / 255)
    assert np.mean((again - originals) ** 2) * 255**2 == pytest.approx(result.metrics["mse"], rel=1e-5)
