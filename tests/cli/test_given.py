"""A finished run is no answer to other options; those that the user did not give do not count."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from nnx.cli.given import given, identity, refuse_others
from nnx.errors import ConfigurationError
from nnx.experiments.precision import Precise

RUN = SimpleNamespace(
    config={
        "epochs": 3,
        "batch_size": 90,
        "layers": ["8 tanh"],
        "seed": 0,
        "data": "a.csv",
        "target": [],
        "dtype": "float32",
    },
    metrics={"rows": 90},
)


@pytest.mark.parametrize(
    "options",
    [
        {"epochs": 3, "layers": ("8 tanh",)},
        {"batch_size": 500},  # a run with fewer rows stores the smaller size
        {"scale": "auto", "device": "cpu"},  # what the run has no entry for
        {"seed": "auto"},
        {"precision": "float32"},  # a run without that option has a dtype
    ],
)
def test_options_that_the_run_was_trained_with_are_taken(options):
    refuse_others(RUN, Path("run"), options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"epochs": 4, "seed": 1},
            "--epochs 4 (the run has 3), --seed 1 (the run has 0): remove these options",
        ),
        ({"layers": ("16", "4")}, "--layers 16,4 (the run has 8 tanh)"),
        ({"batch_size": 80}, "--batch-size 80 (the run has 90)"),
        ({"data": "b.csv"}, "DATA b.csv (the run has a.csv)"),
        ({"precision": "bfloat16"}, "--precision bfloat16 (the run has float32)"),
        ({"target": ("y",)}, "--target y (the run has none)"),
    ],
)
def test_options_that_differ_are_named_with_the_values_of_the_run(options, words):
    with pytest.raises(ConfigurationError) as caught:
        refuse_others(RUN, Path("run"), options)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@click.command()
@click.option("--epochs", type=int, default=3)
@click.option("--seed", type=int, default=0)
@click.option("--device")
@click.option("--config", "file")
def command(**values):
    """Stand for a command that trains."""
    return values


def test_what_the_user_gave_is_what_the_line_and_the_file_set():
    usual = {"epochs": 3, "seed": 0, "device": None}
    with command.make_context("train", ["--epochs", "3", "--device", "cpu"]):
        assert given(usual | {"seed": 7}, usual) == {"epochs": 3}
    with command.make_context("train", ["--epochs", "3", "--config", "run.toml"]):
        assert given(usual | {"seed": 7}, usual) == {"epochs": 3, "seed": 7}
    assert given({"epochs": 3}) == {}  # no command was called


@dataclass(frozen=True)
class Experiment(Precise):
    """The least configuration of an experiment."""

    epochs: int = 3
    device: str | None = None
    dtype: str = ""
    precision: str = ""


def test_the_precision_is_part_of_a_run_and_named_before_the_dtype():
    about, usual = identity(Experiment(precision="float64"))
    assert list(about.items()) == [("precision", "float64"), ("dtype", "float64")]
    assert usual["precision"] == "float32"
    with command.make_context("train", ["--config", "run.toml"]):
        assert given(asdict(Experiment(precision="float64")), usual) == {
            "dtype": "float64", "precision": "float64"
        }  # fmt: skip
