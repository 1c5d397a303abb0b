"""A resumed run has the state of the stopped one, and gives the results of an uninterrupted run."""

from __future__ import annotations

import numpy as np
import pytest
from support.changed import fit
from support.resumed import RNG, KillAt, Killed, X, killed, names, network, noisy, same, train
from support.small_networks import OPTIMIZERS

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


class Told(nnx.Callback):
    def __init__(self, value):
        self.value = value

    def state(self):
        return {"seen": self.value}

    def restore(self, state):
        self.value = state["seen"]


@pytest.mark.parametrize(
    "value",
    [
        np.array(["a", "b"]), np.array([b"a"]), np.array([{}]), np.array([1j]),
        np.array(["2026-01-01"], "datetime64[D]"), np.zeros(2, [("x", "f4")]),
    ],
    ids=lambda value: str(value.dtype),
)  # fmt: skip
@pytest.mark.parametrize("wait", [None, "1h"])
def test_an_array_that_no_file_holds_is_refused_before_training(tmp_path, value, wait):
    steps = []

    class Count(nnx.Callback):
        def on_step_end(self, run):
            steps.append(run.step)

    with pytest.raises(nnx.ConfigurationError, match=r"the state of Told: 'seen' is an array of type"):
        fit([Told(value), Count()], checkpoint=nnx.Checkpoint(tmp_path / "kept", every=1, wait=wait))
    assert steps == []
    assert not list(tmp_path.glob("kept/*.safetensors"))


@pytest.mark.parametrize(
    "kind", ["?", "i1", "<i2", ">i2", ">i4", "<i8", "u1", ">u2", "u4", ">u8", "<f2", ">f4", ">f8"]
)
def test_an_array_of_numbers_is_read_as_it_was(tmp_path, kind):
    """Whatever its byte order."""
    value = np.array([[0, 1, 100]], kind)
    again = Told(None)
    fit([Told(value)], checkpoint=nnx.Checkpoint(tmp_path, every=20))
    fit([again], checkpoint=nnx.Checkpoint(tmp_path, resume=True))
    assert again.value.dtype == value.dtype.newbyteorder("=")
    np.testing.assert_array_equal(again.value, value)
