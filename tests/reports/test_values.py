"""Predicted values are drawn over the true ones of each target, and arrays that do not fit are refused."""

from __future__ import annotations

import numpy as np
import pytest
from support.figures import NAN, drawn

from nnx import reports
from nnx.errors import DataError

pytestmark = pytest.mark.usefixtures("matplotlib_untouched")


@pytest.mark.parametrize(("targets", "shown"), [(1, 1), (4, 4), (8, 6)])
def test_each_of_the_first_six_targets_has_its_values_and_its_diagonal(rng, targets, shown):
    true = rng.normal(size=(5, targets))
    predicted = true + rng.normal(size=(5, targets))
    names = [f"${index}" for index in range(targets)]
    figure = drawn(reports.predicted_values(true, predicted, names))
    assert [axes.get_xlabel() for axes in figure.axes] == [f"true \\${index}" for index in range(shown)]
    for index, axes in enumerate(figure.axes):
        (points,), (diagonal,) = axes.collections, axes.get_lines()
        np.testing.assert_array_equal(
            points.get_offsets(), np.stack([true[:, index], predicted[:, index]], axis=1)
        )
        both = [*true[:, index], *predicted[:, index]]
        assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == [min(both), max(both)]


@pytest.mark.parametrize(
    ("true", "predicted", "names", "message"),
    [
        (np.zeros((3, 2)), np.zeros((2, 2)), "ab", r"\(2, 2\) does not fit .*\(3, 2\)"),
        (np.zeros((3, 2)), np.zeros((3, 2)), "a", "with 1 names"),
        (np.zeros(3), np.zeros(3), "a", r"true has shape \(3,\)"),
        (np.zeros((3, 1)), np.full((3, 1), NAN), "a", "predicted has 3 values that are NaN"),
        (np.zeros((0, 1)), np.zeros((0, 1)), "a", "empty"),
    ],
)
def test_predicted_values_refuse(true, predicted, names, message):
    with pytest.raises(DataError, match=message):
        reports.predicted_values(true, predicted, names)
