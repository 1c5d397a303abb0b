"""The search for a learning rate changes nothing, and suggests a rate before the minimum of the loss."""

from __future__ import annotations

import numpy as np
import pytest
from support.small_networks import X37 as X
from support.small_networks import Y37 as Y
from support.small_networks import every_layer, fit, regressor

import nnx
from nnx.training.finder import _suggested

pytestmark = pytest.mark.usefixtures("device")
OPTIONS = {"loss": "mse", "optimizer": "adam", "batch_size": 8}


def test_the_network_and_the_optimizer_stay_as_they_were():
    searched, plain, optimizer = every_layer(), every_layer(), nnx.Adam(0.01)
    y = np.abs(np.random.default_rng(0).normal(size=(37, 6))) / 6
    other = nnx.Adam(0.01)
    before = [fit(searched, y=y, optimizer=optimizer), fit(plain, y=y, optimizer=other)]
    found = searched.lr_find(X, y, loss="mse", optimizer=optimizer, batch_size=8)
    assert len(found.rates) > 10
    assert optimizer.learning_rate == 0.01
    after = [fit(searched, y=y, optimizer=optimizer), fit(plain, y=y, optimizer=other)]
    for one, same in (before, after):
        assert one["loss"] == same["loss"]
    for name, value in plain.weights().items():
        assert value.tobytes() == searched.weights()[name].tobytes()


def test_a_network_that_is_not_built_yet_stays_so():
    network = nnx.Network([nnx.Dense(6), nnx.Tanh(), nnx.Dense(2)], seed=0)
    assert network.lr_find(X, Y, **OPTIONS).suggested is not None
    assert network.input_shape is None


def test_the_losses_are_those_of_rising_rates():
    network = regressor(dtype="float64")
    found = network.lr_find(
        X, Y, loss="mse", optimizer=nnx.SGD(0.5), batch_size=8, steps=20, low=1e-3, high=0.1
    )
    expected = 1e-3 * 100 ** (np.arange(20) / 19)
    np.testing.assert_allclose(found.rates, expected, rtol=1e-12)
    losses = []

    class Losses(nnx.Callback):
        def on_step_end(self, run):
            losses.append(float(run.losses[run.batch]))

    fit(regressor(dtype="float64"), optimizer=nnx.SGD(nnx.Exponential(1e-3, 19, 100.0)), callbacks=[Losses()])
    np.testing.assert_allclose(found.losses, losses, rtol=1e-12)


def test_the_rates_of_groups_keep_their_ratio():
    groups = {"*.b": {"learning_rate": 0.0}, "dense_2.W": {"learning_rate": 0.2}}
    network = regressor(dtype="float64")
    options = {"loss": "mse", "batch_size": 8, "steps": 20, "low": 1e-3, "high": 0.1}
    found = network.lr_find(X, Y, optimizer=nnx.SGD(0.1, groups=groups), **options)
    plain = network.lr_find(X, Y, optimizer=nnx.SGD(0.1), **options)
    rising = {
        "*.b": {"learning_rate": 0.0}, "dense_2.W": {"learning_rate": nnx.Exponential(2e-3, 19, 100.0)}
    }  # fmt: skip
    by_hand = nnx.SGD(nnx.Exponential(1e-3, 19, 100.0), groups=rising)
    losses = fit(regressor(dtype="float64"), optimizer=by_hand)["loss"]
    epochs = np.split(found.losses, [5, 10, 15])
    means = [np.average(epoch, weights=[8, 8, 8, 8, 5]) for epoch in epochs]
    np.testing.assert_allclose(means, losses, rtol=1e-9)
    assert (plain.losses != found.losses).any()


def test_a_search_ends_where_the_loss_is_not_finite_or_diverges():
    found = regressor().lr_find(X, Y, loss="mse", optimizer="sgd", batch_size=8, high=1e12)
    assert len(found.rates) < 100
    assert np.isfinite(found.losses).all()
    assert 1e-7 < found.suggested < found.rates[np.argmin(found.smoothed)]


def test_the_suggestion_is_a_quarter_of_the_fall():
    rates = np.geomspace(1e-5, 1.0, 6)
    assert _suggested(rates, np.array([4.0, 4.0, 3.5, 2.9, 2.0, 5.0])) == pytest.approx(0.001)
    assert _suggested(rates, np.array([4.0, 5.0, 6.0, 7.0, 8.0, 9.0])) is None


@pytest.mark.parametrize(
    "options",
    [
        {"low": 1, "high": 0.1}, {"low": 0}, {"steps": 3}, {"batch_size": 99}, {"optimizer": nnx.LBFGS()},
    ],
)  # fmt: skip
def test_wrong_options_are_refused(options):
    with pytest.raises(nnx.ConfigurationError):
        regressor().lr_find(X, Y, **(OPTIONS | options))


def test_a_loss_that_is_never_finite_is_an_error():
    with pytest.raises(nnx.TrainingError, match="not finite at a learning rate of 1e-07 already"):
        regressor().lr_find(X, Y * np.float32(1e30), **OPTIONS)
