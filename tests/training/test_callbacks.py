"""Callbacks stop training early, keep the best epoch, print progress and write the history."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest
from support.small_networks import X37 as X
from support.small_networks import Y37 as Y
from support.small_networks import fit, regressor

import nnx
from nnx.callbacks import History, Run

pytestmark = pytest.mark.usefixtures("device")


class Still:
    """A network as `EarlyStopping` sees it: numbered weights."""

    def __init__(self):
        self.now = 0
        self.restored = None

    def weights(self):
        return {"w": self.now}

    def set_weights(self, weights):
        self.restored = weights["w"]


def play(callback, values, name="val_loss"):
    """Run a callback over recorded values; the epochs until it stopped the run, and the network."""
    network, history = Still(), History()
    run = Run(network, None, history, len(values), 1)
    callback.on_train_begin(run)
    for epoch, value in enumerate(values, start=1):
        network.now = run.epoch = epoch
        history.epochs.append(epoch)
        history.metrics.setdefault(name, []).append(value)
        callback.on_epoch_end(run)
        if run.stop:
            break
    callback.on_train_end(run)
    return run, network


@pytest.mark.parametrize(
    ("values", "options", "epochs", "best"),
    [
        ([5, 4, 3, 2, 1], {"patience": 1}, 5, 5),
        ([5, 4, 6, 6, 6, 6, 6], {"patience": 0}, 3, 2),
        ([5, 4, 4.5, 3, 3.5, 2, 2.5, 1], {"patience": 2}, 8, 8),
        ([5, 4.99, 4.98, 4.97, 4.96, 4.95], {"patience": 2, "min_delta": 0.1}, 3, 1),
        ([1, 2, 3, 2, 2, 2], {"patience": 2, "mode": "max"}, 5, 3),
        ([math.nan, 3, math.nan, math.nan, 2], {"patience": 2}, 4, 2),
    ],
)
def test_early_stopping(values, options, epochs, best):
    callback = nnx.EarlyStopping(**options)
    run, network = play(callback, values)
    assert run.epoch == epochs
    assert callback.best_epoch == best
    assert network.restored == best
    assert bool(run.stop) == (epochs < len(values))
    if run.stop:
        assert f"has not improved since epoch {best}" in run.stop


@pytest.mark.parametrize("name", ["val_accuracy", "val_r2"])
def test_larger_is_better_for_accuracies(name):
    run, network = play(nnx.EarlyStopping(name, patience=0), [0.1, 0.5, 0.4], name)
    assert (run.epoch, network.restored) == (3, 2)


def test_early_stopping_need_not_restore():
    _, network = play(nnx.EarlyStopping(patience=0, restore_best=False), [1, 2])
    assert network.restored is None


def test_early_stopping_forgets_an_earlier_run():
    callback = nnx.EarlyStopping(patience=0)
    play(callback, [1, 2])
    run, network = play(callback, [9, 8, 7])
    assert (run.epoch, network.restored, run.stop) == (3, 3, "")


def test_progress_writes_one_line_an_epoch_and_always_the_last():
    lines = []
    play(nnx.Progress(lines.append, every=3), [0.5, 0.25, 0.125, 1 / 16, 1 / 32])
    assert lines == ["epoch 3/5  val_loss 0.125", "epoch 5/5  val_loss 0.03125"]


class Stops(nnx.Callback):
    def on_epoch_end(self, run):
        run.stop = "enough" if run.epoch == 703 else ""


def train(*callbacks, epochs=900):
    x = np.linspace(-1.0, 1.0, 4).reshape(-1, 1)
    network = nnx.Network([nnx.Dense(1, 1)], seed=0)
    options = {"loss": nnx.MeanSquaredError(), "optimizer": nnx.SGD(), "batch_size": 4}
    return network.fit(x, x, epochs=epochs, callbacks=callbacks, **options)


def test_the_last_line_is_written_where_a_later_callback_ends_the_training():
    lines = []
    train(nnx.Progress(lines.append, every=500), Stops())
    assert [line.split()[1] for line in lines] == ["500/900", "703/900"]
    train(nnx.Progress(lines.append, every=500))
    assert [line.split()[1] for line in lines[2:]] == ["500/900", "900/900"]


def test_a_long_history_is_written_whole_but_not_at_every_epoch(tmp_path, monkeypatch):
    path, writes, write = tmp_path / "h.csv", [], History.write_csv
    monkeypatch.setattr(History, "write_csv", lambda self, path: (writes.append(1), write(self, path)))
    history = train(nnx.CSVLog(path), Stops())
    rows = list(csv.reader(path.read_text().splitlines()))
    assert [float(row[1]) for row in rows[1:]] == history["loss"]
    assert len(rows) == 704
    assert 100 < len(writes) < 250


def test_a_history_is_written_whole(tmp_path):
    run, _ = play(nnx.CSVLog(tmp_path / "h.csv"), [0.1, 1 / 3])
    with (tmp_path / "h.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [["epoch", "val_loss"], ["1", "0.1"], ["2", repr(1 / 3)]]
    assert [path.name for path in tmp_path.iterdir()] == ["h.csv"]
    assert "2 epochs" in repr(run.history)


def test_early_stopping_puts_the_best_epoch_back():
    class Spoil(nnx.Callback):
        """From the fourth epoch on, make everything worse."""

        def on_epoch_end(self, run):
            self.weights = getattr(self, "weights", {})
            self.weights[run.epoch] = run.network.weights()

        def on_step_end(self, run):
            if run.epoch >= 3:
                run.network[2].b[...] += 10.0

    spoil, stopping = Spoil(), nnx.EarlyStopping(patience=2)
    network = regressor()
    history = fit(network, epochs=50, validation=0.2, callbacks=[spoil, stopping])
    assert stopping.best_epoch == 3
    assert history["val_loss"].index(min(history["val_loss"])) == 2
    assert 5 <= history.epochs[-1] <= 6
    for name, value in network.weights().items():
        assert value.tobytes() == spoil.weights[3][name].tobytes()


def test_best_checkpoint_keeps_the_best_epoch(tmp_path):
    path = tmp_path / "best.safetensors"

    class Spoil(nnx.Callback):
        def on_step_end(self, run):
            if run.epoch >= 2:
                run.network[2].b[...] += 10.0

    network = regressor()
    history = fit(network, epochs=5, validation=0.2, callbacks=[Spoil(), nnx.BestCheckpoint(path)])
    best = nnx.load(path).evaluate(X[30:], Y[30:], loss=nnx.MeanSquaredError())["loss"]
    assert best == pytest.approx(min(history["val_loss"]), rel=1e-5)
    assert [file.name for file in tmp_path.iterdir()] == ["best.safetensors"]


def test_the_csv_log_holds_the_history(tmp_path):
    path = tmp_path / "history.csv"
    history = fit(regressor(), epochs=3, validation=0.2, metrics=["mse"], callbacks=[nnx.CSVLog(path)])
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3]
    for name in ("loss", "val_loss", "val_mse"):
        assert [float(row[name]) for row in rows] == history[name]


def plateaus(values, **options):
    """Run `ReduceOnPlateau` over values of val_loss; the factor of the rates after each epoch."""
    network, optimizer = regressor(), nnx.SGD(0.5)
    kept, _ = optimizer.state_for(network)
    run = Run(network, optimizer, History(), len(values), 1)
    callback = nnx.ReduceOnPlateau(**options)
    callback.on_train_begin(run)
    found = []
    for value in values:
        run.record(1.0)
        run.history.metrics.setdefault("val_loss", []).append(value)
        callback.on_epoch_end(run)
        found.append(kept.scale)
    return found, run


def test_the_rate_falls_on_plateaus():
    found, run = plateaus([5, 4, 4, 4, 3, 3, 3, 3, 3, 3], patience=2, factor=0.5)
    assert found == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]
    assert run.history["learning_rate"] == [0.5 * scale for scale in [1, *found[:-1]]]


def test_the_rate_does_not_fall_below_its_limit():
    found, _ = plateaus([1] * 8, patience=1, factor=0.5, least=0.2)
    assert found == pytest.approx([1, 0.5, 0.25, 0.2, 0.2, 0.2, 0.2, 0.2])


@pytest.mark.parametrize("groups", [None, {"*.b": {"learning_rate": 0.3}}])
def test_the_lower_rate_is_that_of_the_next_epochs(groups):
    """Also of a schedule, and of a group with a different rate."""
    still = nnx.ReduceOnPlateau("loss", factor=0.5, patience=1, min_delta=1e9)  # better only once
    network, schedule = regressor(), nnx.Exponential(0.1, 5, 0.9)
    history = fit(network, optimizer=nnx.SGD(schedule, groups=groups), callbacks=[still], epochs=3)
    assert history["learning_rate"] == pytest.approx([schedule(4), schedule(9), 0.5 * schedule(14)])

    twin = regressor()
    halved = {"*.b": {"learning_rate": nnx.Step(0.3, 10, 0.5)}} if groups else None

    class Halved(nnx.Schedule):
        def __call__(self, step):
            return schedule(step) * 0.5 ** (step // 10)

    fit(twin, optimizer=nnx.SGD(Halved(), groups=halved), epochs=3)
    for name, value in twin.weights().items():
        np.testing.assert_allclose(network.weights()[name], value, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize(("name", "value"), [("factor", 1), ("factor", 0), ("patience", -1), ("least", 2)])
def test_wrong_arguments_of_a_plateau(name, value):
    with pytest.raises(nnx.ConfigurationError, match=f"ReduceOnPlateau: {name} must"):
        nnx.ReduceOnPlateau(**{name: value})


class Mover(nnx.Callback):
    def __init__(self, at):
        self.at = at

    def on_step_end(self, run):
        if self.at == "step":
            run.network.to("numpy")

    def on_epoch_end(self, run):
        run.network.to("numpy")


@pytest.mark.parametrize("at", ["step", "epoch"])
def test_a_callback_cannot_move_the_network(at):
    network = regressor()
    with pytest.raises(nnx.ConfigurationError, match="cannot be moved while fit trains it"):
        fit(network, epochs=2, callbacks=[Mover(at)])
    assert network.to("numpy").backend.name == "numpy"  # after it, it can


def test_a_slice_in_training_holds_its_network():
    network = nnx.Network([nnx.Dense(3, 4), nnx.ReLU(), nnx.Dense(2)], seed=0)

    class Move(nnx.Callback):
        def on_epoch_end(self, run):
            network.to("numpy")

    with pytest.raises(nnx.ConfigurationError, match="cannot be moved while fit trains it"):
        fit(network[:3], epochs=1, callbacks=[Move()])


def test_a_history_knows_names_only():
    history = fit(regressor(), epochs=1)
    with pytest.raises(KeyError, match="0 was not recorded"):
        history[0]
