"""A declaration gives every number of a result a name that people can read."""

from __future__ import annotations

import pytest

from nnx import experiments
from nnx.errors import ConfigurationError


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        ("mse", "mean squared error"),
        ("scaled.mse", "mean squared error of scaled data"),
        ("a_new_metric", "a new metric"),
        ("by_class.recall", "by class: recall"),
    ],
)
def test_a_metric_has_its_declared_name_or_its_key_in_words(metric, name):
    assert experiments.get("train").named(metric) == name


def test_each_experiment_is_found_by_the_name_of_its_results_and_others_by_the_nearest():
    for name in (*experiments.NAMES, "train"):
        assert experiments.get(name).name == name
    with pytest.raises(ConfigurationError, match="no experiment 'autoencodr': did you mean 'autoencoder'"):
        experiments.get("autoencodr")
