"""Where a function has no derivative, the comparison excludes the direction instead of judging it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nnx
from nnx.gradcheck import check_layer, check_loss
from nnx.layers import Workspace

pytestmark = pytest.mark.usefixtures("on_cpu")


def test_a_kink_at_the_point_is_found_though_the_two_sided_difference_agrees() -> None:
    # at equality MAE's two-sided difference is 0, as is its gradient: only one-sided ones tell
    y = np.full((3, 2), 0.4)
    report = check_loss(nnx.MeanAbsoluteError(), y_true=y, y_pred=y)
    assert not report.passed
    assert not report.directions
    assert len(report.excluded) > 0
    assert "y_pred" in report.message


@pytest.mark.parametrize("x", [np.zeros((2, 3)), [[1.0, 0.0, -2.0]], [[1.0, 1e-6, -2.0]]])
@pytest.mark.parametrize("layer", [nnx.ReLU, nnx.LeakyReLU])
def test_relu_has_no_derivative_at_zero(layer: type[nnx.Layer], x: Any) -> None:
    report = check_layer(layer(), x=x)
    if np.all(np.asarray(x) != 0.0):  # the step crosses the kink in some directions only
        assert report.passed
    else:
        assert not report.passed
        assert "check at another point" in report.message
    assert report.excluded


@pytest.mark.parametrize("distance", [*np.linspace(0.0, 0.95, 20), 1 / 3, 1 / 6, 2 / 3])
def test_a_kink_is_found_wherever_in_the_step_it_lies(distance: float) -> None:
    from nnx.gradcheck.comparison import STEP

    # one element: the direction is ±1, so the kink lies at this share of the step
    report = check_layer(nnx.ReLU(), x=[[distance * STEP]])
    assert not report.directions
    assert len(report.excluded) == 16


def test_a_curved_function_is_not_mistaken_for_a_kink() -> None:
    class Wave(nnx.Layer):
        def forward_into(self, x: Any, y: Any, cache: Workspace) -> None:
            y[...] = np.sin(30.0 * x)

        def backward_into(self, dy: Any, dx: Any, cache: Workspace) -> None:
            if dx is not None:
                dx[...] = 30.0 * np.cos(30.0 * cache.x) * dy

    report = check_layer(Wave()).raise_if_failed()
    assert not report.excluded


def test_points_drawn_at_a_kink_are_drawn_again() -> None:
    class Rounded(nnx.Layer):
        """A function whose first point is always bad: it has a kink where it was first called."""

        kinks: list[Any] = []  # noqa: RUF012 - shared by the copies that the check makes

        def forward_into(self, x: Any, y: Any, cache: Workspace) -> None:
            if not self.kinks:
                self.kinks.append(x.copy())
            y[...] = np.abs(x - self.kinks[0])

        def backward_into(self, dy: Any, dx: Any, cache: Workspace) -> None:
            if dx is not None:
                dx[...] = dy * np.sign(cache.x - self.kinks[0])

    assert check_layer(Rounded()).passed
