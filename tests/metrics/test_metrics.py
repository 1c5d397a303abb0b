"""Metrics for each kind of target, in float64, and with weights of rows."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from sklearn import metrics as reference

import nnx
from nnx import metrics

pytestmark = pytest.mark.usefixtures("device")

RNG = np.random.default_rng(8)
ROWS = 60
ONE_OF_3 = RNG.integers(0, 3, ROWS)
LABELS = np.array([[1, 1, 0], [0, 0, 0], *RNG.integers(0, 2, (ROWS - 2, 3))])
BINARY = np.array([0, 1, *RNG.integers(0, 2, ROWS - 2)])
P3, P1 = RNG.dirichlet(np.ones(3), ROWS), RNG.random((ROWS, 1))
PS = RNG.random((ROWS, 3))
NUMBERS = RNG.normal(size=(ROWS, 2))
ANSWERS = NUMBERS + RNG.normal(size=(ROWS, 2))

RIGHT_3 = float(np.mean(P3.argmax(axis=1) == ONE_OF_3))
RIGHT_1 = float(np.mean((P1[:, 0] > 0.5) == BINARY))
SMOOTH = np.where(np.eye(3)[ONE_OF_3] > 0, 0.9, 0.05)
IN_0_1 = r"\[0, 1\]"

# For each kind of target: targets, predictions, and what each metric says; a text is part of its refusal.
TABLE = {
    "labels": (ONE_OF_3, P3, {"accuracy": RIGHT_3, "binary_accuracy": "equal shapes", "mse": "equal shapes",
               "mae": "equal shapes", "binary_cross_entropy": "equal shapes", "r2": "equal shapes"}),
    "labels in a column": (ONE_OF_3.reshape(-1, 1), P3, {"accuracy": RIGHT_3, "mse": "equal shapes"}),
    "one-hot": (np.eye(3)[ONE_OF_3], P3, {
        "accuracy": RIGHT_3, "binary_accuracy": float(np.mean((P3 > 0.5) == np.eye(3)[ONE_OF_3])),
        "mse": reference.mean_squared_error(np.eye(3)[ONE_OF_3], P3),
        "mae": reference.mean_absolute_error(np.eye(3)[ONE_OF_3], P3),
        "r2": reference.r2_score(np.eye(3)[ONE_OF_3], P3, multioutput="variance_weighted")}),
    "one-hot, logits": (np.eye(3)[ONE_OF_3], np.log(P3), {
        "accuracy": RIGHT_3, "binary_accuracy": IN_0_1,
        "binary_cross_entropy": IN_0_1}),
    "one-hot of -1 and 1": (2 * np.eye(3)[ONE_OF_3] - 1, P3, {
        "accuracy": RIGHT_3, "binary_accuracy": "labels", "binary_cross_entropy": IN_0_1}),
    "smoothed": (SMOOTH, P3, {"accuracy": RIGHT_3}),
    "shares of classes": (np.array([[0.2, 0.5, 0.3], [0.6, 0.4, 0.0]]),
                          np.array([[0.1, 0.8, 0.1], [0.3, 0.6, 0.1]]),
                          {"accuracy": 0.5, "binary_accuracy": "labels"}),
    "labels that come together": (LABELS, PS, {
        "accuracy": reference.accuracy_score(LABELS, PS > 0.5),
        "binary_accuracy": 1.0 - reference.hamming_loss(LABELS, PS > 0.5),
        "binary_cross_entropy": float(np.mean(
            [reference.log_loss(LABELS[:, k], PS[:, k]) for k in range(3)]))}),
    "labels that come together, logits": (LABELS, np.log(PS), {
        "accuracy": r"predictions between .* in \[0, 1\]", "binary_accuracy": IN_0_1,
        "binary_cross_entropy": IN_0_1}),
    "two classes": (BINARY, P1, {"accuracy": RIGHT_1, "binary_accuracy": RIGHT_1, "mse": "equal shapes"}),
    "two classes in a column": (BINARY.reshape(-1, 1).astype(np.float32), P1, {
        "accuracy": RIGHT_1, "binary_accuracy": RIGHT_1,
        "binary_cross_entropy": reference.log_loss(BINARY, P1),
        "mse": reference.mean_squared_error(BINARY, P1), "r2": reference.r2_score(BINARY, P1)}),
    "two classes, logits": (BINARY.reshape(-1, 1), 9 * P1 - 4.5, {
        "accuracy": "from_logits=True", "binary_accuracy": IN_0_1}),
    "two classes, smoothed": (np.where(BINARY, 0.95, 0.05).reshape(-1, 1), P1, {"accuracy": RIGHT_1}),
    "two classes of -1 and 1": (2 * BINARY.reshape(-1, 1) - 1, P1, {"accuracy": "-1 and 1 .* labels"}),
    "decisions": (ONE_OF_3, np.roll(ONE_OF_3, 1), {
        "accuracy": reference.accuracy_score(ONE_OF_3, np.roll(ONE_OF_3, 1)),
        "binary_accuracy": "labels"}),
    "names": (np.array(["a", "b", "a"]), np.array(["a", "a", "a"]), {"accuracy": 2 / 3}),
    "too many labels": (ONE_OF_3 + 1, P3, {"accuracy": "labels of 3 classes.* 0 to 2"}),
    "numbers": (NUMBERS, ANSWERS, {
        "accuracy": "r2 or mean_absolute_error", "binary_accuracy": "labels",
        "mse": reference.mean_squared_error(NUMBERS, ANSWERS),
        "mae": reference.mean_absolute_error(NUMBERS, ANSWERS),
        "binary_cross_entropy": r"targets between .* in \[0, 1\]",
        "r2": reference.r2_score(NUMBERS, ANSWERS, multioutput="variance_weighted")}),
    "one number": (NUMBERS[:, 0], ANSWERS[:, 0], {
        "accuracy": "labels", "mse": reference.mean_squared_error(NUMBERS[:, 0], ANSWERS[:, 0]),
        "r2": reference.r2_score(NUMBERS[:, 0], ANSWERS[:, 0])}),
    "numbers in [0, 1]": (PS, P3, {"accuracy": "labels", "binary_accuracy": "labels"}),
    "one row": (NUMBERS[:1], ANSWERS[:1], {"r2": "r2 .* row"}),
    "a constant": (np.full((5, 1), 0.1), np.full((5, 1), 0.2), {"r2": 0.0, "mae": 0.1}),
    "no row": (NUMBERS[:0], ANSWERS[:0], dict.fromkeys(metrics.NAMES, "row")),
    "other rows": (NUMBERS[:4], ANSWERS[:5], dict.fromkeys(metrics.NAMES, "many rows|equal shapes")),
    "not a number": (BINARY.reshape(-1, 1), np.full((ROWS, 1), np.nan),
                     dict.fromkeys(metrics.NAMES, math.nan)),
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, (_, _, said) in TABLE.items() for name in said]
)
def test_what_each_metric_says_of_each_kind_of_target(kind, name):
    y, p, said = TABLE[kind]
    if isinstance(said[name], str):
        with pytest.raises(nnx.DataError, match=said[name]):
            metrics.NAMES[name](y, p)
    else:
        assert metrics.NAMES[name](y, p) == pytest.approx(said[name], rel=1e-12, nan_ok=True)


WEIGHTED = [
    ("accuracy", ONE_OF_3, P3), ("accuracy", LABELS, PS), ("accuracy", BINARY, P1),
    ("binary_accuracy", LABELS, PS),
    ("mse", NUMBERS, ANSWERS), ("mae", NUMBERS, ANSWERS), ("r2", NUMBERS, ANSWERS),
    ("binary_cross_entropy", LABELS, PS),
]  # fmt: skip


@pytest.mark.parametrize(("name", "y", "p"), WEIGHTED)
def test_a_weight_is_so_many_rows_and_a_weight_of_0_none(name, y, p):
    weights = RNG.integers(0, 4, ROWS)
    metric = metrics.NAMES[name]
    repeated = metric(np.repeat(y, weights, axis=0), np.repeat(p, weights, axis=0))
    assert metric(y, p, weights) == pytest.approx(repeated, rel=1e-12)
    assert metric(y, p, 2.5 * weights) == pytest.approx(repeated, rel=1e-12)  # only their ratios count


def test_rows_of_weight_0_do_not_say_what_the_targets_are():
    y, p = np.array([[1, 0], [0, 1], [1, 1]]), np.array([[0.4, 0.3], [0.2, 0.3], [0.1, 0.2]])
    assert metrics.accuracy(y, p) == 0.0  # labels that come together, and none is above 0.5
    assert metrics.accuracy(y, p, [1, 1, 0]) == 1.0  # one class in each row
    with pytest.raises(nnx.DataError, match=r"r2 .* row"):
        metrics.r2(NUMBERS[:2], ANSWERS[:2], [1, 0])


@pytest.mark.parametrize("weights", [[1.0], [-1.0, 1.0], [0.0, 0.0], [math.nan, 1.0], [[1.0], [1.0]]])
def test_weights_that_are_none_are_refused(weights):
    with pytest.raises(nnx.DataError, match="weight"):
        metrics.mean_squared_error(NUMBERS[:2], ANSWERS[:2], weights)


def test_sums_over_many_rows_are_taken_in_float64():
    """In float32 the square of an error of 1e-4 is lost next to a sum of a million."""
    rows = 2**21
    y = np.zeros((rows, 1), np.float32)
    p = np.full((rows, 1), 1.1, np.float32)
    exact = float(np.float64(np.float32(1.1)))
    assert metrics.mean_squared_error(y, p) == pytest.approx(exact**2, rel=1e-14)
    assert metrics.mean_absolute_error(y, p) == pytest.approx(exact, rel=1e-14)
    large = np.full((4, 1), 3e30, np.float32)
    assert metrics.mean_squared_error(large, -large) == pytest.approx(
        3.6e61, rel=1e-6
    )  # over float32's range
    count = np.arange(rows, dtype=np.float32).reshape(-1, 1) + 1e6
    assert metrics.r2(count, count + 1.0) == pytest.approx(1.0 - 12.0 / (float(rows) ** 2 - 1.0), rel=1e-9)
    unsigned = np.array([[0], [3]], np.uint8)
    assert metrics.mean_absolute_error(unsigned, unsigned[::-1]) == 3.0


# ------------------------------------------------------------------------------ in fit

X = RNG.normal(size=(80, 3)).astype(np.float32)
TOGETHER = (X > 0).astype(np.float32)
CLASSES = np.argmax(X, axis=1)
VALUES = X @ np.array([[1.0], [2.0], [-1.0]], np.float32)
W = RNG.random(80)


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


def test_rounding_makes_no_logits_of_probabilities():
    y, p = np.array([[0.0], [1.0]]), np.array([[-1e-7], [1.0 + 2e-7]])
    assert metrics.accuracy(y, p) == metrics.binary_accuracy(y, p) == 1.0
    assert metrics.binary_cross_entropy(y, p) == pytest.approx(1e-7, rel=1e-3)


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
