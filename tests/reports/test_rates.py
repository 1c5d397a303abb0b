"""The figure of a search for a learning rate."""

from __future__ import annotations

import numpy as np
import pytest

from nnx import reports
from nnx.errors import DataError
from nnx.training import RateSearch


def found(rates, losses, suggested=None):
    return RateSearch(np.array(rates), np.array(losses), np.array(losses), suggested)


@pytest.mark.parametrize("suggested", [None, 1e-3])
def test_the_loss_is_drawn_over_the_rate(suggested):
    figure = reports.rate_search(found([1e-4, 1e-3, 1e-2], [3.0, 2.0, 9.0], suggested), title="$x")
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    assert list(axes.lines[0].get_xdata()) == [1e-4, 1e-3, 1e-2]
    assert list(axes.lines[1].get_ydata()) == [3.0, 2.0, 9.0]
    assert len(axes.lines) == (2 if suggested is None else 3)


@pytest.mark.parametrize(
    ("rates", "losses", "text"),
    [([1e-3], [1.0, 2.0], "1, 2 and 2 values"), ([0.0], [1.0], "not above 0"), ([], [], "rates is empty")],
)
def test_wrong_values_are_refused(rates, losses, text):
    with pytest.raises(DataError, match=text):
        reports.rate_search(found(rates, losses))
