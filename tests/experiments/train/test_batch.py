"""A batch from a file is what the training of the model would have given to its network."""

from __future__ import annotations

import numpy as np
import pytest
from support.own_models import classes, here, trained, write  # noqa: F401

import nnx
from nnx.errors import DataError
from nnx.experiments.train.applying import Model
from nnx.experiments.train.batch import of_model, usual_loss
from nnx.experiments.train.config import Config
from nnx.experiments.train.problem import posed

pytestmark = pytest.mark.usefixtures("on_cpu")


def test_the_usual_loss_fits_the_last_layer():
    ends = [(nnx.Sigmoid, nnx.BinaryCrossEntropy), (nnx.Softmax, nnx.CategoricalCrossEntropy),
            (nnx.Exp, nnx.Poisson), (nnx.Tanh, nnx.MeanSquaredError)]  # fmt: skip
    for last, loss in ends:
        assert type(usual_loss(nnx.Network([nnx.Dense(2, 3), last()]))) is loss


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_rows_and_targets_are_scaled_as_in_training(task):
    classes()
    target = "kind" if task == "classification" else "w"
    ignored = "name,w" if task == "classification" else "name,kind"
    options = {"target": (target,), "ignore": (ignored,), "epochs": 1, "task": task}
    trained("t.csv", "--target", target, "--ignore", ignored, "--epochs", 1, "--task", task)
    model = Model.load("run")
    x, y = of_model(model, "t.csv", (), 20)
    problem = posed(Config.of("t.csv", options))
    place = list(problem.train.rows)
    some = [row for row in range(20) if row in place]
    np.testing.assert_allclose(x[some], [problem.train.x[place.index(row)] for row in some], rtol=1e-6)
    np.testing.assert_allclose(y[some], [problem.train.y[place.index(row)] for row in some], rtol=1e-6)
    assert model.network.trace(x, y, usual_loss(model.network), "adam").rows == 20


def test_an_autoencoder_learns_its_inputs():
    write("t.csv", ["a", "b"], np.random.default_rng(0).normal(size=(30, 2)))
    trained("t.csv", "--layers", "1", "--epochs", 1)
    x, y = of_model(Model.load("run"), "t.csv", (), 5)
    assert x is y
    assert x.shape == (5, 2)


def test_a_network_of_your_own_takes_plain_rows():
    network = nnx.Network([nnx.Dense(2, 1), nnx.Sigmoid()], seed=0)
    classes()
    x, y = of_model(
        Model(network, None, None), write("p.csv", ["a", "b", "y"], [[1, 2, 1], [3, 4, 0]]), ("y",), 9
    )
    np.testing.assert_array_equal(x, [[1, 2], [3, 4]])
    np.testing.assert_array_equal(y, [[1], [0]])
    np.save("x.npy", np.full((3, 2), 255, np.uint8))
    autoencoder = nnx.Network([nnx.Dense(2, 1), nnx.Dense(2)], seed=0)
    x, y = of_model(Model(autoencoder, None, None), "x.npy", (), 2)
    np.testing.assert_array_equal(x, [[1, 1], [1, 1]])
    with pytest.raises(nnx.ConfigurationError, match="has no targets: name their column by --target"):
        of_model(Model(network, None, None), "x.npy", (), 2)


def test_without_data_only_a_network_for_xor_gets_some():
    network = nnx.Network([nnx.Dense(2, 1)], seed=0)
    x, y = of_model(Model(network, None, None), None, (), 3)
    np.testing.assert_array_equal(np.hstack([x, y]), [[0, 0, 0], [0, 1, 1], [1, 0, 1]])
    with pytest.raises(nnx.ConfigurationError, match="--data FILE"):
        of_model(Model(nnx.Network([nnx.Dense(3, 1)]), None, None), None, (), 3)


def test_a_class_that_did_not_occur_in_training_is_named():
    classes()
    trained("t.csv", "--target", "kind", "--ignore", "name,w", "--epochs", 1)
    rows = [["r", 1.0, 2.0, 1, "new"], ["s", 1.0, 2.0, 1, "rare"]]
    write("n.csv", ["name", "a", "b", "w", "kind"], rows)
    with pytest.raises(nnx.DataError, match="class 'new' did not occur in training"):
        of_model(Model.load("run"), "n.csv", (), 2)


@pytest.mark.parametrize(
    ("target", "options", "loss"),
    [
        ("y", ("--loss", "pinball", "--quantiles", "0.1,0.5,0.9"), "Pinball(quantiles=[0.1, 0.5, 0.9])"),
        ("y", ("--loss", "gaussian"), "GaussianNLL(epsilon=1e-06)"),
        ("kind", ("--loss", "hinge"), "Hinge()"),
    ],
)
def test_the_usual_loss_fits_what_the_outputs_were_trained_for(target, options, loss):
    numbers = np.random.default_rng(0).normal(size=(30, 2))
    write(
        "t.csv", ["a", target], numbers if target == "y" else [(a, "q" if a > 0 else "p") for a, _ in numbers]
    )
    trained("t.csv", "--target", target, "--epochs", 1, *options)
    model = Model.load("run")
    x, y = of_model(model, "t.csv", (), 5)
    usual = usual_loss(model.network, model.prepared)
    assert repr(usual) == loss
    assert model.network.trace(x, y, usual, "sgd").rows == 5


def test_gaps_and_texts_become_the_numbers_of_the_model():
    """A row without a target is refused: the rows after it would get wrong targets."""
    numbers = np.random.default_rng(0).normal(size=(30, 2))
    rows = [("" if i % 5 == 1 else a, "red" if i % 2 else "blue", b) for i, (a, b) in enumerate(numbers)]
    write("t.csv", ["a", "c", "y"], rows)
    trained("t.csv", "--target", "y", "--missing", "mean", "--categories", "onehot", "--epochs", 1)
    model = Model.load("run")
    x, y = of_model(model, "t.csv", (), 4)
    assert x.shape == (4, 3)
    assert model.prepared is not None
    assert model.prepared.outputs is not None
    np.testing.assert_allclose(model.prepared.outputs.undo(y)[:, 0], numbers[:4, 1], rtol=1e-5)
    write("gap.csv", ["a", "c", "y"], [(1.0, "red", ""), *rows])
    with pytest.raises(DataError, match=r"gap.csv: rows without a target \(1\): remove them"):
        of_model(model, "gap.csv", (), 4)
