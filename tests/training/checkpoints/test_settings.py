"""What a callback changes while training runs is so in a resumed run too: its results are bit-identical."""

from __future__ import annotations

import json
import shutil
from collections import Counter, deque

import numpy as np
import pytest
from safetensors import safe_open
from support.changed import Sharp, fit
from support.places import OLD
from support.resumed import Killed, X, Y, same

import nnx
from nnx import model_files

STEPS = 8  # an epoch
CHANGED, STOPPED, EVERY = 2, 3 * STEPS + 5, 3  # after epoch 2 something changes; step 29 is the last


class Falling(nnx.schedules.Schedule):
    def __init__(self, start, fall):
        self.start, self.fall = start, fall

    def __call__(self, step):
        return self.start / (1.0 + self.fall * step)


class Step(Falling):
    """By its name it is one of nnx."""


class Change(nnx.Callback):
    def __init__(self, what):
        self.what = what

    def on_epoch_end(self, run):
        if run.epoch == CHANGED:
            self.what(run)


class Stop(nnx.Callback):
    def on_step_end(self, run):
        if run.step == STOPPED:
            raise Killed


def assign(path, value):
    """A change of the run: ``network.layers[0].trainable`` and the like."""
    *owners, name = path.split(".")

    def change(run):
        owner = run
        for part in owners:
            key, _, index = part.partition("[")
            owner = getattr(owner, key)
            owner = owner[int(index[:-1])] if index else owner
        assert getattr(owner, name) != value
        setattr(owner, name, value)

    return change


