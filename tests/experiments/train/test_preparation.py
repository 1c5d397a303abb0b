"""A model file keeps what new data need: scaling, layout and names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.command_line import invoke
from support.own_files import iris
from support.own_models import here, trained  # noqa: F401

import nnx
from nnx.experiments.result import model_path
from nnx.experiments.train.labelled import load_labelled
from nnx.experiments.train.preparation import Preparation
from nnx.experiments.train.problem import split

pytestmark = pytest.mark.usefixtures("on_cpu")


def test_the_model_keeps_what_it_needs_and_nothing_else():
    trained(iris(), "--target", "species", "--ignore", "id", "--epochs", 1, "--seed", 5)
    path = model_path(Path("run"))
    network = nnx.load(path)
    kept = Preparation.of_model(path, nnx.checkpoints.read_metadata(path), network)
    data = load_labelled("iris.csv", target=["species"], ignore=["id"])
    train, _ = split(data, 0.2, 5)
    np.testing.assert_allclose(kept.inputs.shift, data.x[train].mean(axis=0), rtol=1e-14)
    assert kept.layout == data.layout
    assert kept.classes == ("setosa", "versicolor", "virginica")


def test_values_that_are_not_finite_are_not_predicted():
    np.savez("d.npz", x=np.arange(40.0).reshape(20, 2), y=np.arange(20) % 2)
    trained("d.npz", "--epochs", 1)
    np.save("nan.npy", np.array([[1.0, 2.0], [np.nan, 2.0]]))
    with pytest.raises(nnx.DataError, match=r"NaN or infinite.* row 1"):
        invoke("predict", "run", "nan.npy", "--out", "y.csv")
    assert not Path("y.csv").exists()
