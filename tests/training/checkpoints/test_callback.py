"""A checkpoint is taken when it is due, and read only by a run that may resume from it."""

from __future__ import annotations

import numpy as np
import pytest
from support.resumed import RNG, KillAt, Killed, X, Y, killed, names, network, same, train
from support.small_networks import same_bytes

import nnx


def test_several_fits_one_after_the_other(tmp_path):
    def both(*callbacks, **how):
        made, first = train(callbacks=callbacks, epochs=2, **how)
        return *train(made, callbacks, epochs=3, optimizer=nnx.SGD(0.05, momentum=0.5), **how), first

    whole = both()
    for step in (5, 7, 16, 3, 20, 24):  # in the first, and in the second
        with pytest.raises(Killed):
            both(KillSecond(step), checkpoint=nnx.Checkpoint(tmp_path, every=2, resume=True))
    again = both(checkpoint=nnx.Checkpoint(tmp_path, every=2, resume=True))
    same(again[:2], whole[:2])
    assert again[2].metrics == whole[2].metrics
    assert sum(name.startswith("fit-1") for name in names(tmp_path)) == 1


class KillSecond(KillAt):
    """In the second of two fits, where the first is not as long."""

    fits = 0

    def on_train_begin(self, run):
        KillSecond.fits += run.epochs == 3

    def on_epoch_end(self, run):
        pass


def test_a_longer_run_resumes_from_the_end_of_a_shorter_one(tmp_path):
    def optimizer():
        return nnx.Adam(0.01)  # a schedule would have another length

    train(checkpoint=nnx.Checkpoint(tmp_path), optimizer=optimizer(), epochs=2)
    longer = train(checkpoint=nnx.Checkpoint(tmp_path, resume=True), optimizer=optimizer(), epochs=5)
    same(longer, train(optimizer=optimizer()))
    with pytest.raises(nnx.ConfigurationError, match=r"step-40.*5 epochs .* epochs=3"):
        train(checkpoint=nnx.Checkpoint(tmp_path, resume=True), optimizer=optimizer(), epochs=3)


def test_the_newest_and_the_best_are_kept(tmp_path):
    losses = []

    class Worse(nnx.Callback):
        def on_epoch_end(self, run):
            losses.append(run.history["val_loss"][-1])
            if run.epoch == 2:
                run.network[0].W[...] *= 30.0

    train(callbacks=[Worse()], checkpoint=nnx.Checkpoint(tmp_path, every=4, keep=2), optimizer=nnx.SGD(1e-4))
    best = f"fit-1-step-{8 * (int(np.argmin(losses)) + 1)}.safetensors"
    assert names(tmp_path) == [best, "fit-1-step-36.safetensors", "fit-1-step-40.safetensors"]
    assert nnx.load(tmp_path / best).evaluate(X[:20], Y[:20], loss=nnx.MeanSquaredError())[
        "loss"
    ] == pytest.approx(min(losses))


def test_a_checkpoint_is_a_network_that_can_be_loaded(tmp_path):
    made, _ = train(checkpoint=nnx.Checkpoint(tmp_path))
    same_bytes(nnx.load(tmp_path / "fit-1-step-40.safetensors", device="numpy").weights(), made.weights())


