"""The loss and metrics on data are those over all rows, and validation changes no training."""

from __future__ import annotations

import numpy as np
import pytest
from support.classifiers import classifier, same_bytes
from support.small_networks import X37 as X
from support.small_networks import Y37 as Y
from support.small_networks import fit, regressor

import nnx

pytestmark = pytest.mark.usefixtures("device")

RNG = np.random.default_rng(12)


def test_validation_changes_nothing_about_training():
    a, b = regressor(), regressor()
    fit(a), fit(b, validation=(X, Y), metrics=["r2"])
    same_bytes(a, b)


def test_evaluate_is_the_loss_over_all_rows_whatever_their_number():
    network = classifier()
    x = RNG.normal(size=(2500, 3)).astype(np.float32)
    labels = RNG.integers(0, 3, 2500)
    results = network.evaluate(x, labels, loss=nnx.CategoricalCrossEntropy(), metrics=["accuracy"])
    p = network.predict(x)
    assert results["loss"] == pytest.approx(-np.log(p[np.arange(2500), labels]).mean(), rel=1e-5)
    assert results["accuracy"] == pytest.approx((p.argmax(axis=1) == labels).mean())
    weights = RNG.random(2500)
    weighted = network.evaluate(x, labels, loss=nnx.CategoricalCrossEntropy(), sample_weight=weights)
    expected = -(np.log(p[np.arange(2500), labels]) * weights).sum() / weights.sum()
    assert weighted["loss"] == pytest.approx(expected, rel=1e-5)
