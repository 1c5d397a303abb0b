"""Training that meets a NaN or infinity stops, and keeps the state from before that batch."""

from __future__ import annotations

import numpy as np
import pytest
from support.small_networks import X37 as X
from support.small_networks import Y37 as Y
from support.small_networks import Recorder, fit, regressor

import nnx

pytestmark = pytest.mark.usefixtures("device")


def explode(network, y, callbacks=(), batch_size=8, **options):
    with pytest.raises(nnx.TrainingError) as caught:
        fit(network, y=y, callbacks=callbacks, epochs=3, batch_size=batch_size, **options)
    return str(caught.value)


@pytest.mark.parametrize("batch_size", [8, 37])
def test_a_loss_that_explodes_stops_before_the_parameters_change(batch_size):
    class Watch(nnx.Callback):
        """The parameters as they are after each step; the second epoch is sabotaged at its second batch."""

        def on_step_end(self, run):
            self.step = run.step
            if run.epoch == 1 and (run.step == run.batches + 1 or batch_size == 37):
                run.network[0].b[...] = np.float32(1e38)
            self.values = run.network.arena.values.copy()

        def on_epoch_end(self, run):
            if batch_size == 37 and run.epoch == 1:
                run.network[0].b[...] = np.float32(1e38)
                self.values = run.network.arena.values.copy()

    watch, recorder = Watch(), Recorder()
    network = nnx.Network([nnx.Dense(3, 4), nnx.ReLU(), nnx.Dense(2), nnx.ReLU()], seed=0)
    network[2].W[...] = 100.0
    text = explode(network, Y, [watch, recorder], batch_size, optimizer=nnx.SGD(1e-9))
    batch = 2 if batch_size == 8 else 1
    assert text.startswith(f"epoch 2, batch {batch}: the loss is ")
    assert "the output of dense_2 is not finite" in text
    assert "lower the learning rate" in text
    assert network.arena.values.tobytes() == watch.values.tobytes()
    assert recorder.calls[-1] == "end"

    network[0].b[...] = 0.0  # mended, it goes on
    network[2].W[...] = 0.1
    assert np.isfinite(fit(network)["loss"]).all()
    assert np.isfinite(network.predict(X)).all()


def test_gradients_that_explode_are_found_although_the_loss_is_finite():
    network = nnx.Network([nnx.Dense(3, 4), nnx.Identity(), nnx.Dense(2)], seed=0)
    network[0].W[...] = 1e-30
    network[2].W[...] = 1e30
    before = network.arena.values.copy()
    text = explode(network, Y * np.float32(1e15), batch_size=37)
    assert "epoch 1, batch 1" in text
    assert "the gradient of dense_1" in text
    assert network.arena.values.tobytes() == before.tobytes()


def test_optimizer_state_is_kept_from_a_batch_that_explodes():
    network, optimizer = regressor(), nnx.Adam(0.01)
    fit(network, optimizer=optimizer)
    state = network.arena.states[optimizer]
    slots = {name: slot.tobytes() for name, slot in state.slots.items()}
    step, kept = network.arena.step, network[2].b.copy()
    network[2].b[...] = 1e30
    explode(network, Y, optimizer=optimizer)
    assert network.arena.step == step
    assert {name: slot.tobytes() for name, slot in state.slots.items()} == slots
    assert state.step == step
    network[2].b[...] = kept
    fit(network, optimizer=optimizer)
    assert network.arena.step == step + 20


def test_running_statistics_survive_a_batch_that_explodes():
    network = nnx.Network([nnx.Dense(3, 4), nnx.BatchNorm(), nnx.Dense(2)], seed=0)
    fit(network)
    kept = network[0].b.copy()
    before = network.weights()
    network[0].b[...] = np.inf
    explode(network, Y)
    network[0].b[...] = kept
    for name, value in network.weights().items():
        assert value.tobytes() == before[name].tobytes(), name
    assert np.isfinite(network.predict(X)).all()


@pytest.mark.parametrize("where", ["inputs", "targets"])
def test_a_fault_in_the_third_batch_leaves_what_the_second_left(where):
    """Parameters and running statistics: as if the run had ended before the batch at fault.

    A GPU tells of a fault at the epoch's end: its statistics are then those from before the epoch.
    """
    x, y = X.copy(), Y.copy()
    {"inputs": x, "targets": y}[where][16] = 3e38

    def make():
        layers = [nnx.Dense(3, 4), nnx.BatchNorm(), nnx.Dense(2)]
        network = nnx.Network(layers, seed=0)
        network[0].W[...] *= 100.0  # times the inputs at fault, more than float32 holds
        return network

    network, short = make(), make()
    before = {name: value for name, value in network.weights().items() if "running" in name}
    optimizer = nnx.Adam(0.01)
    with pytest.raises(nnx.TrainingError, match="epoch 1, batch 3:"):
        fit(network, x=x, y=y, shuffle=False, optimizer=optimizer)
    fit(short, x=X[:16], y=Y[:16], shuffle=False, epochs=1)
    for name, value in network.weights().items():
        assert np.isfinite(value).all(), name
        told_late = name in before and not network.backend.synchronous  # then: as before the epoch
        assert value.tobytes() == (before if told_late else short.weights())[name].tobytes(), name
    assert network.arena.step == 2
    assert np.isfinite(network.predict(X)).all()
    fit(network, optimizer=optimizer)  # and training goes on


def test_statistics_that_overflow_are_a_fault_too():
    """One row of 1e25: its square is infinite in float32, while loss and gradients stay finite."""
    network = nnx.Network([nnx.BatchNorm(), nnx.Dense(3, 2)], seed=0)
    network.build(3)
    before = network.weights()
    x = X.astype("float32")
    x[0] = 1e25
    with pytest.raises(nnx.TrainingError, match=r"batchnorm_1\.running_variance is not finite"):
        fit(network, x=x, shuffle=False)
    for name, value in network.weights().items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)
