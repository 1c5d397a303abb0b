"""The formulas of metrics: scikit-learn's values, for each kind of target and with weights of rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as reference
from support.targets import ANSWERS, BINARY, LABELS, NUMBERS, ONE_OF_3, P1, P3, PS, ROWS

import nnx
from nnx import metrics

pytestmark = pytest.mark.usefixtures("device")

RNG = np.random.default_rng(8)

RIGHT_3 = float(np.mean(P3.argmax(axis=1) == ONE_OF_3))
RIGHT_1 = float(np.mean((P1[:, 0] > 0.5) == BINARY))
SMOOTH = np.where(np.eye(3)[ONE_OF_3] > 0, 0.9, 0.05)
IN_0_1 = r"\[0, 1\]"

OF_COLUMNS = ("subset_accuracy", "roc_auc_ovr")  # they refuse a single column

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
                     {name: math.nan for name in metrics.NAMES if name not in OF_COLUMNS}),
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


@pytest.mark.parametrize("place", [0, 1, 2])
def test_masked_cells_are_refused(place):
    given = [NUMBERS[:4], ANSWERS[:4], np.ones(4)]
    given[place] = np.ma.masked_array(given[place], mask=np.arange(given[place].size) % 2 == 1)
    name = ("y_true", "y_pred", "sample_weight")[place]
    text = rf"^mean_absolute_error: {name} has \d+ masked cells, .*: fill them with {name}\.filled"
    with pytest.raises(nnx.DataError, match=text):
        metrics.mean_absolute_error(*given)
    given[place] = np.ma.masked
    with pytest.raises(nnx.DataError, match=f"{name} has 1 masked cell, first in row 0"):
        metrics.mean_absolute_error(*given)


def test_pinball_takes_one_level_as_a_number():
    assert metrics.pinball(NUMBERS, ANSWERS, quantiles=0.3) == metrics.pinball(
        NUMBERS, ANSWERS, quantiles=[0.3]
    )


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


def test_rounding_makes_no_logits_of_probabilities():
    y, p = np.array([[0.0], [1.0]]), np.array([[-1e-7], [1.0 + 2e-7]])
    assert metrics.accuracy(y, p) == metrics.binary_accuracy(y, p) == 1.0
    assert metrics.binary_cross_entropy(y, p) == pytest.approx(1e-7, rel=1e-3)


def test_accuracy_is_scikit_learns():
    labels, p = RNG.integers(0, 4, 200), RNG.random((200, 4))
    expected = reference.accuracy_score(labels, p.argmax(axis=1))
    assert metrics.accuracy(labels, p) == expected
    assert metrics.accuracy(np.eye(4)[labels], p) == expected
    binary, q = RNG.integers(0, 2, 200), RNG.random((200, 1))
    expected = reference.accuracy_score(binary, q[:, 0] >= 0.5)
    assert metrics.accuracy(binary, q) == expected
    assert metrics.accuracy(binary.reshape(-1, 1).astype(np.float32), q) == expected


@pytest.mark.parametrize("columns", [1, 5])
def test_regression_metrics_are_scikit_learns(columns):
    y, p = RNG.normal(size=(50, columns)), RNG.normal(size=(50, columns))
    assert metrics.mean_squared_error(y, p) == pytest.approx(reference.mean_squared_error(y, p))
    assert metrics.mean_absolute_error(y, p) == pytest.approx(reference.mean_absolute_error(y, p))
    spread = reference.r2_score(y, p, multioutput="variance_weighted")
    assert metrics.r2(y, p) == pytest.approx(spread)


def test_binary_cross_entropy_is_scikit_learns():
    y, p = RNG.integers(0, 2, 100), RNG.random(100)
    value = metrics.binary_cross_entropy(y.reshape(-1, 1), p.reshape(-1, 1))
    assert value == pytest.approx(reference.log_loss(y, p))
    assert math.isfinite(metrics.binary_cross_entropy(np.ones((1, 1)), np.zeros((1, 1))))


def test_r2_of_a_constant_target():
    y = np.ones((4, 1))
    assert metrics.r2(y, y) == 1.0
    assert metrics.r2(y, y + 1) == 0.0


@pytest.mark.parametrize(
    "metric",
    [metrics.mean_squared_error, metrics.mean_absolute_error, metrics.binary_cross_entropy, metrics.r2],
)
def test_metrics_never_broadcast(metric):
    with pytest.raises(nnx.DataError, match=r"\(4, 1\).*\(4, 2\)"):
        metric(np.ones((4, 1)), np.ones((4, 2)))


@pytest.mark.parametrize("rows", [10, 50, 1000])
def test_r2_of_a_constant_is_0_whatever_its_mean_is_rounded_to(rows):
    constant = np.full((rows, 2), 0.1)
    assert metrics.r2(constant, constant + 0.1) == 0.0
    assert metrics.r2(constant, constant) == 1.0
