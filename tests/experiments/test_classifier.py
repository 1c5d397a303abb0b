"""The convolutional classifier: what it learns, what it measures, what its report shows."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
from support.command_line import command

import nnx
from nnx import datasets, reports
from nnx.experiments import classifier
from nnx.experiments.train.applying import Model
from nnx.layers import Conv2D
from nnx.reports import evidence

pytestmark = pytest.mark.usefixtures("device")


@pytest.fixture(scope="module")
def result(device, digits):
    return classifier.run(classifier.Config("digits", epochs=4), data=digits)


def test_it_learns_the_digits(result, digits):
    assert result.metrics["accuracy"] > 0.9
    predicted = result.network.predict(digits.x_test).argmax(axis=1)
    matrix = np.array(result.metrics["confusion_matrix"])
    assert result.metrics["mistakes"] == (predicted != digits.y_test).sum()
    assert matrix.sum() - np.trace(matrix) == result.metrics["mistakes"]
    assert result.metrics["accuracy"] == pytest.approx(np.trace(matrix) / matrix.sum())
    assert 0.0 < result.metrics["loss"] < 1.0
    assert {"val_loss", "val_accuracy"} <= set(result.history.metrics)


def test_tables_and_verdict_say_the_same(result):
    shown = list(classifier.tables(result))
    assert shown[1].rows[0] == ("test accuracy", f"{result.metrics['accuracy']:.4f}")
    assert len(shown[0].rows) == 10
    assert f"of 360 test images are right: {result.metrics['mistakes']} mistakes" in classifier.verdict(
        result
    )
    assert classifier.verdict(replace(result, metrics={})) == ""


def test_the_report_has_mistakes_filters_and_maps(result):
    assert set(reports.figures(result)) == {
        "loss", "confusion_matrix", "predictions", "filters", "activation_maps"
    }  # fmt: skip
    kept = evidence.gather(result)
    assert len(kept["misread"]) == result.metrics["mistakes"]
    assert kept["filters"].shape == (32, 3, 3, 1)
    assert kept["map_labels"].tolist() == list(range(10))
    assert len(kept["maps"]) == 10


def test_predict_names_the_digits_of_a_run(result, digits, tmp_path):
    """A column for each output would call the digit 0 "output 1"."""
    model = tmp_path / "model.safetensors"
    result.network.save(model, {"experiment": "classifier"} | result.description)
    np.save(tmp_path / "x.npy", digits.x_test[:30])
    expected = result.network.predict(digits.x_test[:30])
    done = command(tmp_path, "predict", model, "x.npy", "--probabilities")
    assert done.returncode == 0, done.stderr
    head, *lines = csv.reader(done.stdout.splitlines())
    assert head == ["class", *map(str, range(10))]
    assert [int(line[0]) for line in lines] == expected.argmax(axis=1).tolist()
    np.testing.assert_allclose(np.array(lines, float)[:, 1:], expected, atol=1e-6)


@pytest.mark.parametrize("classes", [["a", "b"], "0123456789", [1] * 10])
def test_damaged_classes_of_a_run_are_refused(result, tmp_path, classes):
    model = tmp_path / "model.safetensors"
    result.network.save(model, {"experiment": "classifier", "classes": classes})
    with pytest.raises(nnx.FileFormatError, match="classes are damaged"):
        Model.load(model)
    result.network.save(model, {"classes": classes})  # what users write there means nothing to nnx
    assert Model.load(model).classes == ()


def test_two_runs_give_the_same_weights(digits):
    few = replace(digits, x_train=digits.x_train[:64], y_train=digits.y_train[:64])
    first, second = (
        classifier.run(classifier.Config("digits", epochs=1, seed=3), data=few).network for _ in range(2)
    )
    for name, value in first.weights().items():
        np.testing.assert_array_equal(value, second.weights()[name])


def test_epochs_and_batches_fit_the_data(digits):
    config = classifier.Config()
    assert classifier.settled(config, digits) == (classifier.DIGITS_EPOCHS, classifier.DIGITS_BATCH)
    mnist = replace(digits, name="mnist")
    assert classifier.settled(config, mnist) == (classifier.MNIST_EPOCHS, classifier.MNIST_BATCH)
    assert classifier.settled(classifier.Config(epochs=2, batch_size=7), mnist) == (2, 7)


@pytest.mark.mnist
def test_a_few_steps_on_mnist_are_enough_to_be_mostly_right(mnist_directory):
    mnist = datasets.load_mnist(mnist_directory)
    few = replace(
        mnist, x_train=mnist.x_train[:2560], y_train=mnist.y_train[:2560], x_test=mnist.x_test[:500],
        y_test=mnist.y_test[:500],
    )  # fmt: skip
    result = classifier.run(classifier.Config("mnist", epochs=2), data=few)
    assert result.metrics["accuracy"] > 0.85
    convolutions = [layer for layer in result.network.layers if isinstance(layer, Conv2D)]
    assert [layer.output_shape for layer in convolutions] == [(28, 28, 32), (14, 14, 64), (7, 7, 64)]
