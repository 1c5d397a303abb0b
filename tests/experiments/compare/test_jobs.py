"""The problems are those of the experiments, timed in several parts."""

from __future__ import annotations

import pytest

from nnx import datasets
from nnx.experiments import autoencoder
from nnx.experiments.compare.jobs import Problem


@pytest.mark.parametrize("epochs", [2, 3, 4, 7])
def test_an_autoencoder_is_timed_in_three_parts_at_least(known: dict[str, Problem], epochs: int) -> None:
    problem = known["deep"]
    stops = problem.stops(epochs)
    assert stops == sorted(set(stops))
    assert set(stops) >= {problem.steps_an_epoch * (epoch + 1) for epoch in range(epochs)}
    assert stops[0] == problem.steps_an_epoch  # whatever compiles is in the first part
    assert stops[-1] == epochs * problem.steps_an_epoch
    assert len(stops) >= 4
    assert problem.least_epochs == 2


@pytest.mark.parametrize(("epochs", "parts"), [(4, 4), (15, 10), (5000, 10)])
def test_xor_is_timed_in_three_parts_at_least(known: dict[str, Problem], epochs: int, parts: int) -> None:
    stops = known["xor_deep"].stops(epochs)
    assert stops == sorted(set(stops))
    assert len(stops) == parts
    assert stops[-1] == epochs
    assert known["xor_deep"].least_epochs == 4


def test_the_autoencoders_are_trained_as_their_experiment_trains_them(known: dict[str, Problem]) -> None:
    for name in ("deep", "shallow"):
        preset = autoencoder.settled(autoencoder.Config(name), datasets.load_digits())
        assert known[name].epochs == preset.epochs
        assert known[name].job["batch_size"] == preset.batch_size
