"""Training of the estimators for tables: rows held out, validation data, the best epoch, batches."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from support.small_tables import classes_for, numbers_for, table

import nnx
from nnx.estimators import TabularClassifier, TabularRegressor
from nnx.estimators.tabular_base import _held_out

QUICK = {"hidden_layer_sizes": 16, "members": 2, "epochs": 12, "learning_rate": 0.01, "random_state": 0}
TRAIN, VALIDATION = table(300), table(100, seed=1)


def test_the_parameters_are_those_of_the_best_epoch():
    y_val = numbers_for(VALIDATION)
    model = TabularRegressor(**QUICK | {"learning_rate": 0.1, "epochs": 30}).fit(
        TRAIN, numbers_for(TRAIN), X_val=VALIDATION, y_val=y_val
    )
    assert len(model.validation_curve_) == model.n_iter_ == len(model.loss_curve_)
    errors = (model.predict(VALIDATION) - y_val) / model.scale_
    assert np.mean(errors**2) == pytest.approx(min(model.validation_curve_), rel=1e-4)


def test_training_stops_after_epochs_without_a_better_one():
    noise = np.random.default_rng(0).standard_normal(300)
    model = TabularRegressor(**QUICK | {"epochs": 200, "patience": 3}).fit(TRAIN, noise)
    assert model.n_iter_ == int(np.argmin(model.validation_curve_)) + 1 + 3


def test_without_early_stopping_all_rows_are_trained_for_all_epochs():
    seen = []

    class Count(nnx.Callback):
        def on_train_begin(self, run):
            seen.append(run.batches)

    options = QUICK | {"batch_size": 10, "early_stopping": False, "callbacks": [Count()]}
    model = TabularRegressor(**options).fit(TRAIN, numbers_for(TRAIN))
    assert seen == [30]
    assert (model.n_iter_, model.validation_curve_) == (12, [])


def test_classes_too_rare_for_equal_shares_can_still_be_trained():
    y = classes_for(TRAIN)
    y[0] = "once"
    assert "once" in TabularClassifier(**QUICK | {"epochs": 2}).fit(TRAIN, y).classes_
    labels = np.array([0] * 8 + [1])
    train, rest = _held_out(9, 0.3, 0, labels)
    assert sorted([*train, *rest]) == list(range(9))


def test_rows_held_out_have_the_same_share_of_each_class():
    labels = np.array([0] * 90 + [1] * 10)
    _, rest = _held_out(100, 0.2, 0, labels)
    assert labels[rest].sum() == 2


def test_half_of_the_validation_data_is_refused():
    for half in ({"X_val": VALIDATION}, {"y_val": numbers_for(VALIDATION)}):
        with pytest.raises(nnx.ConfigurationError, match="give both X_val and y_val"):
            TabularRegressor(**QUICK).fit(TRAIN, numbers_for(TRAIN), **half)
    with pytest.raises(nnx.DataError, match="unseen labels"):
        TabularClassifier(**QUICK).fit(TRAIN, classes_for(TRAIN), X_val=VALIDATION, y_val=["x"] * 100)


def test_it_works_in_a_pipeline_and_as_a_clone():
    pandas = pytest.importorskip("pandas")
    frame, y = pandas.DataFrame(TRAIN), numbers_for(TRAIN)
    model = make_pipeline(
        FunctionTransformer(lambda X: X.assign(double=2 * X["size"])), TabularRegressor(**QUICK)
    )
    copy = clone(model).fit(frame, y)
    np.testing.assert_array_equal(copy.predict(frame), model.fit(frame, y).predict(frame))


def test_float64_is_a_precision():
    model = TabularRegressor(**QUICK | {"epochs": 2}, precision="float64").fit(TRAIN, numbers_for(TRAIN))
    assert model.network_.dtype == np.float64
