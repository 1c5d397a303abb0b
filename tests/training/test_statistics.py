"""Statistics of gradients and weights: their values, and that training and resuming stay the same."""

from __future__ import annotations

import numpy as np
import pytest
from support.resumed import KillAt, Killed, same, train
from support.small_networks import fit, small
from support.small_networks import train as train_small

import nnx
from nnx.experiments.result import _history

pytestmark = pytest.mark.usefixtures("device")


class Last(nnx.Callback):
    """The parameters and gradients after each step."""

    def __init__(self):
        self.values, self.gradients = [], []

    def on_step_end(self, run):
        host = run.network.backend.to_numpy
        found = [
            (name, host(v).astype(float), host(g).astype(float)) for name, v, g in run.network.parameters()
        ]
        self.values.append({name: v for name, v, _ in found})
        self.gradients.append({name: g for name, _, g in found})


def norm(arrays, layer):
    return np.sqrt(sum(np.square(value).sum() for name, value in arrays.items() if name.startswith(layer)))


@pytest.mark.parametrize("rows", [5, 12])
def test_the_values_are_those_of_the_last_step(rows):
    seen, network = Last(), small()
    first = {name: value.astype(float) for name, value in network.weights().items()}
    callbacks = [nnx.WeightStatistics(), seen]
    history = train_small(network, nnx.Adam(0.01, clip_norm=0.1), batch_size=rows, callbacks=callbacks)
    batches = -(-12 // rows)
    kinds = {name.partition("/")[0] for name in history.statistics}
    assert kinds == {"gradient_norm", "weight_norm", "update_ratio", "dead_units"}
    for epoch in range(3):
        last = batches * (epoch + 1) - 1
        before = seen.values[last - 1] if last else first
        for layer in ("dense_1", "dense_2", "dense_3"):
            change = {name: value - before[name] for name, value in seen.values[last].items()}
            expected = {
                "gradient_norm": norm(seen.gradients[last], layer),
                "weight_norm": norm(seen.values[last], layer),
                "update_ratio": norm(change, layer) / norm(before, layer),
            }
            for kind, value in expected.items():
                assert history.statistics[f"{kind}/{layer}"][epoch] == pytest.approx(value, rel=1e-5)


def test_dead_units_are_those_that_are_0_for_all_rows():
    network = nnx.Network([nnx.Dense(3, 4), nnx.ReLU(), nnx.Dense(2)], seed=0)
    with network.backend.hold():
        network[0].b[...] = network.asarray(np.array([-100.0, 100.0, -100.0, 100.0], np.float32))
    history = fit(network, callbacks=[nnx.WeightStatistics()], epochs=1)
    assert history.statistics["dead_units/relu_1"] == [0.5]


def test_frozen_layers_are_left_out():
    network = small()
    network[0].trainable = False
    history = train_small(network, callbacks=[nnx.WeightStatistics()])
    assert "weight_norm/dense_1" not in history.statistics
    assert "weight_norm/dense_2" in history.statistics


def test_frozen_layers_in_a_container_are_left_out_too():
    block = nnx.Residual([nnx.Dense(3), nnx.Tanh(), nnx.Dense(3)])
    network = nnx.Network([block, nnx.Dense(2)], seed=0).build(3)
    block.branches[0][0].trainable = False
    history = train_small(network, epochs=1, callbacks=[nnx.WeightStatistics()])
    trained = {name: value for name, value in network.weights().items() if ".dense_2." in name}
    assert history.statistics["weight_norm/residual_1"][0] == pytest.approx(norm(trained, "residual_1"))


def test_training_does_not_change():
    class Seen(nnx.Callback):  # so that both are trained step by step
        def on_step_end(self, run):
            pass

    plain, watched = small(), small()
    train_small(plain, callbacks=[Seen()])
    train_small(watched, callbacks=[nnx.WeightStatistics()])
    for name, value in plain.weights().items():
        assert value.tobytes() == watched.weights()[name].tobytes()


def test_a_resumed_run_has_the_same_statistics(tmp_path):
    """Killed before the last step of an epoch, and with averages: the copy is that of the trained weights."""
    whole = train(callbacks=[nnx.WeightStatistics()], average=0.9)
    checkpoint = nnx.Checkpoint(tmp_path, every=1)
    with pytest.raises(Killed):
        train(callbacks=[nnx.WeightStatistics(), KillAt(15)], checkpoint=checkpoint, average=0.9)
    again = nnx.Checkpoint(tmp_path, every=1, resume=True)
    resumed = train(callbacks=[nnx.WeightStatistics()], checkpoint=again, average=0.9)
    same(resumed, whole)
    assert resumed[1].statistics == whole[1].statistics


def test_the_csv_file_holds_them(tmp_path):
    history = train_small(small(), callbacks=[nnx.WeightStatistics()])
    history.write_csv(tmp_path / "history.csv")
    read = _history(tmp_path / "history.csv")
    assert (read.metrics, read.statistics) == (history.metrics, history.statistics)
