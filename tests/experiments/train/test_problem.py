"""The data of a training: a fair split, and weights of rows and classes."""

from __future__ import annotations

import numpy as np
import pytest

from nnx.errors import ConfigurationError, DataError
from nnx.experiments.train.config import Config
from nnx.experiments.train.labelled import Labelled
from nnx.experiments.train.problem import class_factors, posed, split

LABELS = np.repeat([0, 1, 2], [100, 40, 1])
DATA = Labelled("x", "classification", LABELS[:, None], LABELS, ("a", "b", "c"), (), None)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_the_split_holds_out_the_same_share_of_each_class(share):
    train, held_out = split(DATA, share, seed=3)
    assert sorted([*train, *held_out]) == list(range(141))
    counts = np.bincount(LABELS[held_out], minlength=3)
    assert counts[0] == pytest.approx(100 * share, abs=1)
    assert counts[1] == pytest.approx(40 * share, abs=1)
    assert 2 in LABELS[train]
    again, _ = split(DATA, share, seed=3)
    other, _ = split(DATA, share, seed=4)
    np.testing.assert_array_equal(train, again)
    assert not np.array_equal(train, other)


def test_a_split_that_leaves_a_side_empty_is_refused():
    few = Labelled("x", "classification", LABELS[:2, None], LABELS[:2], ("a",), (), None)
    with pytest.raises(DataError, match="leaves none on one side"):
        split(few, 0.1, seed=0)


def test_factors_are_given_by_name():
    np.testing.assert_array_equal(class_factors(["c=2.5", "a=0"], DATA, np.arange(141)), [0.0, 1.0, 2.5])
    assert class_factors([], DATA, np.arange(141)) is None


@pytest.mark.parametrize(
    ("given", "text"),
    [("a:2", "neither 'balanced' nor NAME=FACTOR"), ("d=2", "no class 'd'"), ("a=-1", "at least 0, not -1")],
)
def test_a_factor_that_makes_no_sense_is_refused(given, text):
    with pytest.raises(ConfigurationError, match=text):
        class_factors([given], DATA, np.arange(141))


def test_both_sides_are_scaled_by_the_rows_to_train_on(tmp_path):
    x, y = np.arange(40.0).reshape(20, 2), np.arange(20) + 0.5
    np.savez(tmp_path / "d.npz", x=x, y=y)
    problem = posed(Config(str(tmp_path / "d.npz"), scale="standard", dtype="float64"))
    train, held_out = problem.train.rows, problem.held_out.rows
    assert sorted([*train, *held_out]) == list(range(20))
    mean, spread = x[train].mean(axis=0), x[train].std(axis=0)
    np.testing.assert_allclose(problem.held_out.x, (x[held_out] - mean) / spread)
    assert problem.loss == "mse"
