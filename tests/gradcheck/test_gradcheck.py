"""Every backward pass against finite differences, and the check itself against wrong gradients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import nnx
from nnx.backends import Backend
from nnx.errors import ConfigurationError, DataError, GradientError
from nnx.gradcheck import CASES, Case, check, check_layer, check_loss, check_network, registered, run_all
from nnx.layers import Workspace
from nnx.layers.activations import Activation
from nnx.layers.containers import Container

pytestmark = pytest.mark.usefixtures("on_cpu")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_gradient(case: Case, backend: Backend) -> None:
    report = case.check(backend).raise_if_failed()
    assert report.directions
    assert report.worst < 1e-6


def subclasses(base: type) -> Iterator[type]:
    for kind in base.__subclasses__():
        if kind.__module__.startswith("nnx."):
            yield kind
        yield from subclasses(kind)


@pytest.mark.parametrize("base", [nnx.Layer, nnx.Loss])
def test_every_layer_and_loss_has_a_case(base: type) -> None:
    abstract = {Activation, Container}
    elsewhere = {
        "SwapHalves"
    }  # an experiment's own layer, above gradcheck: tests/experiments/test_pretraining.py checks it
    missing = {
        kind.__name__
        for kind in subclasses(base)
        if not kind.__name__.startswith("_")
        and kind not in abstract | registered()
        and kind.__name__ not in elsewhere
    }
    assert not missing, f"no case in nnx/gradcheck/cases.py for {sorted(missing)}"


def test_run_all_reports_under_the_cases_names() -> None:
    reports = run_all("cpu")
    assert [report.name for report in reports] == [case.name for case in CASES]
    assert all(report.message.startswith(report.name) for report in reports)


# ----------------------------------------------------------- fused and not fused, one by one


@pytest.mark.parametrize(
    ("activation", "loss"),
    [("sigmoid", nnx.BinaryCrossEntropy()), ("softmax", nnx.CategoricalCrossEntropy()),
     ("sigmoid", nnx.MeanSquaredError()), ("tanh", nnx.Huber(0.2))],
)  # fmt: skip
def test_fusion_changes_no_gradient(
    backend: Backend, rng: np.random.Generator, activation: str, loss: nnx.Loss
) -> None:
    x, y = rng.standard_normal((9, 5)), rng.uniform(0.1, 0.9, (9, 3))
    gradients = []
    for fuse in (True, False):
        layers = [nnx.Dense(5, 6, activation="relu"), nnx.Dense(4, activation="gelu"), nnx.LayerNorm(),
                  nnx.Dropout(0.3), nnx.Dense(3, activation=activation)]  # fmt: skip
        network = nnx.Network(layers, device=backend, dtype="float64", seed=4, fuse=fuse)
        plan, kind = network.training_plan(loss)
        p = plan.forward(network.asarray(x))
        value, dy = backend.empty(1, "float64"), backend.empty(p.shape, "float64")
        loss.evaluate(backend, network.asarray(y), p, value, dy, None, kind)
        dx = plan.backward(dy, input_gradient=True)
        found = {name: backend.to_numpy(g).copy() for name, _, g in network.parameters()}
        gradients.append(found | {"x": backend.to_numpy(dx).copy(), "loss": backend.to_numpy(value).copy()})
    for name, fused in gradients[0].items():
        # the same mathematics in another order: a few hundred roundings of 2e-16
        np.testing.assert_allclose(fused, gradients[1][name], rtol=1e-9, atol=1e-14, err_msg=name)


def test_the_hand_written_loop_gets_the_gradients_of_fit(backend: Backend, rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((9, 5)), rng.uniform(0.1, 0.9, (9, 3))
    network = nnx.Network(
        [nnx.Dense(5, 4), nnx.Tanh(), nnx.Dense(3), nnx.Sigmoid()], device=backend, dtype="float64", seed=4
    )
    loss = nnx.BinaryCrossEntropy()
    plan, kind = network.training_plan(loss)
    dy = backend.empty((9, 3), "float64")
    loss.evaluate(backend, network.asarray(y), plan.forward(network.asarray(x)), None, dy, None, kind)
    plan.backward(dy)
    fused = network.arena.gradients.copy()
    p = network.forward(network.asarray(x), training=True)
    network.backward(loss.gradient(network.asarray(y), p))
    np.testing.assert_allclose(
        backend.to_numpy(network.arena.gradients), backend.to_numpy(fused), rtol=1e-10, atol=1e-15
    )


# ----------------------------------------------------------------- the user's own classes


class Scale(nnx.Layer):
    """A right one, whose constructor's argument is in no config; subclasses break one thing each."""

    def __init__(self, power: int = 1) -> None:
        super().__init__()
        self.power = power

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"factor": (self.inputs,)}

    def initial_values(self, generator: Any) -> dict[str, Any]:
        return {"factor": np.ones(self.inputs)}

    def forward_into(self, x: Any, y: Any, cache: Workspace) -> None:
        y[...] = x * self.factor**self.power

    def backward_into(self, dy: Any, dx: Any, cache: Workspace) -> None:
        self.dfactor[...] = (dy * cache.x * self.power * self.factor ** (self.power - 1)).sum(axis=0)
        if dx is not None:
            dx[...] = dy * self.factor**self.power


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