CHANGES = {
    "a frozen layer": assign("network.layers[0].trainable", False),
    "a thawed layer": assign("network.layers[7].trainable", True),
    "a frozen normalization": assign("network.layers[1].trainable", False),
    "a dropout rate": assign("network.layers[3].rate", 0.6),
    "a momentum of statistics": assign("network.layers[1].momentum", 0.5),
    "an epsilon": assign("network.layers[1].epsilon", 0.1),
    "a slope": assign("network.layers[5].alpha", 0.9),
    "a layer's own attribute": assign("network.layers[6].sharpness", 1.5),
    "a learning rate": assign("optimizer.schedule", nnx.schedules.Constant(0.001)),
    "a learning rate's factor": assign("optimizer.schedule.learning_rate", 0.003),
    "a schedule in a schedule": assign("optimizer.schedule", nnx.schedules.Warmup(Falling(0.01, 0.1), 30)),
    "a schedule of nnx": assign("optimizer.schedule", nnx.schedules.Step(0.003, 5)),
    "a schedule with the name of one": assign("optimizer.schedule", Step(0.01, 0.1)),
    "a moment's decay": assign("optimizer.beta1", 0.5),
    "a weight decay": assign("optimizer.weight_decay", 0.1),
    "l2": assign("optimizer.l2", 0.1),
    "a clipped norm": assign("optimizer.clip_norm", 0.1),
    "a clipped value": assign("optimizer.clip_value", 0.01),
    "a number of NumPy's": assign("optimizer.l2", np.float32(0.1)),
    "a loss's factor": assign("loss.factor", 3.0),
    "the seed of masks and shuffles": assign("network.arena.seed", 77),
    "the epochs": assign("epochs", 4),
    "more epochs": assign("epochs", 6),
    "a rule for faults": assign("on_nonfinite", "skip"),
    "the end": assign("stop", "enough"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_callback_changed_stays_changed(tmp_path, name):
    what = CHANGES[name]
    whole = fit([Change(what)])
    if name != "the end":  # which comes before
        with pytest.raises(Killed):
            fit([Change(what), Stop()], checkpoint=nnx.Checkpoint(tmp_path, every=EVERY))
    resumed = fit([Change(what)], checkpoint=nnx.Checkpoint(tmp_path, every=EVERY, resume=True))
    same(resumed, whole)
    assert resumed[0].config() == whole[0].config()
    if name != "a rule for faults":  # there are none
        assert whole[1].metrics != fit([])[1].metrics


def test_the_length_of_the_encoder_has_its_old_name_in_a_checkpoint(tmp_path):
    """Checkpoints of version 0.1 call it `code`, and version 0.1 can read those of today."""
    change = Change(assign("network.encoder_length", 3))
    written = nnx.Checkpoint(tmp_path, every=EVERY)
    with pytest.raises(Killed):
        fit([change, Stop()], checkpoint=written)
    *_, counts = model_files.read_training(written.newest)
    assert counts["settings"]["network"] == {"code": 3}
    resumed, _ = fit([change], checkpoint=nnx.Checkpoint(tmp_path, every=EVERY, resume=True))
    assert resumed.encoder_length == 3


class Plateau(nnx.Callback):
    """Halves the learning rate where the loss does not fall: its own counts decide, and it has no `state`."""

    def __init__(self, patience=1):
        self.patience, self.waited, self.best, self.seen = patience, 0, None, []

    def on_epoch_end(self, run):
        loss = run.history["val_loss"][-1]
        self.seen.append(loss)
        self.waited = 0 if self.best is None or loss < 0.8 * self.best else self.waited + 1
        self.best = loss if self.best is None else min(self.best, loss)
        if self.waited > self.patience:
            run.optimizer.schedule.learning_rate *= 0.5
            self.waited = 0


@pytest.mark.parametrize("stop", [9, 17, 25, 33])
def test_a_callbacks_own_counts_are_restored(tmp_path, stop):
    class StopHere(nnx.Callback):
        def on_step_end(self, run):
            if run.step == stop:
                raise Killed

    plateau, again = Plateau(), Plateau()
    whole = fit([plateau], epochs=8)
    with pytest.raises(Killed):
        fit([Plateau(), StopHere()], checkpoint=nnx.Checkpoint(tmp_path, every=EVERY), epochs=8)
    resumed = fit([again], checkpoint=nnx.Checkpoint(tmp_path, every=EVERY, resume=True), epochs=8)
    same(resumed, whole)
    assert vars(again) == vars(plateau)


def test_what_a_resumed_run_gives_a_callback_is_not_overruled(tmp_path):
    """Only what changed while training ran is restored, not the patience that the caller gave."""
    with pytest.raises(Killed):
        fit([Plateau(patience=9), Stop()], checkpoint=nnx.Checkpoint(tmp_path, every=EVERY))
    other = Plateau(patience=3)
    fit([other], checkpoint=nnx.Checkpoint(tmp_path, every=EVERY, resume=True))
    assert other.patience == 3
    assert len(other.seen) == 5


def test_what_a_checkpoint_cannot_hold_is_named_once(tmp_path, caplog):
    class Keeping(nnx.Callback):
        kept = None

        def on_epoch_end(self, run):
            self.kept = run.network.weights()

    fit([Keeping()], checkpoint=nnx.Checkpoint(tmp_path, every=EVERY))
    told = [record.getMessage() for record in caplog.records if "Keeping" in record.getMessage()]
    assert len(told) == 1
    assert "Keeping: kept changed while training" in told[0]


def test_going_back_after_a_fault_takes_back_what_was_changed_since(tmp_path):
    """A change after the checkpoint is undone with everything else, and made again when its time comes."""
    seen = []

    class Once(nnx.Callback):
        def on_step_end(self, run):
            seen.append((run.step, run.network.layers[3].rate))
            if run.step == 10:
                run.network.layers[3].rate = 0.7
            if run.step == 14 and not run.history.rollbacks:
                run.network.layers[0].W[...] = np.inf

    with np.errstate(all="ignore"):
        fit([Once()], checkpoint=nnx.Checkpoint(tmp_path, every=9), on_nonfinite="rollback")
    first, second = [rate for step, rate in seen if step == 10]
    assert (first, second) == (0.2, 0.2)


@pytest.mark.parametrize(
    "damage",
    [
        {"optimizer": {"beta1": "high"}}, {"optimizer": {"nothing": 1.0}}, {"optimizer": 3}, [],
        {"layer 1": {"trainable": "perhaps", "units": [1]}}, {"optimizer": {"schedule": {"schedule": "No"}}},
        {"optimizer": {"schedule": {"schedule": "Step", "attributes": 3}}}, {"network": {"code": 99}},
        {"optimizer": {"l2": {"numpy": "O", "value": "x"}}}, {"optimizer": {"l2": {"other": 1}}},
        {"optimizer": {"schedule": 0.1}}, {"optimizer": {"schedule": None}},
        {"optimizer": {"schedule": {"list": [0.1]}}},
    ],
    ids=repr,
)  # fmt: skip
def test_settings_that_nnx_did_not_write_are_refused(tmp_path, damage):
    kept = nnx.Checkpoint(tmp_path, every=EVERY)
    with pytest.raises(Killed):
        fit([Change(CHANGES["l2"]), Stop()], checkpoint=kept)
    weights, arrays, counts = model_files.read_training(kept.newest)
    with safe_open(kept.newest, framework="numpy") as file:
        config = json.loads(file.metadata()["network"])
    model_files.write(kept.newest, weights, config, {}, (arrays, counts | {"settings": damage}))
    with pytest.raises(nnx.NnxError, match=r"fit-1-step-27\.safetensors"):
        fit([Change(CHANGES["l2"])], checkpoint=nnx.Checkpoint(tmp_path, every=EVERY, resume=True))


CHECKPOINT = OLD / "checkpoint-0.1.safetensors"


def test_a_checkpoint_of_version_0_1_is_resumed(tmp_path):
    """Taken after three steps of this very training, before there were settings in checkpoints."""
    x = (np.arange(48) % 7).reshape(8, 6).astype(np.float32) / 8

    def run(checkpoint=None):
        layers = [nnx.Dense(6, 3, initializer="he_normal"), nnx.BatchNorm(), nnx.Tanh(), nnx.Dropout(0.25),
                  nnx.Dense(2)]  # fmt: skip
        made = nnx.Network(layers, seed=1, device="numpy")
        history = made.fit(
            x, x[:, :2], loss=nnx.MeanSquaredError(), optimizer=nnx.Adam(nnx.schedules.Cosine(0.02, 12)),
            epochs=6, batch_size=4, validation=(x[:3], x[:3, :2]), metrics=["r2"],
            callbacks=[nnx.EarlyStopping(patience=9)], checkpoint=checkpoint,
        )  # fmt: skip
        return made, history

    (tmp_path / "kept").mkdir()
    shutil.copy(CHECKPOINT, tmp_path / "kept" / "fit-1-step-3.safetensors")
    made, history = run(checkpoint=nnx.Checkpoint(tmp_path / "kept", resume=True))
    assert history.steps == 12
    _, arrays, _ = model_files.read_training(CHECKPOINT)
    assert history["loss"][:1] == arrays["history.loss"].tolist()  # of before; dropout masks are others now
    assert all(np.isfinite(value).all() for value in made.weights().values())
    assert nnx.load(CHECKPOINT).inputs == 6


def test_a_run_is_resumed_whatever_initial_weights_its_layers_would_have_today(tmp_path):
    """Those of `nnx train` have changed since some checkpoints were written; the file has the weights."""

    def run(initializer, *callbacks, **options):
        inner = nnx.Residual([nnx.Dense(4, initializer=initializer), nnx.ReLU()])
        first = nnx.Dense(6, 4, initializer=initializer)
        made = nnx.Network([first, inner, nnx.Dense(3)], device="numpy", seed=3)
        history = made.fit(
            X, Y, loss=nnx.MeanSquaredError(), optimizer=nnx.Adam(0.01), epochs=5, batch_size=8,
            callbacks=callbacks, **options,
        )  # fmt: skip
        return made, history

    with pytest.raises(Killed):
        run("he_normal", Stop(), checkpoint=nnx.Checkpoint(tmp_path, every=EVERY))
    resumed = run("glorot_uniform", checkpoint=nnx.Checkpoint(tmp_path, every=EVERY, resume=True))
    same(resumed, run("he_normal"))


class Passes(Sharp):
    """Makes attributes in its first forward pass, as many layers of users do."""

    def forward_into(self, x, y, cache):
        self.passes = getattr(self, "passes", 0) + 1
        self.mean = np.float64(self.passes)
        super().forward_into(x, y, cache)


class Kinds(nnx.Callback):
    """Counts in attributes that the layers and optimizers of nnx have too, and that change their kind."""

    def __init__(self):
        self.index = self.name = self.slots = self.inputs = self.best = 0
        self.why, self.seen, self.pairs = False, set(), frozenset()

    def on_epoch_end(self, run):
        self.index, self.name, self.slots = self.index + 1, f"epoch {run.epoch}", self.slots + 2
        self.inputs, self.best, self.why = self.inputs - 1, [run.epoch, 0.5], "plateau"
        self.seen.add(run.epoch)
        self.pairs |= {(run.epoch, "two")}


def of_ones_own(folder, *callbacks, **options):
    made = nnx.Network([nnx.Dense(6, 4), Passes(), nnx.Dense(3)], device="numpy", seed=3)
    counted = Kinds()
    if folder is not None:
        options = {"checkpoint": nnx.Checkpoint(folder, every=EVERY, **options)}
    made.fit(
        X, Y, loss=nnx.MeanSquaredError(), optimizer=nnx.SGD(0.1), epochs=5, batch_size=8,
        callbacks=[counted, *callbacks], **options,
    )  # fmt: skip
    return made, counted


def test_attributes_of_a_users_own_classes_are_restored_whatever_their_name_and_kind(tmp_path):
    whole, counted = of_ones_own(None)
    with pytest.raises(Killed):
        of_ones_own(tmp_path, Stop())
    resumed, again = of_ones_own(tmp_path, resume=True)
    assert vars(again) == vars(counted)
    then, now = whole.layers[1], resumed.layers[1]
    assert (now.passes, now.mean) == (then.passes, then.mean)


def changing(name, first, change):
    class Changing(nnx.Callback):
        def __init__(self):
            setattr(self, name, first())

        def on_epoch_end(self, run):
            change(getattr(self, name))

    return Changing()


@pytest.mark.parametrize(
    ("first", "change"),
    [
        (lambda: np.zeros(3), lambda array: array.__iadd__(1)),
        (lambda: np.zeros((3, 2**21)).T, lambda array: array.__iadd__(1)),
        (lambda: [np.zeros(3)], lambda arrays: arrays[0].__iadd__(1)),
        (lambda: {1: 0}, lambda counts: counts.update({1: counts[1] + 1})),
        (Counter, lambda counts: counts.update("a")),
        (lambda: deque(maxlen=3), lambda last: last.append(1)),
    ],
    ids=["an array", "a large array", "arrays in a list", "a mapping by numbers", "a Counter", "a deque"],
)
def test_what_is_changed_in_place_and_lost_is_named(tmp_path, caplog, first, change):
    fit([changing("total", first, change)], checkpoint=nnx.Checkpoint(tmp_path, every=EVERY), epochs=2)
    assert caplog.text.count("Changing: total changed while training") == 1


def test_what_is_not_changed_is_not_named(tmp_path, caplog):
    for first in (lambda: np.zeros(3), lambda: {1: 0}, Counter, deque, lambda: {object()}):
        fit(
            [changing("total", first, len)],
            checkpoint=nnx.Checkpoint(tmp_path / first().__class__.__name__, every=9),
        )
    assert "changed while training" not in caplog.text
