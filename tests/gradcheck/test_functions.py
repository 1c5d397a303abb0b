"""A layer or loss with a wrong pass fails its gradient check, and the report says how."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.scaling import Scale

import nnx
from nnx.errors import GradientError
from nnx.gradcheck import check, check_layer, check_loss, check_network
from nnx.layers import Workspace

pytestmark = pytest.mark.usefixtures("on_cpu")


class WithoutFactor(Scale):
    def backward_into(self, dy: Any, dx: Any, cache: Workspace) -> None:
        super().backward_into(dy, dx, cache)
        if dx is not None:
            dx[...] = dy  # right only where the factor is one, as it is at first


class Averaged(Scale):
    def backward_into(self, dy: Any, dx: Any, cache: Workspace) -> None:
        super().backward_into(dy, dx, cache)
        self.dfactor[...] /= cache.rows


class Adding(Scale):
    def backward_into(self, dy: Any, dx: Any, cache: Workspace) -> None:
        self.dfactor += (dy * cache.x).sum(axis=0)
        if dx is not None:
            dx[...] = dy * self.factor


class Silent(Scale):
    def backward_into(self, dy: Any, dx: Any, cache: Workspace) -> None:
        self.dfactor[...] = 0.0
        if dx is not None:
            dx[...] = dy * self.factor


class Partial(Scale):
    def forward_into(self, x: Any, y: Any, cache: Workspace) -> None:
        y[1:] = x[1:] * self.factor


class Destructive(Scale):
    def backward_into(self, dy: Any, dx: Any, cache: Workspace) -> None:
        dy *= self.factor
        super().backward_into(dy, dx, cache)


class Meddling(Scale):
    def forward_into(self, x: Any, y: Any, cache: Workspace) -> None:
        x *= 1.1
        super().forward_into(x, y, cache)


class Noisy(Scale):
    def forward_into(self, x: Any, y: Any, cache: Workspace) -> None:
        y[...] = x * self.factor + np.random.default_rng().standard_normal(x.shape)


class NeedsInputGradient(Scale):
    def backward_into(self, dy: Any, dx: Any, cache: Workspace) -> None:
        super().backward_into(dy, dx, cache)
        if dx is None:
            self.dfactor[...] = 0.0


class Broken(Scale):
    def forward_into(self, x: Any, y: Any, cache: Workspace) -> None:
        y[...] = np.nan


def test_a_users_layer_passes() -> None:
    report = check(Scale(power=3), 6, rows=4)
    assert report.passed
    assert {direction.tensor for direction in report.directions} == {"x", "factor"}


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        (WithoutFactor, "gradient of x "),
        (Averaged, "gradient of factor .* 0.2 times"),
        (Silent, "gradient of factor .* zero"),
        (Adding, "overwrite .* factor"),
        (Partial, "forward .* y$"),
        (Destructive, "backward changed dy"),
        (Meddling, "forward changed x|another output the second time"),
        (Noisy, "another output the second time"),
        (NeedsInputGradient, "factor .* dx is None"),
        (Broken, "not finite"),
    ],
)
def test_a_wrong_layer_is_caught_and_the_report_says_how(layer: type[Scale], says: str) -> None:
    report = check_layer(layer(), rows=5)
    assert not report.passed
    with pytest.raises(GradientError, match=says):
        report.raise_if_failed()
    assert report.message.startswith(layer.__name__)


def test_a_wrong_layer_is_caught_inside_a_network(rng: np.random.Generator) -> None:
    network = nnx.Network([nnx.Dense(3, 4), nnx.Tanh(), Averaged(), nnx.Dense(2)], seed=1)
    x, y = rng.standard_normal((6, 3)), rng.standard_normal((6, 2))
    report = check_network(network, x, y, nnx.MeanSquaredError())
    assert not report.passed
    assert "averaged_1.factor" in report.message


@pytest.mark.parametrize("wrong", ["value", "gradient"])
def test_a_wrong_loss_is_caught(wrong: str) -> None:
    class Wrong(nnx.MeanSquaredError):
        def evaluate(self, backend: Any, y: Any, p: Any, value: Any, dy: Any, *rest: Any) -> None:
            super().evaluate(backend, y, p, value, dy, *rest)
            if wrong == "gradient" and dy is not None:
                dy *= 0.5
            if wrong == "value" and value is not None:
                value *= 2.0

    report = check_loss(Wrong())
    assert not report.passed
    assert "y_pred is wrong" in report.message
    assert "0.5 times" in report.message


def test_a_loss_that_contradicts_itself_is_caught() -> None:
    class Contradictory(nnx.MeanSquaredError):
        def gradient(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
            return 3.0 * super().gradient(y_true, y_pred, sample_weight)

    assert "differ from what evaluate gives" in check_loss(Contradictory()).message
