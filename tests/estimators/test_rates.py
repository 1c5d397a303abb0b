"""Schedules by name, averages and several batches a step in the estimators; L-BFGS by its name."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris

import nnx
from nnx.estimators import Autoencoder, NetworkClassifier, NetworkRegressor

pytestmark = pytest.mark.usefixtures("on_cpu")
X, LABELS = load_iris(return_X_y=True)
Y = X[:, :2] @ [1.0, -2.0]
KINDS = {"cosine": nnx.Cosine, "one_cycle": nnx.OneCycle, "restarts": nnx.WarmRestarts}


def regressor(**options):
    defaults = {"hidden_layer_sizes": 6, "epochs": 4, "batch_size": 32, "random_state": 0}
    return NetworkRegressor(**(defaults | options))


def schedule_of(estimator):
    (optimizer,) = estimator.network_.arena.states
    return optimizer.schedule


@pytest.mark.parametrize("name", KINDS)
def test_a_schedule_covers_all_steps_of_a_fit(name):
    made = regressor(schedule=name, learning_rate=0.1, accumulate=2).fit(X, Y)
    schedule = schedule_of(made)
    assert type(schedule) is KINDS[name]
    rates = [schedule(step) for step in range(4 * 3)]  # 150 rows in steps of 64
    assert 0.095 < max(rates) <= 0.1
    assert rates[-1] < 0.04  # of the few steps, the last one is not quite at the end
    made.set_params(warm_start=True).fit(X, Y)  # a new schedule: the old one has ended
    assert len(made.loss_curve_) == 8
    (newest,) = {one for one in made.network_.arena.states if one is made._optimized_by[1]}
    assert made.network_.arena.states[newest].step == 12


def test_steps_of_partial_fit_follow_one_schedule():
    made = regressor(schedule="cosine", learning_rate=0.1)
    for _ in range(3):
        made.partial_fit(X, Y)
    (kept,) = made.network_.arena.states.values()
    assert kept.step == 3 * 5


@pytest.mark.parametrize("stopping", [False, True])
def test_a_plateau_lowers_the_rate(stopping):
    """Nothing can be learned here: the loss does not improve for long."""
    noise = np.random.default_rng(0).integers(0, 2, 150)
    made = NetworkClassifier(
        (), schedule="plateau", patience=4, epochs=60, learning_rate=1.0, early_stopping=stopping,
        random_state=0,
    )  # fmt: skip
    made.fit(np.random.default_rng(1).normal(size=(150, 3)), noise)
    (kept,) = made.network_.arena.states.values()
    assert kept.scale < 0.2


def test_averages_and_batches_reach_the_network():
    plain, averaged = regressor().fit(X, Y), regressor(average=0.9).fit(X, Y)
    np.testing.assert_allclose(plain.loss_curve_, averaged.loss_curve_, rtol=1e-10)
    assert (plain.predict(X) != averaged.predict(X)).any()
    large = regressor(batch_size=64).fit(X, Y)
    np.testing.assert_allclose(regressor(accumulate=2).fit(X, Y).loss_curve_, large.loss_curve_, rtol=1e-10)
    coder = Autoencoder(1, 4, schedule="one_cycle", average=0.9, accumulate=2, epochs=3, random_state=0)
    assert clone(coder).fit(X).get_params()["average"] == 0.9


def test_a_schedule_that_has_ended_is_not_continued():
    made = regressor(schedule="cosine").fit(X, Y)
    with pytest.raises(nnx.ConfigurationError, match="has ended with a learning rate of 0"):
        made.partial_fit(X, Y)
    begun = regressor(schedule="cosine").partial_fit(X, Y)  # one of its epochs
    before = begun.predict(X)
    assert (begun.partial_fit(X, Y).predict(X) != before).any()


def test_lbfgs_by_its_name_fits_small_data():
    made = regressor(optimizer="lbfgs", epochs=200, hidden_layer_sizes=(20,)).fit(X, Y)
    assert made.score(X, Y) > 0.9999
    assert NetworkClassifier(8, optimizer="lbfgs", random_state=0).fit(X, LABELS).score(X, LABELS) > 0.97


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"schedule": "sine"}, "unknown schedule 'sine': did you mean 'cosine'"),
        ({"schedule": "cosine", "optimizer": nnx.Adam()}, "give the optimizer by its name"),
        ({"schedule": "cosine", "learning_rate": nnx.Step(0.1, 3)}, "give the optimizer by its name"),
        ({"schedule": "plateau", "optimizer": "lbfgs"}, "lbfgs has no learning rate"),
        ({"optimizer": "lbfgs", "learning_rate": 0.1}, "no argument 'learning_rate'"),
        ({"average": 1.0}, "average must"),
        ({"accumulate": 0}, "accumulate must"),
    ],
)
def test_wrong_parameters_are_refused(options, text):
    with pytest.raises(nnx.ConfigurationError, match=text):
        regressor(**options).fit(X, Y)
