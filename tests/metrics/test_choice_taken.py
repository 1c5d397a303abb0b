"""`fit` and `evaluate` give each metric the targets, predictions and weights that it needs, or refuse it."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from sklearn import metrics as reference
from support.targets import CLASSES, TOGETHER, VALUES, W, X

import nnx
from nnx import metrics

pytestmark = pytest.mark.usefixtures("device")

RNG = np.random.default_rng(8)
IN_0_1 = r"\[0, 1\]"


def fit(y, *last, loss, epochs=1, x=X, **options):
    outputs = y.shape[1] if y.ndim == 2 else 3
    network = nnx.Network([nnx.Dense(3, 8), nnx.Tanh(), nnx.Dense(outputs), *last], seed=0)
    given = {"optimizer": nnx.Adam(0.05), "validation": (x, y)} | options
    return network, network.fit(x, y, loss=loss, epochs=epochs, **given)


def test_accuracy_of_labels_that_come_together_is_that_of_whole_rows():
    network, history = fit(
        TOGETHER,
        nnx.Sigmoid(),
        loss=nnx.BinaryCrossEntropy(),
        epochs=20,
        metrics=["accuracy", "binary_accuracy"],
    )
    right = (network.predict(X) > 0.5) == TOGETHER
    assert history["val_accuracy"][-1] == right.all(axis=1).mean() > 0.8
    assert history["val_binary_accuracy"][-1] == right.mean() > history["val_accuracy"][-1]


@pytest.mark.parametrize("together", [False, True])
def test_logits_are_compared_as_probabilities(together):
    y = TOGETHER if together else TOGETHER[:, :1]
    names = ["accuracy", "binary_accuracy", "binary_cross_entropy"]
    network, history = fit(y, loss=nnx.BinaryCrossEntropy(from_logits=True), epochs=3, metrics=names)
    p = 1.0 / (1.0 + np.exp(-network.predict(X).astype(np.float64)))
    assert history["val_accuracy"][-1] == np.mean(((p > 0.5) == y).all(axis=1))
    assert history["val_binary_accuracy"][-1] == np.mean((p > 0.5) == y)
    expected = metrics.binary_cross_entropy(y, p)
    assert history["val_binary_cross_entropy"][-1] == pytest.approx(expected, rel=1e-5)  # p is float32's


def test_outputs_that_estimate_0_and_1_may_lie_outside():
    """Least squares on 0 and 1, without a sigmoid: 0.5 is the threshold, and 1.1 says 1."""
    y = TOGETHER[:, :1]
    network, history = fit(
        y, loss=nnx.MeanSquaredError(), epochs=30, metrics=["accuracy", "binary_cross_entropy"]
    )
    p = network.predict(X)
    assert p.max() > 1.0
    assert p.min() < 0.0
    assert history["val_accuracy"][-1] == np.mean((p > 0.5) == y) > 0.9
    assert math.isfinite(history["val_binary_cross_entropy"][-1])


@pytest.mark.parametrize("loss", [nnx.MeanSquaredError(), nnx.MeanAbsoluteError(), nnx.Huber()])
@pytest.mark.parametrize(
    "metric", [metrics.accuracy, functools.partial(metrics.accuracy), reference.accuracy_score]
)
def test_the_largest_of_several_estimates_may_lie_outside(loss, metric):
    """Cut off at 1, outputs of 1.2 and 1.5 would be equally large."""
    network = nnx.Network([nnx.Dense(3, 3)], seed=0)
    network.set_weights({"dense_1.W": np.zeros((3, 3)), "dense_1.b": np.array([1.2, 1.5, 0.1])})
    y = np.tile([0.0, 1.0, 0.0], (80, 1))
    y[:8] = [1.0, 0.0, 0.0]
    assert network.evaluate(X, y, loss=loss, metrics={"right": metric})["right"] == 0.9
    y[8:, 0] = 1.0  # labels that come together: each is compared with 0.5
    assert network.evaluate(X, y, loss=loss, metrics={"right": metric})["right"] == 0.9
    left_out = np.where(np.arange(80) < 8, 1.0, 0.0)  # the rows that count have one class again
    found = network.evaluate(X, y, loss=loss, metrics={"right": metric}, sample_weight=left_out)
    assert found["right"] == 0.0


@pytest.mark.parametrize(
    ("y", "loss", "metric", "words"),
    [
        (VALUES, nnx.MeanSquaredError(), "accuracy", "labels"),
        (X, nnx.MeanSquaredError(), "binary_accuracy", "labels"),
        (VALUES, nnx.MeanSquaredError(), "binary_cross_entropy", IN_0_1),
        (CLASSES, nnx.CategoricalCrossEntropy(), "mse", r"\(80,\) and y_pred of shape \(80, 3\) must have"),
        (VALUES, nnx.MeanSquaredError(), reference.f1_score, "f1_score: targets between"),
        (CLASSES, nnx.CategoricalCrossEntropy(), reference.f1_score, "'f1_score': Target is multiclass but"),
        (
            CLASSES,
            nnx.CategoricalCrossEntropy(),
            reference.roc_auc_score,
            "'roc_auc_score': multi_class must",
        ),
        (CLASSES, nnx.CategoricalCrossEntropy(), reference.r2_score, r"'r2_score': .*of shape \(80, 3\)"),
        (
            VALUES,
            nnx.MeanSquaredError(),
            reference.roc_auc_score,
            "'roc_auc_score': .*options with functools",
        ),
        (VALUES, nnx.MeanSquaredError(), reference.mean_gamma_deviance, "'mean_gamma_deviance': .*positive"),
        (VALUES, nnx.MeanSquaredError(), reference.get_scorer("r2"), "scores an estimator, not predictions"),
    ],
)
def test_a_metric_that_does_not_fit_is_refused_before_training(y, loss, metric, words):
    last = [nnx.Softmax()] if y.ndim == 1 else []
    network = nnx.Network([nnx.Dense(3, 3 if y.ndim == 1 else y.shape[1]), *last], seed=0)
    before = network.weights()
    with pytest.raises((nnx.DataError, nnx.ConfigurationError), match=words):
        network.fit(X, y, loss=loss, optimizer=nnx.SGD(0.1), validation=(X, y), metrics=[metric])
    np.testing.assert_equal(network.weights(), before)


def test_a_function_of_probabilities_of_two_classes_is_refused_before_training():
    network = nnx.Network([nnx.Dense(3, 2), nnx.Softmax()], seed=0)
    options = {"loss": nnx.CategoricalCrossEntropy(), "optimizer": nnx.SGD(0.1), "validation": 0.5}
    y, before = np.arange(80) % 2, network.weights()
    with pytest.raises(nnx.DataError, match=r"metric 'roc_auc_score': .*predictions of shape \(40, 2\)"):
        network.fit(X, y, metrics=[reference.roc_auc_score], **options)
    np.testing.assert_equal(network.weights(), before)
    history = network.fit(X, y, metrics={"auc": lambda y, p: reference.roc_auc_score(y, p[:, 1])}, **options)
    assert history["val_auc"][-1] == reference.roc_auc_score(y[40:], network.predict(X[40:])[:, 1])


def test_scikit_learns_functions_are_tried_with_their_options():
    area = functools.partial(reference.roc_auc_score, multi_class="ovr")
    network, history = fit(CLASSES, nnx.Softmax(), loss=nnx.CategoricalCrossEntropy(), metrics=[area])
    expected = area(CLASSES, network.predict(X))
    assert history["val_roc_auc_score"][-1] == pytest.approx(expected, rel=1e-9)
    counts = (np.arange(80) % 3).reshape(-1, 1)  # a target of 0 is a count, a prediction of 0 none
    metric = reference.mean_poisson_deviance
    network, history = fit(counts, nnx.Softplus(), loss=nnx.MeanSquaredError(), metrics=[metric])
    assert history["val_mean_poisson_deviance"][-1] == metric(counts, network.predict(X))


def test_an_error_in_a_users_metric_names_it():
    def picky(y_true, y_pred):
        raise ValueError("not today")

    for metrics_ in ([picky], [functools.partial(picky)]):
        with pytest.raises(nnx.DataError, match=r"metric 'picky': not today \(targets of shape \(80, 1\)"):
            fit(VALUES, loss=nnx.MeanSquaredError(), metrics=metrics_)


def test_r2_of_one_validation_row_is_refused_before_training():
    with pytest.raises(nnx.DataError, match=r"r2 .* row"):
        fit(VALUES, loss=nnx.MeanSquaredError(), validation=(X[:1], VALUES[:1]), metrics=["r2"])


MACRO = functools.partial(reference.f1_score, average="macro")


@pytest.mark.parametrize(
    "metric",
    [
        reference.accuracy_score, reference.balanced_accuracy_score, MACRO, reference.matthews_corrcoef,
        reference.log_loss, reference.r2_score, reference.mean_squared_error,
    ],
    ids=lambda metric: getattr(metric, "__name__", "macro"),
)  # fmt: skip
def test_scikit_learns_functions_get_labels_or_probabilities_and_the_weights(metric):
    y = np.eye(3, dtype=np.float32)[CLASSES]
    network, history = fit(
        y, nnx.Softmax(), loss=nnx.CategoricalCrossEntropy(), validation=(X, y, W), metrics=[metric]
    )
    p = network.predict(X)
    numbers = metric in (reference.log_loss, reference.r2_score, reference.mean_squared_error)
    weights = W.astype(np.float32).astype(np.float64)  # as the network's dtype holds them
    shown = (y, p) if numbers else (CLASSES, p.argmax(axis=1))
    expected = metric(*shown, sample_weight=weights)
    assert list(history.metrics.values())[-1][-1] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", ["accuracy", "mse", "mae", "r2", "binary_accuracy", "binary_cross_entropy"])
def test_weights_of_validation_rows_count_in_metrics(name):
    y = TOGETHER
    counts = RNG.integers(0, 3, 80).astype(np.float32)
    options = {"loss": nnx.BinaryCrossEntropy(), "metrics": [name]}
    repeated = (np.repeat(X, counts.astype(int), axis=0), np.repeat(y, counts.astype(int), axis=0))
    _, weighted = fit(y, nnx.Sigmoid(), validation=(X, y, counts), **options)
    _, rows = fit(y, nnx.Sigmoid(), validation=repeated, **options)
    for key in ("val_loss", f"val_{name}"):
        assert weighted[key] == pytest.approx(rows[key], rel=1e-5)  # the loss is float32's


def test_weights_of_the_training_rows_count_where_some_of_them_are_held_out():
    network, history = fit(
        VALUES, loss=nnx.MeanSquaredError(), sample_weight=W, validation=0.25, metrics=["mae"]
    )
    expected = metrics.mean_absolute_error(VALUES[60:], network.predict(X[60:]), W[60:].astype(np.float32))
    assert history["val_mae"][-1] == pytest.approx(expected, rel=1e-12)
    found = network.evaluate(X, VALUES, loss=nnx.MeanSquaredError(), metrics=["mae"], sample_weight=W)
    expected = metrics.mean_absolute_error(VALUES, network.predict(X), W.astype(np.float32))
    assert found["mae"] == pytest.approx(expected, rel=1e-12)


def worst(y_true, y_pred):
    return float(np.abs(y_true - y_pred).max())


def test_a_function_without_weights_is_refused_where_rows_differ_in_weight():
    options = {"loss": nnx.MeanSquaredError(), "metrics": [worst]}
    with pytest.raises(nnx.ConfigurationError, match=r"metric 'worst' .*sample_weight"):
        fit(VALUES, validation=(X, VALUES, W), **options)
    fit(VALUES, validation=(X, VALUES, np.full(80, 0.3)), **options)  # these count all the same
    only = np.where(np.arange(80) < 10, 2.0, 0.0)
    network, history = fit(VALUES, validation=(X, VALUES, only), **options)
    assert history["val_worst"][-1] == worst(VALUES[:10], network.predict(X[:10]))  # the others are not there


def test_a_users_function_gets_the_weights_by_name():
    seen = []

    def mine(y_true, y_pred, sample_weight=None):
        seen.append(sample_weight)
        return 0.5

    fit(VALUES, loss=nnx.MeanSquaredError(), validation=(X, VALUES, W), metrics=[mine])
    np.testing.assert_allclose(seen[0], W, rtol=1e-6)


def test_a_metric_cannot_change_what_the_next_one_sees():
    def spoils(y_true, y_pred):
        y_true[...] = 0.0
        return 0.0

    with pytest.raises(ValueError, match="read-only"):
        fit(VALUES, loss=nnx.MeanSquaredError(), metrics=[spoils])


@pytest.mark.parametrize("value", [None, "good", np.zeros(3)])
def test_a_metric_that_gives_no_number_is_named(value):
    with pytest.raises(nnx.ConfigurationError, match="metric 'mine' "):
        fit(VALUES, loss=nnx.MeanSquaredError(), metrics={"mine": lambda y, p: value})
