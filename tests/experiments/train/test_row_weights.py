"""Weights of rows are checked, and only their ratio counts."""

from __future__ import annotations

from pathlib import Path

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


ROWS = "a,b,t,w\n1,2,0.5,1\n2,{x},{y},0\n3,1,0.75,2\n4,2,0.25,1\n5,3,{y},0\n6,1,0.5,1\n7,2,0.1,1\n"


@pytest.mark.parametrize("preset", [(), ("--preset", "tabular")])
def test_rows_of_weight_0_may_have_gaps_and_no_target(preset):
    Path("some.csv").write_text(ROWS.format(x="", y="NaN"))
    lines = ROWS.format(x="", y="").splitlines(keepends=True)
    Path("none.csv").write_text("".join(line for line in lines if not line.rstrip().endswith(",0")))
    given = ("--task", "regression", "--target", "t", "--weights", "w", "--epochs", 3, *preset)
    some, none = (trained(f"{name}.csv", *given, out=name) for name in ("some", "none"))
    assert some["metrics"] == none["metrics"]
    assert any("2 of 7 rows have the weight 0: they are left out" in note for note in some["notes"])


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_rows_of_weight_0_of_arrays_may_hold_nan_in_x_and_y(task):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(40, 2)), np.r_[np.zeros(10), rng.integers(1, 4, 30)]
    y = (x[:, 0] > 0).astype(float) if task == "classification" else x @ [1.0, 2.0]
    x[:5], y[:10] = np.nan, np.nan
    np.savez("d.npz", x=x, y=y, w=w)
    result = trained("d.npz", "--task", task, "--weights", "w", "--epochs", 3)
    assert any("10 of 40 rows have the weight 0: they are left out" in note for note in result["notes"])
    metrics = result["metrics"]
    assert (metrics["rows"], metrics["validation_rows"]) == (24, 6)
    assert np.isfinite(metrics["validation_loss"])


def test_a_negative_weight_is_named_by_its_own_row():
    Path("t.csv").write_text("a,t,w\n1,0.5,0\n\n2,0.25,1\n3,0.75,-2\n")
    with pytest.raises(nnx.DataError, match="that of line 5 is -2"):
        load_labelled("t.csv", "regression", ["t"], weights="w")
    np.savez("d.npz", x=np.zeros((3, 2)), y=np.arange(3.0), w=[0.0, 1.0, -2.0])
    with pytest.raises(nnx.DataError, match=r"that of row 2 \(counted from 0\) is -2"):
        load_labelled("d.npz", weights="w")


def test_a_target_is_named_by_its_row_in_the_file():
    np.savez("d.npz", x=np.zeros((4, 2)), y=[np.nan, 0.5, 1.5, np.inf], w=[0.0, 1.0, 1.0, 1.0])
    with pytest.raises(nnx.DataError, match=r"not finite, first in row 3 \(counted from 0\)"):
        load_labelled("d.npz", "regression", weights="w")
