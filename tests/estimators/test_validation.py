"""Validation data of the user's own, through pipelines and searches too, and what early stopping follows."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from support.estimated import ALL, AUTOENCODER, CLASSIFIER, REGRESSOR, X, Y, fitted, outputs

import nnx
from nnx.estimators import NetworkClassifier

pytestmark = pytest.mark.usefixtures("on_cpu")

TRAIN, REST = np.arange(0, 150, 2), np.arange(1, 150, 2)


def ids(estimator):
    return type(estimator).__name__


def validation_of(estimator, rows=REST):
    """The arguments of `fit` for validation data."""
    return {"X_val": X[rows]} | ({} if estimator is AUTOENCODER else {"y_val": Y[rows]})


def loss_of(model, rows=REST):
    """The loss of a fitted estimator on rows, computed from its outputs."""
    if ids(model) == "NetworkClassifier":
        return -np.log(model.predict_proba(X[rows])[np.arange(len(rows)), Y[rows]]).mean()
    if ids(model) == "NetworkRegressor":
        return np.mean((model.predict(X[rows]) - Y[rows]) ** 2)
    return np.mean((model.inverse_transform(model.transform(X[rows])) - X[rows]) ** 2)


@pytest.mark.parametrize("estimator", ALL, ids=ids)
def test_validation_data_are_measured_and_change_nothing(estimator):
    plain = clone(estimator).fit(X[TRAIN], Y[TRAIN])
    model = clone(estimator).fit(X[TRAIN], Y[TRAIN], **validation_of(estimator))
    assert (outputs(model) == outputs(plain)).all()
    assert plain.validation_curve_ == plain.validation_loss_curve_ == []
    assert len(model.validation_curve_) == model.n_iter_
    assert model.validation_curve_ == model.validation_loss_curve_
    assert model.validation_curve_[-1] == pytest.approx(loss_of(model), rel=1e-9)


@pytest.mark.parametrize("estimator", ALL, ids=ids)
def test_early_stopping_follows_them_and_trains_on_all_of_x(estimator):
    few, other = REST[::4], REST[1::4]
    options = {"early_stopping": True, "patience": 2, "epochs": 3000, "learning_rate": 0.05}
    model = clone(estimator).set_params(**options)
    model.fit(X[few], Y[few], **validation_of(estimator, other))
    curve = model.validation_loss_curve_
    assert np.argmin(curve) == len(curve) - 1 - 2
    assert loss_of(model, other) == pytest.approx(min(curve), rel=1e-6)
    same = clone(estimator).set_params(learning_rate=0.05, epochs=len(curve)).fit(X[few], Y[few])
    assert model.loss_curve_ == same.loss_curve_


def test_early_stopping_follows_a_metric_and_keeps_its_best_epoch():
    options = {"early_stopping": True, "patience": 3, "epochs": 200}
    for monitor in ("accuracy", "val_accuracy", balanced_accuracy_score):
        model = clone(CLASSIFIER).set_params(monitor=monitor, **options)
        model.fit(X[TRAIN], Y[TRAIN], **validation_of(CLASSIFIER))
        curve = model.validation_curve_
        assert len(curve) == len(model.validation_loss_curve_) == model.n_iter_ < 200
        assert np.argmax(curve) == len(curve) - 1 - 3  # larger is better
        assert model.score(X[REST], Y[REST]) == pytest.approx(max(curve))
    with pytest.raises(nnx.ConfigurationError, match="unknown metric 'acuracy': did you mean 'accuracy'"):
        fitted(CLASSIFIER, monitor="acuracy")
    with pytest.raises(nnx.ConfigurationError, match="monitor must be 'val_loss', 'loss', or a metric"):
        fitted(CLASSIFIER, monitor=7)


def test_the_mode_says_which_value_of_a_metric_is_better():
    def largest_error(y_true, y_pred):
        return float(np.abs(y_true - y_pred).max())

    options = {"monitor": largest_error, "early_stopping": True, "patience": 2, "epochs": 500}
    model = clone(REGRESSOR).set_params(**options)
    with pytest.raises(nnx.ConfigurationError, match=r"set mode='min' or mode='max'"):
        model.fit(X[TRAIN], Y[TRAIN], **validation_of(REGRESSOR))
    model.set_params(mode="min").fit(X[TRAIN], Y[TRAIN], **validation_of(REGRESSOR))
    assert np.argmin(model.validation_curve_) == model.n_iter_ - 1 - 2
    with pytest.raises(nnx.ConfigurationError, match="mode must be auto, min or max"):
        model.set_params(mode="least").fit(X, Y)


def test_the_training_loss_can_stop_training_and_holds_out_no_rows():
    options = {"early_stopping": True, "learning_rate": 0.3, "patience": 2, "epochs": 500}
    model = fitted(CLASSIFIER, monitor="loss", **options)
    curve = model.loss_curve_
    assert np.argmin(curve) == len(curve) - 1 - 2
    assert model.validation_curve_ == model.validation_loss_curve_ == []
    whole = fitted(CLASSIFIER, learning_rate=0.3, epochs=len(curve))
    assert curve == whole.loss_curve_  # of all rows
    with pytest.warns(ConvergenceWarning, match="the training loss still improved"):
        fitted(CLASSIFIER, monitor="loss", early_stopping=True, epochs=3)
    with pytest.warns(ConvergenceWarning, match="the val_accuracy still improved"):
        fitted(CLASSIFIER, monitor="accuracy", early_stopping=True, epochs=2)


def test_weights_of_rows_and_of_classes_count_in_validation():
    weights = np.where(Y[REST] == 1, 3.0, 1.0)
    given = {**validation_of(CLASSIFIER), "sample_weight_val": weights}
    by_row = clone(CLASSIFIER).fit(X[TRAIN], Y[TRAIN], **given)
    p = by_row.predict_proba(X[REST])[np.arange(75), Y[REST]]
    assert by_row.validation_curve_[-1] == pytest.approx(np.average(-np.log(p), weights=weights))
    by_class = clone(CLASSIFIER).set_params(class_weight={0: 1.0, 1: 3.0, 2: 1.0})
    by_class.fit(X[TRAIN], Y[TRAIN], **validation_of(CLASSIFIER))
    p = by_class.predict_proba(X[REST])[np.arange(75), Y[REST]]
    assert by_class.validation_curve_[-1] == pytest.approx(np.average(-np.log(p), weights=weights))
    # balanced factors are those of y, not of y_val
    uneven = np.r_[0:50, 50:60, 100:150]
    balanced = clone(CLASSIFIER).set_params(class_weight="balanced")
    balanced.fit(X[uneven], Y[uneven], **validation_of(CLASSIFIER))
    p = balanced.predict_proba(X[REST])[np.arange(75), Y[REST]]
    factors = np.where(Y[REST] == 1, 110 / 30, 110 / 150)
    assert balanced.validation_curve_[-1] == pytest.approx(np.average(-np.log(p), weights=factors))


def test_several_labels_and_sparse_rows_are_validated():
    x, y = make_multilabel_classification(n_classes=4, random_state=0)
    model = clone(CLASSIFIER).set_params(monitor="binary_accuracy", class_weight="balanced")
    model.fit(x[:60], y[:60], X_val=x[60:], y_val=sparse.csr_array(y[60:]))
    dense = clone(model).fit(x[:60], y[:60], X_val=sparse.csr_array(x[60:]), y_val=y[60:])
    assert model.validation_curve_ == dense.validation_curve_
    assert len(model.validation_curve_) == 30


def test_a_warm_start_continues_a_curve_of_the_same_value():
    model = fitted(CLASSIFIER, warm_start=True, epochs=2)
    for epochs in (2, 4):
        model.fit(X, Y, **validation_of(CLASSIFIER))
        assert len(model.validation_curve_) == epochs
    model.set_params(monitor="accuracy").fit(X, Y, **validation_of(CLASSIFIER))
    assert len(model.validation_curve_) == 2
    assert len(model.validation_loss_curve_) == 6


@pytest.mark.parametrize("estimator", ALL, ids=ids)
def test_a_pipeline_scales_validation_data_and_a_search_passes_them(estimator):
    shifted, name = 5.0 + 3.0 * X, ids(estimator).lower()
    given = validation_of(estimator) | {"X_val": shifted[REST]}
    with sklearn.config_context(enable_metadata_routing=True):
        asked = clone(estimator).set_fit_request(**dict.fromkeys(given, True))
        steps = [("scaler", StandardScaler()), (name, asked)]
        pipeline = Pipeline(steps, transform_input=["X_val"])
        pipeline.fit(shifted[TRAIN], Y[TRAIN], **given)
        scaler = StandardScaler().fit(shifted[TRAIN])
        scaled = given | {"X_val": scaler.transform(shifted[REST])}
        alone = clone(estimator).fit(scaler.transform(shifted[TRAIN]), Y[TRAIN], **scaled)
        assert pipeline[-1].validation_curve_ == alone.validation_curve_
        search = GridSearchCV(pipeline, {f"{name}__epochs": [2, 3]}, cv=2)
        search.fit(shifted[TRAIN], Y[TRAIN], **given)
        best = search.best_estimator_[-1]
        assert len(best.validation_curve_) == best.n_iter_ == search.best_params_[f"{name}__epochs"]
        unasked = make_pipeline(StandardScaler(), clone(estimator))
        with pytest.raises(ValueError, match="are passed but are not explicitly set as requested"):
            unasked.fit(shifted[TRAIN], Y[TRAIN], **given)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"X_val": X}, "X_val is given without y_val"),
        ({"y_val": Y}, "y_val is given without X_val"),
        ({"sample_weight_val": Y}, "sample_weight_val is given without X_val"),
        ({"X_val": X[:, :3], "y_val": Y}, "X_val has rows of shape (3,), but X has rows of shape (4,)"),
        ({"X_val": X * np.nan, "y_val": Y}, "X_val contains NaN"),
        ({"X_val": X, "y_val": Y[:9]}, "inconsistent numbers of samples"),
        ({"X_val": X, "y_val": Y + 1}, "y_val contains unseen labels [3]: the classes of y are [0, 1, 2]"),
        ({"X_val": X, "y_val": Y, "sample_weight_val": -Y}, "must not hold negative numbers"),
    ],
)
def test_validation_data_that_do_not_fit_are_refused_in_a_line(given, text):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is looked at below
        clone(CLASSIFIER).fit(X, Y, **given)
    assert text in str(caught.value).partition("\n")[0]


def test_targets_of_another_form_are_refused():
    with pytest.raises(nnx.DataError, match="y_val has 2 outputs, but y has 1"):
        clone(REGRESSOR).fit(X, Y, X_val=X, y_val=np.column_stack([Y, Y]))
    x, y = make_multilabel_classification(n_classes=4, random_state=0)
    with pytest.raises(nnx.DataError, match="0 and 1 for 4 labels"):
        NetworkClassifier(epochs=1).fit(x, y, X_val=x, y_val=y[:, :3])


def test_names_of_columns_are_compared():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    clone(CLASSIFIER).fit(frame, Y, X_val=frame, y_val=Y)
    with pytest.raises(ValueError, match="feature names"):
        clone(CLASSIFIER).fit(frame, Y, X_val=frame[list("badc")], y_val=Y)
