"""Weights of rows are checked, and only their ratio counts."""

from __future__ import annotations

import numpy as np
import pytest
from support.own_models import here, trained  # noqa: F401

import nnx
from nnx.experiments.train.labelled import load_labelled

pytestmark = pytest.mark.usefixtures("on_cpu")


@pytest.mark.parametrize("scale", [1e-60, 1e-3, 1e300])
def test_weights_count_by_their_ratio_however_large_they_are(scale):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(60, 2)), rng.integers(0, 4, 60)
    found = []
    for factor in (1.0, scale):
        np.savez("d.npz", x=x, y=x @ [1.0, 2.0], w=w * factor)
        found.append(trained("d.npz", "--weights", "w", "--epochs", 5, out=f"run{factor}")["metrics"])
    assert found[1]["validation_loss"] == pytest.approx(found[0]["validation_loss"], rel=1e-5)
    assert found[1]["mse"] == pytest.approx(found[0]["mse"], rel=1e-5)


@pytest.mark.parametrize("weights", [np.ones(5), np.ones((6, 2)), np.array([1.0, np.nan, 1, 1, 1, 1])])
def test_weights_of_arrays_are_checked(weights):
    np.savez("d.npz", x=np.zeros((6, 2)), y=np.arange(6) % 2, w=weights)
    with pytest.raises(nnx.DataError, match="weight"):
        load_labelled("d.npz", weights="w")
    np.save("x.npy", np.zeros((6, 2)))
    np.save("w.npy", weights)
    with pytest.raises(nnx.DataError, match="weight"):
        load_labelled("x.npy", weights="w.npy")
    with pytest.raises(nnx.ConfigurationError, match="has no array 'v'"):
        load_labelled("d.npz", weights="v")
