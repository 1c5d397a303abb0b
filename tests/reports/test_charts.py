"""A chart shows every finite value in its place, and says where values are missing."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nnx.reports import charts


def test_a_chart_leaves_gaps_and_says_so():
    curve = charts.Curve("loss", [1, 2, 3, 4], [1.0, float("nan"), 0.5, float("inf")])
    drawn = charts.chart("loss", [curve])
    assert drawn.lines[0].heights[1] is None
    assert drawn.lines[0].path.count("M") == 2
    assert [values for _, (values,) in drawn.rows()] == ["1", "not finite", "0.5", "not finite"]
    assert drawn.summary() == "loss over 4 epochs: loss from 1 to 0.5"
    assert charts.chart("loss", [charts.Curve("loss", [1], [float("nan")])]) is None


@pytest.mark.parametrize("values", [[1.0], [0.0, 0.0], [1e199, -1e199, 3.0], [1e-320, 1e199], [5.0, 5.0]])
def test_any_finite_values_have_axes(values):
    drawn = charts.chart("loss", [charts.Curve("", range(1, len(values) + 1), values)])
    heights = drawn.lines[0].heights
    assert all(0 <= height <= 1000 for height in heights)
    assert drawn.y_ticks
    json.dumps(drawn.data(), allow_nan=False)


def test_a_long_curve_is_thinned_and_keeps_its_ends():
    drawn = charts.chart("loss", [charts.Curve("", range(1, 20_001), np.arange(20_000.0, 0, -1).tolist())])
    assert (len(drawn.positions), drawn.total) == (charts.MOST_POSITIONS, 20_000)
    assert (drawn.positions[0], drawn.positions[-1]) == (1, 20_000)
    assert len(drawn.rows()) == charts.MOST_ROWS


def test_codes_keep_their_shape_and_their_classes():
    points = np.array([[0.0, 0.0], [4.0, 1.0], [np.nan, 1.0]])
    drawn = charts.code_map(points, np.array(["a", "b", "b"]), np.array([0.6, 0.3]))
    assert [(group.label, group.count) for group in drawn.groups] == [("a", 1), ("b", 1)]
    (left, low), (right, high) = (group.middle for group in drawn.groups)
    assert (right - left) == pytest.approx(4 * (low - high))


def test_ticks_close_together_keep_the_digits_that_tell_them_apart():
    values = [0.25981, 0.259812, 0.259813]
    drawn = charts.chart("loss", [charts.Curve("a", [1, 2, 3], values)])
    assert len({tick.text for tick in drawn.y_ticks}) == len(drawn.y_ticks)
    drawn = charts.chart("difference", [charts.Curve("a", [1, 2, 3], [1e-15, 3e-14, 1e-13])])
    assert "0" not in {tick.text for tick in drawn.y_ticks}
