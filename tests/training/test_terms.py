"""The loss of a training includes the terms that layers add, and the history has each by its name."""

from __future__ import annotations

import numpy as np
import pytest
from support.resumed import KillAt, Killed
from support.small_networks import X37, same_bytes

import nnx
from nnx.errors import ConfigurationError

pytestmark = pytest.mark.usefixtures("device")


def network(**options):
    layers = [
        nnx.Dense(3, 5), nnx.Sigmoid(), nnx.KLSparsity(0.05, 0.2),
        nnx.Residual([nnx.Dense(5), nnx.L1Sparsity(0.01)]), nnx.Dense(3),
    ]  # fmt: skip
    return nnx.Network(layers, **{"seed": 0, **options})


def fit(made, x=X37, **options):
    defaults = {"loss": "mse", "optimizer": nnx.Adam(0.01), "epochs": 3, "batch_size": 8}
    return made.fit(x, x, **(defaults | options))


def test_a_hand_written_loop_with_the_terms_is_fit():
    by_fit, by_hand = network(dtype="float64"), network(dtype="float64")
    history = fit(by_fit, batch_size=37)
    loss, optimizer, x = nnx.MeanSquaredError(), nnx.Adam(0.01), by_hand.asarray(X37)
    losses, terms = [], []
    for _ in range(3):
        y = by_hand.forward(x, training=True)
        terms.append(float(by_hand.terms()["sparsity"][0]))
        losses.append(float(loss(x, y)) + terms[-1])
        by_hand.backward(loss.gradient(x, y))
        optimizer.step(by_hand)
    np.testing.assert_allclose(history["loss"], losses, rtol=1e-9)
    np.testing.assert_allclose(history["sparsity"], terms, rtol=1e-9)
    for name, value in by_fit.weights().items():
        np.testing.assert_allclose(by_hand.weights()[name], value, rtol=1e-7, err_msg=name)


def test_the_loss_is_the_plain_loss_and_the_terms_also_in_validation():
    made = network(dtype="float64")
    history = fit(made, validation=(X37, X37))
    found = made.evaluate(X37, X37, loss="mse", metrics=["mse"])
    assert found["loss"] == pytest.approx(found["mse"] + found["sparsity"], rel=1e-9)
    assert history["val_loss"][-1] == pytest.approx(found["loss"])
    assert history["val_sparsity"][-1] == pytest.approx(found["sparsity"])
    assert list(history.metrics) == ["loss", "sparsity", "val_loss", "val_sparsity"]
    assert found["sparsity"] > 0.0


def test_a_row_of_weight_two_is_the_row_twice():
    weights = np.where(np.arange(37) % 3 == 0, 2.0, 1.0)
    twice = np.repeat(X37, weights.astype(int), axis=0)
    one, other = network(dtype="float64"), network(dtype="float64")
    weighted = fit(one, batch_size=37, sample_weight=weights)
    repeated = fit(other, twice, batch_size=len(twice))
    np.testing.assert_allclose(weighted["sparsity"], repeated["sparsity"], rtol=1e-9)
    for name, value in one.weights().items():
        np.testing.assert_allclose(other.weights()[name], value, rtol=1e-6, err_msg=name)
    results = [
        one.evaluate(X37, X37, loss="mse", sample_weight=weights), one.evaluate(twice, twice, loss="mse")
    ]  # fmt: skip
    assert results[0] == pytest.approx(results[1], rel=1e-9)


def test_a_run_that_was_killed_in_an_epoch_resumes_with_its_terms(tmp_path):
    whole = network()
    expected = fit(whole)
    with pytest.raises(Killed):
        fit(network(), callbacks=[KillAt(8)], checkpoint=nnx.Checkpoint(tmp_path, every=2))
    resumed = network()
    history = fit(resumed, checkpoint=nnx.Checkpoint(tmp_path, every=2, resume=True))
    assert history.metrics == expected.metrics
    same_bytes(resumed.weights(), whole.weights())


def test_early_stopping_can_watch_a_term():
    stopping = nnx.EarlyStopping("val_sparsity", patience=0)
    history = fit(network(), epochs=400, validation=(X37, X37), callbacks=[stopping])
    assert len(history.epochs) < 400


def test_skipped_batches_do_not_count(monkeypatch):
    x = X37.copy()
    x[5] = 3e38
    history = fit(network(), x, on_nonfinite="skip", shuffle=False, epochs=1)
    assert history.left_out == 1
    assert np.isfinite([*history["sparsity"], *history["loss"]]).all()


def test_a_metric_with_the_name_of_a_term_is_refused():
    made = network()
    with pytest.raises(ConfigurationError, match="'sparsity' has the name of a term"):
        made.evaluate(X37, X37, loss="mse", metrics={"sparsity": lambda y, p: 0.0})


def test_networks_without_terms_record_none():
    made = nnx.Network([nnx.Dense(3, 3), nnx.Dropout(0.1)], seed=0)
    assert list(fit(made, validation=(X37, X37)).metrics) == ["loss", "val_loss"]
    assert made.evaluate(X37, X37, loss="mse").keys() == {"loss"}
