"""Training that meets a NaN or infinity: it skips the batch, or returns to a checkpoint."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from support.overflowing import Bad, X, bad, network, train
from support.resumed import KillAt, Killed, same
from support.small_networks import same_bytes

import nnx

DEVICES = ["numpy", "numba"]


@pytest.mark.parametrize("device", DEVICES)
def test_a_batch_is_left_out_and_counted(device, caplog):
    if device == "numba":
        pytest.importorskip("numba", reason="Numba is not installed")
    made, history = train(network(device), bad(), on_nonfinite="skip")
    assert history.left_out == 4
    assert np.isfinite(history["loss"]).all()
    assert history["loss"][-1] < history["loss"][0]
    assert np.isfinite(made.predict(X)).all()
    for name, value in made.weights().items():
        assert np.isfinite(value).all(), name
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    text = "skipped 1 of 8 batches (batch 3), whose loss or gradients were not finite"
    assert warnings == [f"epoch {epoch}: {text}" for epoch in (1, 2, 3, 4)]


def test_skipped_batches_change_nothing():
    """One batch, and then the bad one: parameters, moments and statistics as after the first."""
    short, _ = train(network(), X[:8], epochs=1)
    made, history = train(network(), bad(8)[:16], epochs=1, on_nonfinite="skip")
    assert history.left_out == 1
    same_bytes(made.weights(), short.weights())


def test_where_nothing_is_wrong_skip_changes_nothing():
    same(train(network(), X, on_nonfinite="skip"), train(network(), X))


def test_an_epoch_without_a_finite_batch_is_an_error():
    with pytest.raises(
        nnx.TrainingError, match=r"epoch 1: skipped 8 of 8 batches \(batch 1, 2, 3, 4, 5, …\)"
    ):
        train(network(), np.full_like(X, 3e38), on_nonfinite="skip")


def test_a_run_that_skips_batches_can_be_resumed(tmp_path):
    whole = train(network(), bad(), on_nonfinite="skip")
    with pytest.raises(Killed):
        train(network(), bad(), KillAt(14), checkpoint=nnx.Checkpoint(tmp_path, every=3), on_nonfinite="skip")
    again = train(
        network(), bad(), checkpoint=nnx.Checkpoint(tmp_path, every=3, resume=True), on_nonfinite="skip"
    )
    same(again, whole)
    assert again[1].left_out == whole[1].left_out == 4


def test_training_goes_back_and_on_by_half_the_rate(tmp_path, caplog):
    broken = Bad(times=2)
    made, history = train(
        network(), X, broken, checkpoint=nnx.Checkpoint(tmp_path, every=4), on_nonfinite="rollback"
    )
    assert history.rollbacks == 2
    assert np.isfinite(history["loss"]).all()
    assert history.epochs == [1, 2, 3, 4]
    assert history.steps == 32
    assert [step for step, _ in broken.rates] == [*range(1, 14), 13, 13, *range(14, 33)]
    assert dict(broken.rates)[32] == 0.25
    assert "epoch 2, batch 6: the loss is nan and the output of dense_1 is not finite" in caplog.text
    assert "returned to step 12, with the learning rate times 0.5 (1 of at most 5 times)" in caplog.text

    class Quarter(nnx.Callback):
        """The same by hand."""

        def on_step_end(self, run):
            if run.step == 12:
                (kept,) = run.network.arena.states.values()
                kept.scale = 0.25

    by_hand, losses = train(network(), X, Quarter())
    same_bytes(made.weights(), by_hand.weights())
    assert history.metrics == losses.metrics


def test_it_does_not_go_back_for_ever(tmp_path):
    broken = Bad(times=99)
    with pytest.raises(nnx.TrainingError, match="epoch 2, batch 6"):
        train(network(), X, broken, checkpoint=nnx.Checkpoint(tmp_path, every=4), on_nonfinite="rollback")
    assert broken.left == 99 - 6


def test_a_run_that_returned_to_a_checkpoint_can_be_resumed(tmp_path):
    whole = train(
        network(), X, Bad(1), checkpoint=nnx.Checkpoint(tmp_path / "a", every=4), on_nonfinite="rollback"
    )
    with pytest.raises(Killed):
        train(
            network(),
            X,
            Bad(1),
            KillAt(22),
            checkpoint=nnx.Checkpoint(tmp_path / "b", every=4),
            on_nonfinite="rollback",
        )
    again = train(
        network(), X, checkpoint=nnx.Checkpoint(tmp_path / "b", resume=True), on_nonfinite="rollback"
    )
    same(again, whole)
    assert again[1].rollbacks == 1


def test_a_compiled_loop_goes_back_too(tmp_path):
    pytest.importorskip("numba", reason="Numba is not installed")
    made = nnx.Network([nnx.Dense(6, 4), nnx.Tanh(), nnx.Dense(3)], device="numba", seed=1)
    optimizer = nnx.SGD(nnx.Step(0.01, every=30, factor=1e25))  # explodes, and at half the rate too
    with pytest.raises(nnx.TrainingError, match="batch"):
        train(
            made,
            X,
            checkpoint=nnx.Checkpoint(tmp_path, every=8),
            optimizer=optimizer,
            epochs=9,
            on_nonfinite="rollback",
        )
    (kept,) = made.arena.states.values()
    assert kept.scale == 0.5**5


def test_policies_are_checked(tmp_path):
    with pytest.raises(nnx.ConfigurationError, match="must be stop, skip or rollback, not 'ignore'"):
        train(network(), X, on_nonfinite="ignore")
    with pytest.raises(nnx.ConfigurationError, match="returns to a checkpoint: set checkpoint=nnx"):
        train(network(), X, on_nonfinite="rollback")
