"""A run that was stopped goes on from its checkpoint, and ends as one that never was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.resumed import RNG, KillAt, Killed, X, Y, killed, names, network, noisy, same, train
from support.small_networks import OPTIMIZERS, same_bytes

import nnx


@pytest.mark.parametrize("step", [1, 2, 3, 7, 8, 9, 16, 22, 39, 40])
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, step):
    whole = train()
    killed(tmp_path, step)
    again = train(checkpoint=nnx.Checkpoint(tmp_path, every=3, resume=True))
    same(again, whole)


@pytest.mark.parametrize("how", OPTIMIZERS)
def test_every_optimizer_can_be_resumed(tmp_path, how):
    whole = train(optimizer=OPTIMIZERS[how]())
    killed(tmp_path, 13, optimizer=OPTIMIZERS[how]())
    same(train(checkpoint=nnx.Checkpoint(tmp_path, resume=True), optimizer=OPTIMIZERS[how]()), whole)


OPTIONS = {
    "weights": {"sample_weight": RNG.random(61)},
    "augment": {"augment": noisy},
    "one batch": {"batch_size": 61},
    "in order": {"shuffle": False},
    "metrics": {"metrics": ["r2"], "validation": 0.2},
    "no validation": {"validation": None},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_every_way_to_train_can_be_resumed(tmp_path, name):
    options = OPTIONS[name]
    whole = train(**options)
    killed(tmp_path, 3 if name == "one batch" else 18, every=2, **options)
    same(train(checkpoint=nnx.Checkpoint(tmp_path, resume=True), **options), whole)


@pytest.mark.parametrize("device", ["numpy", "numba"])
def test_a_run_that_is_stopped_again_and_again(tmp_path, device):
    if device == "numba":
        pytest.importorskip("numba", reason="Numba is not installed")
    whole = train(network(device))
    for step in (2, 3, 5, 11, 12, 17, 23, 30, 31, 38):
        with pytest.raises(Killed):
            train(network(device), [KillAt(step)], checkpoint=nnx.Checkpoint(tmp_path, every=2, resume=True))
    same(train(network(device), checkpoint=nnx.Checkpoint(tmp_path, every=2, resume=True)), whole)


def test_small_networks_in_a_compiled_loop_can_be_resumed(tmp_path):
    pytest.importorskip("numba", reason="Numba is not installed")

    def make():
        return nnx.Network([nnx.Dense(6, 4), nnx.Tanh(), nnx.Dense(3)], device="numba", seed=1)

    options = {"epochs": 200, "validation": None}
    whole = train(make(), **options)
    kept = nnx.Checkpoint(tmp_path, every=160)
    same(train(make(), checkpoint=kept, **options), whole)
    assert names(tmp_path)[-3:] == [f"fit-1-step-{step}.safetensors" for step in (1280, 1440, 1600)]
    kept.newest.unlink()
    same(train(make(), checkpoint=nnx.Checkpoint(tmp_path, every=160, resume=True), **options), whole)


def test_training_on_mapped_files_can_be_resumed(tmp_path):
    """Rows that are read from a file as they are needed, by a thread that reads ahead."""
    np.save(tmp_path / "x.npy", X)

    def fit(*callbacks, checkpoint=None):
        rows = nnx.datasets.open_rows(tmp_path / "x.npy")
        made = nnx.Network([nnx.Dense(6, 16), nnx.Tanh(), nnx.Dense(6)], device="numpy", seed=3)
        return made, made.fit(
            rows, rows, loss=nnx.MeanSquaredError(), optimizer=nnx.Adam(0.01), epochs=3, batch_size=8,
            callbacks=callbacks, checkpoint=checkpoint,
        )  # fmt: skip

    with pytest.raises(Killed):
        fit(KillAt(14), checkpoint=nnx.Checkpoint(tmp_path / "kept", every=3))
    same(fit(checkpoint=nnx.Checkpoint(tmp_path / "kept", resume=True)), fit())


def test_checkpoints_change_nothing(tmp_path):
    same(train(checkpoint=nnx.Checkpoint(tmp_path, every=1)), train())


@pytest.mark.parametrize("patience", [1, 2])
@pytest.mark.parametrize("step", [9, 17, 26])
def test_early_stopping_waits_on(tmp_path, step, patience):
    def stopping():
        return nnx.EarlyStopping(patience=patience, min_delta=0.02)

    whole = train(callbacks=[stopping()], epochs=20)
    assert len(whole[1].epochs) < 20
    with pytest.raises(Killed):
        train(callbacks=[stopping(), KillAt(step)], checkpoint=nnx.Checkpoint(tmp_path, every=4), epochs=20)
    for _ in range(2):  # the second finds nothing left to train
        again = train(callbacks=[stopping()], checkpoint=nnx.Checkpoint(tmp_path, resume=True), epochs=20)
        same(again, whole)


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


# ------------------------------------------------------------------ what is kept


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


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("every", ["", "0", "-1", "1.5", "s", "3 days", 0, None, "1e3"])
def test_times_that_make_no_sense(tmp_path, every):
    with pytest.raises(nnx.ConfigurationError, match="number of steps or a time"):
        nnx.Checkpoint(tmp_path, every=every)


def test_how_many_are_kept_must_make_sense(tmp_path):
    with pytest.raises(nnx.ConfigurationError, match="keep must be a positive integer"):
        nnx.Checkpoint(tmp_path, keep=0)


DIFFERENT = {
    "batch_size": ({"batch_size": 9}, "batch_size 8, not 9"),
    "optimizer": ({"optimizer": nnx.SGD(0.5)}, r'optimizer "Adam", not "SGD"'),
    "learning rate": (
        {"optimizer": nnx.Adam(nnx.Cosine(0.02, 41))},
        'optimizer: learning_rate {"name": "cos',
    ),
    "beta": ({"optimizer": nnx.Adam(nnx.Cosine(0.02, 40), 0.8)}, r"optimizer: beta1 0\.9, not 0\.8"),
    "groups": (
        {"optimizer": nnx.Adam(nnx.Cosine(0.02, 40), groups={"*.b": {"l2": 1e-3}})},
        r'optimizer: groups null, not {"\*\.b": {"l2": 0\.001}}',
    ),
    "validation": ({"validation": (X[:21], Y[:21])}, "other validation data"),
    "seed": ({"made": network(seed=4)}, "seed 3, not 4"),
    "callbacks": ({"more": [nnx.EarlyStopping()]}, r'callbacks \["Checkpoint"\], not \["EarlyStopping", "C'),
    "dtype": ({"made": nnx.Network([nnx.Dense(6, 3)], seed=3, dtype="float64")}, 'dtype "float32", not'),
    "encoder": ({"made": network(seed=3)}, "encoder_length null, not 2"),
}
DIFFERENT["encoder"][0]["made"].encoder_length = 2


@pytest.mark.parametrize("name", DIFFERENT)
def test_another_run_cannot_resume_from_it(tmp_path, name):
    options, text = DIFFERENT[name]
    options = dict(options)
    killed(tmp_path, 20)
    before = {path: path.read_bytes() for path in tmp_path.glob("fit-*")}
    with pytest.raises(nnx.ConfigurationError, match=rf"step-18\.safetensors is from a run with .*{text}"):
        train(callbacks=options.pop("more", []), checkpoint=nnx.Checkpoint(tmp_path, resume=True), **options)
    assert {path: path.read_bytes() for path in tmp_path.glob("fit-*")} == before


def test_data_that_is_scaled_otherwise_is_other_data(tmp_path):
    def train(divisor, resume):
        network = nnx.Network([nnx.Dense(3, 3)], device="numpy", seed=0)
        x = nnx.Rows(np.arange(12, dtype=np.uint8).reshape(4, 3), divisor)
        network.fit(
            x, x, loss=nnx.MeanSquaredError(), optimizer=nnx.SGD(), batch_size=2,
            checkpoint=nnx.Checkpoint(tmp_path / "kept", every=1, resume=resume),
        )  # fmt: skip

    train(255, resume=False)
    train(255, resume=True)
    with pytest.raises(nnx.ConfigurationError, match="is from a run with other training data"):
        train(2, resume=True)


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


def test_two_are_one_too_many(tmp_path):
    kept = nnx.Checkpoint(tmp_path / "a"), nnx.Checkpoint(tmp_path / "b")
    with pytest.raises(nnx.ConfigurationError, match="give one Checkpoint"):
        train(callbacks=kept)
    with pytest.raises(nnx.ConfigurationError, match="give one Checkpoint"):
        train(callbacks=kept[:1], checkpoint=kept[1])
    for wrong in (str(tmp_path), KillAt(1), nnx.Checkpoint):
        with pytest.raises(nnx.ConfigurationError, match=r"checkpoint must be an nnx\.Checkpoint\(folder\)"):
            train(checkpoint=wrong)


def test_a_checkpoint_among_the_callbacks_works_and_warns(tmp_path):
    """As version 0.1 took it, at any place among them."""
    kept, resumes = nnx.Checkpoint(tmp_path, every=3), nnx.Checkpoint(tmp_path, resume=True)
    with pytest.raises(Killed), pytest.warns(DeprecationWarning, match="checkpoint=nnx.Checkpoint") as seen:
        train(callbacks=[kept, KillAt(13)])
    assert [Path(warning.filename).name for warning in seen] == ["resumed.py"]  # where `train` is
    with pytest.warns(DeprecationWarning, match="checkpoint=nnx.Checkpoint"):
        resumed = train(callbacks=[resumes])
    same(resumed, train())


def test_a_slice_is_refused(tmp_path):
    part = network()[:5]
    with pytest.raises(nnx.ConfigurationError, match="checkpoints need the whole network"):
        part.fit(
            X, RNG.normal(size=(61, 8)), loss=nnx.MeanSquaredError(), optimizer=nnx.SGD(),
            checkpoint=nnx.Checkpoint(tmp_path),
        )  # fmt: skip
    assert names(tmp_path) == []


def test_data_is_read_once_for_all_checkpoints(tmp_path, monkeypatch):
    """What a run was trained on is known by a fingerprint of all its numbers."""
    taken, fingerprint = [], nnx.training.facts.fingerprint
    monkeypatch.setattr(
        nnx.training.facts, "fingerprint", lambda *arrays: taken.append(1) or fingerprint(*arrays)
    )
    train(checkpoint=nnx.Checkpoint(tmp_path, every=2))
    assert len(taken) <= 2  # the data to train on, and to validate on
