"""The figure of weight statistics, and their charts in a report."""

from __future__ import annotations

import pytest

from nnx import reports
from nnx.callbacks import History
from nnx.errors import DataError
from nnx.reports.statistics import by_kind


def history(**statistics):
    made = History()
    made.epochs = [1, 2]
    made.statistics = {name.replace("__", "/"): values for name, values in statistics.items()}
    return made


def test_there_is_an_axes_for_each_kind_and_a_line_for_each_layer():
    given = history(
        weight_norm__dense_1=[1.0, 2.0], weight_norm__dense_2=[1.0, float("nan")],
        gradient_norm__dense_1=[0.0, 0.0], dead_units__relu_1=[0.0, 0.5],
    )  # fmt: skip
    figure = reports.weight_statistics(given)
    assert [len(axes.lines) for axes in figure.axes] == [1, 2, 1]
    assert [axes.get_yscale() for axes in figure.axes] == ["linear", "log", "linear"]
    assert list(by_kind(given.statistics)) == ["gradient_norm", "weight_norm", "dead_units"]


@pytest.mark.parametrize(
    ("statistics", "text"), [({}, "no statistics"), ({"weight_norm__a": [1.0]}, "1 values for 2 epochs")]
)
def test_what_cannot_be_drawn_is_refused(statistics, text):
    with pytest.raises(DataError, match=text):
        reports.weight_statistics(history(**statistics))