# --------------------------------------------------------------- where there is no derivative


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


# --------------------------------------------------------------------------- what is handed over


def test_a_built_layer_is_checked_at_its_values_and_left_alone(backend: Backend) -> None:
    layer = nnx.Dense(3, 2, seed=5)
    layer.build(device=backend)
    before = backend.to_numpy(layer.block).copy()
    layer.dblock[...] = 7.0
    assert check_layer(layer).passed
    assert layer.arena.dtype == "float32"
    np.testing.assert_array_equal(backend.to_numpy(layer.block), before)
    assert (backend.to_numpy(layer.dblock) == 7.0).all()


def test_an_unbuilt_layer_stays_unbuilt() -> None:
    layer = nnx.Dense(3)
    assert check_layer(layer, 5).passed
    assert layer.arena is None
    assert layer.inputs is None


def test_a_network_is_left_alone(backend: Backend, rng: np.random.Generator) -> None:
    network = nnx.Network([nnx.Dense(4, 3), nnx.BatchNorm(), Scale(2), nnx.Sigmoid()], device=backend, seed=1)
    weights = network.weights()
    x = rng.uniform(0.1, 0.9, (5, 4)).astype(np.float32)
    x_before = x.copy()
    report = check_network(network, x, x[:, :3], nnx.BinaryCrossEntropy(), sample_weight=[1, 2, 0, 1, 3])
    assert report.raise_if_failed().directions
    for name, value in network.weights().items():
        np.testing.assert_array_equal(value, weights[name])
    np.testing.assert_array_equal(x, x_before)


def test_an_autoencoder_whose_target_is_its_input(rng: np.random.Generator) -> None:
    network = nnx.Network([nnx.Dense(3), nnx.Tanh(), nnx.Dense(4), nnx.Sigmoid()], seed=1)
    x = rng.uniform(0.1, 0.9, (5, 4))
    assert check_network(network, x, x, nnx.BinaryCrossEntropy()).passed
    assert network.inputs is None, "the network was built by its check"


def test_a_layer_of_a_network_and_a_slice(rng: np.random.Generator) -> None:
    network = nnx.Network([nnx.Dense(4, 3), nnx.Dropout(0.5), nnx.Dense(2), nnx.Sigmoid()], seed=1)
    assert all(check(layer).passed for layer in network.layers)
    x, y = rng.standard_normal((5, 3)), rng.standard_normal((5, 2))
    assert check(network[1:3], x, y, nnx.MeanSquaredError()).passed


def test_a_lone_activation_under_its_own_loss(rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((5, 3)), rng.uniform(0.1, 0.9, (5, 3))
    assert check_network(nnx.Network([nnx.Sigmoid()]), x, y, nnx.BinaryCrossEntropy()).passed


def test_what_cannot_be_checked_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="a layer, a loss or a network"):
        check("relu")
    with pytest.raises(ConfigurationError, match="expects 3 inputs"):
        check_layer(nnx.Dense(3, 2), 4)
    layer = Scale()
    layer.generator = (number for number in range(3))
    with pytest.raises(ConfigurationError, match="cannot be copied"):
        check_layer(layer)
    with pytest.raises(DataError, match="targets of shape"):
        check_loss(nnx.MeanSquaredError(), y_true=np.ones((3, 2)), features=4)
