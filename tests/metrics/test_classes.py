"""Metrics of classes and labels: scikit-learn's values with and without weights, and targets they refuse."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference
from support.targets import ANSWERS, BINARY, LABELS, NUMBERS, ONE_OF_3, P1, P3, PS, ROWS

import nnx
from nnx import metrics

RNG = np.random.default_rng(3)
EVEN = np.ones(ROWS)
WEIGHTS = RNG.uniform(0.1, 3.0, ROWS)
ONE_HOT = np.eye(3)[ONE_OF_3]
P2 = np.concatenate([1.0 - P1, P1], axis=1)
TIED = np.round(P1, 1)  # equal scores in both classes
COLUMN = BINARY.reshape(-1, 1)

AVERAGES = ("macro", "micro", "weighted")

CASES: list[tuple[str, Any, Any, Any]] = [
    ("f1", COLUMN, P1, lambda w: reference.f1_score(BINARY, P1[:, 0] > 0.5, sample_weight=w)),
    ("f1", BINARY, P2, lambda w: reference.f1_score(BINARY, P2.argmax(axis=1), sample_weight=w)),
    *((f"f1_{how}", ONE_OF_3, P3, lambda w, how=how: reference.f1_score(
        ONE_OF_3, P3.argmax(axis=1), average=how, sample_weight=w)) for how in AVERAGES),
    *((f"f1_{how}", ONE_HOT, P3, lambda w, how=how: reference.f1_score(
        ONE_OF_3, P3.argmax(axis=1), average=how, sample_weight=w)) for how in AVERAGES),
    *((f"f1_{how}", LABELS, PS, lambda w, how=how: reference.f1_score(
        LABELS, PS > 0.5, average=how, sample_weight=w)) for how in AVERAGES),
    ("roc_auc", BINARY, P1, lambda w: reference.roc_auc_score(BINARY, P1[:, 0], sample_weight=w)),
    ("roc_auc", BINARY, 9.0 * P1 - 4.0, lambda w: reference.roc_auc_score(BINARY, P1[:, 0], sample_weight=w)),
    ("roc_auc", BINARY, TIED, lambda w: reference.roc_auc_score(BINARY, TIED[:, 0], sample_weight=w)),
    ("roc_auc", BINARY, P2, lambda w: reference.roc_auc_score(BINARY, P2[:, 1], sample_weight=w)),
    ("roc_auc", LABELS, PS, lambda w: reference.roc_auc_score(LABELS, PS, sample_weight=w)),
    ("roc_auc_ovr", ONE_OF_3, P3, lambda w: reference.roc_auc_score(
        ONE_OF_3, P3, multi_class="ovr", sample_weight=w)),
    ("roc_auc_ovr", ONE_HOT, P3, lambda w: reference.roc_auc_score(
        ONE_OF_3, P3, multi_class="ovr", sample_weight=w)),
    ("log_loss", ONE_OF_3, P3, lambda w: reference.log_loss(ONE_OF_3, P3, sample_weight=w)),
    ("log_loss", ONE_HOT, P3.round(1) / P3.round(1).sum(axis=1, keepdims=True), lambda w: reference.log_loss(
        ONE_OF_3, P3.round(1) / P3.round(1).sum(axis=1, keepdims=True), sample_weight=w)),
    ("log_loss", COLUMN, P1, lambda w: reference.log_loss(BINARY, P1[:, 0], sample_weight=w)),
    ("subset_accuracy", LABELS, PS, lambda w: reference.accuracy_score(LABELS, PS > 0.5, sample_weight=w)),
    ("pinball", NUMBERS, ANSWERS, lambda w: reference.mean_pinball_loss(NUMBERS, ANSWERS, sample_weight=w)),
]  # fmt: skip


@pytest.mark.parametrize("weights", [EVEN, WEIGHTS], ids=["even", "weighted"])
@pytest.mark.parametrize(("name", "y", "p", "expected"), CASES)
def test_scikit_learn_says_the_same(name: str, y: Any, p: Any, expected: Any, weights: np.ndarray) -> None:
    assert metrics.NAMES[name](y, p, weights) == pytest.approx(expected(weights), rel=1e-12)
    if weights is EVEN:
        assert metrics.NAMES[name](y, p) == pytest.approx(expected(None), rel=1e-12)


def test_predictions_in_float32_count_like_those_in_float64() -> None:
    for name, y, p, _ in CASES:
        if name not in ("roc_auc",):
            value = metrics.NAMES[name](y, np.asarray(p, np.float32))
            assert value == pytest.approx(metrics.NAMES[name](y, p), rel=1e-6)


REFUSED = [
    ("f1", ONE_OF_3, P3, "f1 is for two classes, but there are 3 classes: use f1_macro"),
    ("f1", LABELS, PS, "there are 3 labels"),
    ("f1_macro", NUMBERS, ANSWERS, "targets between .* are not labels"),
    ("roc_auc", ONE_OF_3, P3, "two classes, but there are 3: use roc_auc_ovr"),
    ("roc_auc", np.ones(ROWS), P1, "all rows of column 0 are 1"),
    ("roc_auc", NUMBERS[:, :1], P1, "not labels: use 0 and 1"),
    ("roc_auc_ovr", LABELS, PS, "one class in each row"),
    ("roc_auc_ovr", np.zeros(ROWS, int), P3, "all rows of class 0"),
    ("roc_auc_ovr", np.where(ONE_OF_3 == 2, 0, ONE_OF_3), P3, "no rows of class 2"),
    ("log_loss", LABELS, PS, "one class in each row"),
    ("log_loss", ONE_OF_3, np.log(P3), "not probabilities"),
    ("log_loss", ONE_OF_3, 0.5 * P3, "sum to 1, but a row has the sum 0.5"),
    ("log_loss", ONE_OF_3 + 1, P3, "not labels of 3 classes: use the integers 0 to 2"),
    ("subset_accuracy", ONE_OF_3, P3, "equal shapes"),
    ("subset_accuracy", COLUMN, P1, "one class in each row use accuracy"),
    ("subset_accuracy", NUMBERS, ANSWERS, "targets of 0 and 1"),
    ("pinball", NUMBERS, ANSWERS[:, :1], "1 quantiles need predictions of shape"),
]


@pytest.mark.parametrize(("name", "y", "p", "says"), REFUSED)
def test_targets_that_do_not_fit_are_refused(name: str, y: Any, p: Any, says: str) -> None:
    with pytest.raises(nnx.DataError, match=says):
        metrics.NAMES[name](y, p)


def test_a_prediction_that_is_not_a_number_stays_visible() -> None:
    for name, y, p, _ in CASES:
        wrong = np.array(p, np.float64)
        wrong[0, 0] = math.nan
        assert math.isnan(metrics.NAMES[name](y, wrong)), name


def test_they_are_names_in_fit_and_refused_before_the_first_epoch() -> None:
    x = RNG.normal(size=(ROWS, 4))
    layers = [nnx.Dense(4, 3), nnx.Softmax()]
    fit = {"loss": nnx.CategoricalCrossEntropy(), "optimizer": nnx.SGD(), "batch_size": 20}
    names = ["accuracy", "f1_macro", "f1_micro", "roc_auc_ovr", "log_loss"]
    network = nnx.Network(layers, dtype="float64", seed=0)
    history = network.fit(x, ONE_OF_3, **fit, validation=(x, ONE_OF_3), metrics=names)
    p = network.predict(x)
    assert history["val_log_loss"][-1] == pytest.approx(reference.log_loss(ONE_OF_3, p), rel=1e-9)
    assert history["val_log_loss"][-1] == pytest.approx(history["val_loss"][-1], rel=1e-9)
    for wrong, says in (("roc_auc", "roc_auc_ovr"), ("subset_accuracy", "shapes"), ("r2", "equal shapes")):
        with pytest.raises(nnx.DataError, match=says):
            network.fit(x, ONE_OF_3, **fit, validation=(x, ONE_OF_3), metrics=[wrong])


def test_several_quantiles() -> None:
    levels, y, p = (0.1, 0.5, 0.9), NUMBERS[:, 0], RNG.normal(size=(ROWS, 3))
    expected = np.mean([reference.mean_pinball_loss(y, p[:, k], alpha=a) for k, a in enumerate(levels)])
    for targets in (y, y.reshape(-1, 1)):
        assert metrics.pinball(targets, p, quantiles=levels) == pytest.approx(expected, rel=1e-12)
