"""A batch from a file is what the training of the model would have given to its network."""

from __future__ import annotations

import numpy as np
import pytest
from support.own_models import classes, here, trained, write  # noqa: F401

import nnx
from nnx.experiments.train.applying import Model
from nnx.experiments.train.batch import of_model, usual_loss
from nnx.experiments.train.config import Config
from nnx.experiments.train.experiment import posed

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
