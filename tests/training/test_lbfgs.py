"""L-BFGS: the minimum that SciPy finds, steps that only go down, resuming, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from support.small_networks import X37 as X
from support.small_networks import Y37 as Y
from support.small_networks import Recorder, fit, regressor, same_bytes

import nnx
from nnx.training import lbfgs

pytestmark = pytest.mark.usefixtures("device")
WEIGHTS = np.random.default_rng(3).uniform(0.0, 2.0, 37)
LABELS = np.random.default_rng(4).integers(0, 3, 37)
L2 = 0.03


def test_the_minimum_is_that_of_scipy():
    """Of a regularised logistic regression, which has only one; with weights of rows."""
    network = nnx.Network([nnx.Dense(3, 3), nnx.Softmax()], dtype="float64", seed=0)
    optimizer = nnx.LBFGS(l2=L2, tolerance=1e-9)
    history = fit(
        network, y=LABELS, loss="cross_entropy", optimizer=optimizer, epochs=200, sample_weight=WEIGHTS
    )
    assert len(history.epochs) < 60
    x, share = X.astype(float), WEIGHTS / WEIGHTS.sum()

    def objective(w):
        z = x @ w[:9].reshape(3, 3) + w[9:]
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        dz = (p - np.eye(3)[LABELS]) * share[:, None]
        value = -(share * np.log(p[np.arange(37), LABELS])).sum() + 0.5 * L2 * w @ w
        return value, np.concatenate([(x.T @ dz).ravel(), dz.sum(axis=0)]) + L2 * w

    expected = minimize(objective, np.zeros(12), jac=True, options={"gtol": 1e-10}).x
    found = np.concatenate([value.ravel() for value in network.weights().values()])
    np.testing.assert_allclose(found, expected, atol=1e-7)
    assert history["loss"][-1] == pytest.approx(objective(found)[0] - 0.5 * L2 * found @ found)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_step_goes_down_and_the_end_is_far_below_that_of_adam(dtype):
    network, adam = regressor(dtype=dtype), regressor(dtype=dtype)
    history = fit(network, optimizer=nnx.LBFGS(), epochs=150)
    assert (np.diff(history["loss"]) <= 0).all()
    assert history["loss"][-1] < fit(adam, optimizer="adam", epochs=150)["loss"][-1] / 10
    assert network.evaluate(X, Y, loss="mse")["loss"] == pytest.approx(history["loss"][-1], rel=1e-4)


@pytest.mark.parametrize("rows", [8, 37])
def test_the_number_of_rows_of_a_pass_changes_only_rounding(monkeypatch, rows):
    callbacks = [nnx.WeightStatistics()]
    options = {"epochs": 8, "sample_weight": WEIGHTS, "callbacks": callbacks}
    whole = fit(regressor(dtype="float64"), optimizer=nnx.LBFGS(), **options)
    monkeypatch.setattr(lbfgs, "LEAST", 1)
    network = regressor(dtype="float64")
    parts = fit(network, optimizer=nnx.LBFGS(), batch_size=rows, **options)
    np.testing.assert_allclose(parts["loss"], whole["loss"], rtol=1e-8)
    norm = "gradient_norm/dense_1"  # of all rows, not of those of the last pass
    np.testing.assert_allclose(parts.statistics[norm], whole.statistics[norm], rtol=1e-6)
    assert parts.steps == 8


def test_it_ends_when_the_gradient_is_small_or_no_step_goes_down():
    seen = Recorder()
    history = fit(regressor(), optimizer=nnx.LBFGS(tolerance=0.01), epochs=500, callbacks=[seen])
    assert history.steps < 100
    exact = fit(regressor(), optimizer=nnx.LBFGS(tolerance=0.0), epochs=5000)
    assert len(exact.epochs) < 5000
    assert exact["loss"][-1] <= history["loss"][-1]


def test_frozen_layers_stay():
    network = regressor()
    network[0].trainable = False
    before = network.weights()
    fit(network, optimizer=nnx.LBFGS(l2=0.1), epochs=5)
    for name, value in network.weights().items():
        assert (value.tobytes() == before[name].tobytes()) == name.startswith("dense_1")


class Killed(BaseException):
    pass


class Stop(nnx.Callback):
    def on_epoch_end(self, run):
        if run.epoch == 14:
            raise Killed


def test_a_killed_run_resumes_and_equals_an_uninterrupted_one(tmp_path):
    """With fewer changes stored than steps taken."""
    whole, network = regressor(), regressor()
    options = {"epochs": 25, "validation": (X[:5], Y[:5])}
    expected = fit(whole, optimizer=nnx.LBFGS(history=4), **options)
    with pytest.raises(Killed):
        fit(network, optimizer=nnx.LBFGS(history=4), callbacks=[Stop()],
            checkpoint=nnx.Checkpoint(tmp_path, every=3), **options)  # fmt: skip
    resumed = regressor()
    again = nnx.Checkpoint(tmp_path, every=3, resume=True)
    history = fit(resumed, optimizer=nnx.LBFGS(history=4), checkpoint=again, **options)
    same_bytes(resumed.weights(), whole.weights())
    assert history.metrics == expected.metrics


def test_parameters_that_a_callback_changes_are_those_of_the_next_step():
    class Halve(nnx.Callback):
        def on_epoch_end(self, run):
            weights = {name: value / 2 for name, value in run.network.weights().items()}
            run.network.set_weights(weights)

    halved, by_hand = regressor(dtype="float64"), regressor(dtype="float64")
    fit(halved, optimizer=nnx.LBFGS(history=1), epochs=2, callbacks=[Halve()])
    optimizer = nnx.LBFGS(history=1)
    for _ in range(2):
        fit(by_hand, optimizer=optimizer, epochs=1, callbacks=[Halve()])
    same_bytes(halved.weights(), by_hand.weights())


@pytest.mark.parametrize(
    ("layers", "options", "text"),
    [
        ([nnx.Dropout(0.1)], {}, "dropout_1, which draws random numbers"),
        ([nnx.BatchNorm()], {}, "running statistics"),
        ([], {"accumulate": 2}, "accumulate"),
        ([], {"average": 0.9}, "average"),
        ([], {"augment": lambda generator, x, y: (x, y)}, "augment"),
        ([], {"on_nonfinite": "skip"}, "on_nonfinite='skip'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_go_together_is_refused(layers, options, text):
    network = nnx.Network(
        [nnx.Dense(3, 4), *(type(one)(**one.config()) for one in layers), nnx.Dense(2)], seed=0
    )
    with pytest.raises(nnx.ConfigurationError, match=text):
        fit(network, optimizer=nnx.LBFGS(), **options)


def test_a_start_that_is_not_finite_is_an_error():
    with pytest.raises(nnx.TrainingError, match="before a step was taken"):
        fit(regressor(), y=Y * np.float32(1e30), optimizer=nnx.LBFGS())
