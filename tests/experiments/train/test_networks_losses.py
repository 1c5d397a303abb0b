"""nnx train and nnx predict with losses of distributions, margins and hard examples."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from support.command_line import invoke
from support.own_files import table
from support.own_models import here, trained  # noqa: F401

from nnx.errors import ConfigurationError, DataError

pytestmark = pytest.mark.usefixtures("on_cpu")
USUAL = ("--layers", "16", "--learning-rate", "0.01", "--epochs", "80")


@pytest.fixture
def rows(here) -> np.ndarray:  # noqa: F811
    """A table of prices, counts and kinds, which depend on a and b; and its numbers."""
    rng = np.random.default_rng(0)
    a, b = rng.uniform(-1.0, 1.0, (2, 500))
    price = 100.0 + 30.0 * a + 10.0 * (1.0 + b) * rng.standard_normal(500)
    count = rng.poisson(np.exp(1.0 + a))
    kind = np.where(a + b > 0.3, "yes", np.where(a < -0.3, "no", "maybe"))
    with Path("t.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("a", "b", "price", "count", "kind"), *zip(a, b, price, count, kind, strict=True)]
        )
    return np.stack([a, b, price, count], axis=1)


def predicted(*options: str) -> tuple[list[str], np.ndarray]:
    invoke("predict", "run", "t.csv", "--out", "p.csv", *options)
    heads, *cells = table("p.csv")
    return heads, np.array(cells, float)


def test_quantiles_in_the_units_of_the_data(rows):
    result = trained(
        "t.csv", "--target", "price", "--ignore", "count,kind", "--loss", "pinball",
        "--quantiles", "0.1,0.5,0.9", *USUAL,
    )  # fmt: skip
    heads, answers = predicted()
    assert heads == ["price 0.1", "price 0.5", "price 0.9"]
    assert (np.diff(answers, axis=1) >= 0.0).all()
    np.testing.assert_allclose((rows[:, [2]] <= answers).mean(axis=0), [0.1, 0.5, 0.9], atol=0.07)
    assert result["metrics"]["r2"] > 0.5
    assert result["metrics"]["mae"] < 12.0


def test_a_mean_and_a_spread_of_two_targets(rows):
    result = trained("t.csv", "--target", "price,count", "--ignore", "kind", "--loss", "gaussian", *USUAL)
    heads, answers = predicted()
    assert heads == ["price mean", "price spread", "count mean", "count spread"]
    assert result["metrics"]["by_target"]["price"]["r2"] > 0.5
    z = (rows[:, 2] - answers[:, 0]) / answers[:, 1]
    assert abs(z.std() - 1.0) < 0.15
    assert np.corrcoef(answers[:, 1], 1.0 + rows[:, 1])[0, 1] > 0.7


def test_counts_are_not_scaled(rows):
    trained(
        "t.csv", "--target", "count", "--ignore", "price,kind", "--loss", "poisson", "--task", "regression",
        *USUAL,
    )  # fmt: skip
    _, answers = predicted()
    assert (answers > 0.0).all()
    assert answers.mean() == pytest.approx(rows[:, 3].mean(), rel=0.15)
    with pytest.raises(DataError, match="counts or rates of at least 0"):
        trained("t.csv", "--target", "a", "--ignore", "kind", "--loss", "poisson", *USUAL, out="wrong")


@pytest.mark.parametrize("options", [("hinge",), ("squared_hinge",), ("focal", "--label-smoothing", "0.1")])
def test_classes(rows, options):
    loss, *more = options
    result = trained("t.csv", "--target", "kind", "--ignore", "price,count", "--loss", loss, *more, *USUAL)
    assert result["metrics"]["accuracy"] > 0.9
    assert result["metrics"]["roc_auc"] > 0.97
    ask = ("predict", "run", "t.csv", "--out", "p.csv", "--probabilities")
    if loss == "focal":
        invoke(*ask)
    else:
        with pytest.raises(ConfigurationError, match="hinge loss, which gives no probabilities"):
            invoke(*ask)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("mse", "--quantiles", "0.5"), "loss mse has no quantiles: leave it out, or choose pinball"),
        (("mse", "--label-smoothing", "0.1"), "loss mse has no label_smoothing"),
        (("pinball", "--quantiles", "0.5,low"), "write numbers between 0 and 1, as 0.05,0.5,0.95"),
        (("pinball", "--quantiles", "0.5,1.5"), r"a quantile must lie in \(0, 1\)"),
        (("pinball", "--quantiles", "0.9,0.1"), "in ascending order"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_the_data_is_read(here, options, says):  # noqa: F811
    Path("no.csv").write_text("")
    with pytest.raises(ConfigurationError, match=says):
        trained("no.csv", "--loss", *options)