def test_time_between_checkpoints(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("nnx.training.checkpoints.callback.time.monotonic", lambda: now[0])

    class Clock(nnx.Callback):
        def on_step_end(self, run):
            now[0] += 3.0

    train(callbacks=[Clock()], checkpoint=nnx.Checkpoint(tmp_path, every="30s", keep=99))
    assert [int(name.split("-")[3].partition(".")[0]) for name in names(tmp_path)] == [0, 10, 20, 30, 40]


@pytest.mark.parametrize("every", ["", "0", "-1", "1.5", "s", "3 days", 0, None, "1e3"])
def test_times_that_make_no_sense(tmp_path, every):
    with pytest.raises(nnx.ConfigurationError, match="number of steps or a time"):
        nnx.Checkpoint(tmp_path, every=every)


def test_how_many_are_kept_must_make_sense(tmp_path):
    with pytest.raises(nnx.ConfigurationError, match="keep must be a positive integer"):
        nnx.Checkpoint(tmp_path, keep=0)


def test_what_else_must_be_the_same_is_named_first(tmp_path):
    train(checkpoint=nnx.Checkpoint(tmp_path, about={"preset": "deep"}))
    with pytest.raises(
        nnx.ConfigurationError, match="run with preset deep, and this one is with preset best"
    ):
        train(network(seed=9), checkpoint=nnx.Checkpoint(tmp_path, resume=True, about={"preset": "best"}))


def test_a_folder_with_checkpoints_needs_resume(tmp_path):
    killed(tmp_path, 20)
    with pytest.raises(nnx.OutputError, match="contains checkpoints: resume from them"):
        train(checkpoint=nnx.Checkpoint(tmp_path))


def test_a_slice_is_refused(tmp_path):
    part = network()[:5]
    with pytest.raises(nnx.ConfigurationError, match="checkpoints need the whole network"):
        part.fit(
            X, RNG.normal(size=(61, 8)), loss=nnx.MeanSquaredError(), optimizer=nnx.SGD(),
            checkpoint=nnx.Checkpoint(tmp_path),
        )  # fmt: skip
    assert names(tmp_path) == []


def test_another_blas_is_reported_when_a_run_is_resumed(tmp_path, monkeypatch, caplog):
    """Its kernels sum in another order; a checkpoint of a version that did not record it says nothing."""
    backend = type(network().backend)
    monkeypatch.setattr(backend, "blas_name", lambda self, bfloat16: "OpenBLAS 0.3.34 (Zen)")
    killed(tmp_path, 7)
    train(checkpoint=nnx.Checkpoint(tmp_path, resume=True), epochs=2)
    assert "last digits" not in caplog.text
    monkeypatch.setattr(backend, "blas_name", lambda self, bfloat16: "MKL 2026.2")
    train(checkpoint=nnx.Checkpoint(tmp_path, resume=True), epochs=2)
    told = "written with BLAS OpenBLAS 0.3.34 (Zen), and this run has BLAS MKL 2026.2: the last digits"
    assert caplog.text.count(told) == 1


def test_another_number_of_threads_is_reported_when_a_run_is_resumed(tmp_path, monkeypatch, caplog):
    """The last digits depend on it; a checkpoint of a version that did not record it says nothing."""
    team = nnx.backends.Backend.team
    monkeypatch.setattr(nnx.backends.Backend, "team", lambda self: (3, "so many"))
    killed(tmp_path, 7)
    train(checkpoint=nnx.Checkpoint(tmp_path, resume=True), epochs=2)
    assert "last digits" not in caplog.text
    monkeypatch.setattr(nnx.backends.Backend, "team", lambda self: (1, "alone"))
    train(checkpoint=nnx.Checkpoint(tmp_path, resume=True), epochs=2)
    assert caplog.text.count("was written with threads 3, and this run has threads 1: the last digits") == 1
    monkeypatch.setattr(nnx.backends.Backend, "team", team)


@pytest.mark.parametrize("step", [8, 21, 32])
def test_a_lower_rate_after_a_plateau_is_resumed(tmp_path, step):
    def falling():
        return nnx.ReduceOnPlateau("loss", factor=0.5, patience=1, min_delta=0.03)

    whole = train(callbacks=[falling()])
    assert len(set(whole[1]["learning_rate"])) > 2
    with pytest.raises(Killed):
        train(callbacks=[falling(), KillAt(step)], checkpoint=nnx.Checkpoint(tmp_path, every=3))
    again = nnx.Checkpoint(tmp_path, every=3, resume=True)
    same(train(callbacks=[falling()], checkpoint=again), whole)
