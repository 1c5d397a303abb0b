"""The average of the parameters: its formula, who sees it, and a resumed run that is bit-identical."""

from __future__ import annotations

import numpy as np
import pytest
from support.resumed import killed, same, train
from support.small_networks import X37 as X
from support.small_networks import Y37 as Y
from support.small_networks import fit, regressor

import nnx

pytestmark = pytest.mark.usefixtures("device")
DECAY = 0.6


class Steps(nnx.Callback):
    """The trained parameters after each step, and those that callbacks see after an epoch."""

    def __init__(self):
        self.steps, self.epochs = [], []

    def on_step_end(self, run):
        self.steps.append(run.network.weights())

    def on_epoch_end(self, run):
        self.epochs.append(run.network.weights())


def averages(steps, decay=DECAY):
    """The averages after each step, in float64."""
    found = [{name: value.astype(float) for name, value in steps[0].items()}]
    for count, weights in enumerate(steps[1:], start=2):
        share = 1 - min(decay, (1 + count) / (10 + count))
        found.append({n: a + share * (weights[n] - a) for n, a in found[-1].items()})
    return found


def close(actual, expected, tolerance):
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(actual[name], value, rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_network_has_the_averages_after_each_epoch_and_at_the_end(dtype):
    seen, network = Steps(), regressor(dtype=dtype)
    history = fit(network, average=DECAY, callbacks=[seen], validation=(X, Y))
    expected = averages(seen.steps)
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    for epoch, weights in enumerate(seen.epochs):
        close(weights, expected[5 * epoch + 4], tolerance)
    close(network.weights(), expected[-1], tolerance)
    assert history["val_loss"][-1] == network.evaluate(X, Y, loss=nnx.MeanSquaredError())["loss"]


def test_training_itself_does_not_change():
    plain, averaged = Steps(), Steps()
    without = fit(regressor(), callbacks=[plain])
    with_average = fit(regressor(), callbacks=[averaged], average=DECAY)
    assert without["loss"] == with_average["loss"]
    for one, other in zip(plain.steps, averaged.steps, strict=True):
        assert all(value.tobytes() == other[name].tobytes() for name, value in one.items())


def test_the_saved_network_has_the_averages(tmp_path):
    network = regressor()
    fit(network, average=DECAY)
    network.save(tmp_path / "a.safetensors")
    assert (nnx.load(tmp_path / "a.safetensors").predict(X) == network.predict(X)).all()


def test_frozen_layers_do_not_change():
    network = regressor()
    network[0].trainable = False
    before = network.weights()
    fit(network, average=DECAY)
    after = network.weights()
    for name in ("dense_1.W", "dense_1.b"):
        assert after[name].tobytes() == before[name].tobytes()
    assert (after["dense_2.W"] != before["dense_2.W"]).any()


def test_early_stopping_restores_the_averages_of_the_best_epoch():
    network, best = regressor(), nnx.EarlyStopping(patience=2)
    history = fit(network, average=DECAY, callbacks=[best], validation=(X, -Y), epochs=30)
    assert len(history.epochs) < 30
    measured = network.evaluate(X, -Y, loss=nnx.MeanSquaredError())["loss"]
    assert measured == min(history["val_loss"])


@pytest.mark.parametrize("step", [3, 13, 24])
def test_a_killed_run_resumes_and_equals_an_uninterrupted_one(tmp_path, step):
    killed(tmp_path, step, average=0.9)
    whole = train(average=0.9)
    resumed = train(checkpoint=nnx.Checkpoint(tmp_path, every=3, resume=True), average=0.9)
    same(resumed, whole)


def test_a_checkpoint_is_read_as_the_averages(tmp_path):
    network = regressor()
    fit(network, average=DECAY, checkpoint=nnx.Checkpoint(tmp_path, every=5))
    newest = max(tmp_path.glob("*.safetensors"), key=lambda path: int(path.stem.rpartition("-")[2]))
    assert (nnx.load(newest).predict(X) == network.predict(X)).all()


def test_a_checkpoint_without_averages_is_refused(tmp_path):
    killed(tmp_path, 13)
    with pytest.raises(nnx.ConfigurationError, match=r"average null, not 0\.9"):
        train(checkpoint=nnx.Checkpoint(tmp_path, resume=True), average=0.9)


def test_a_fault_leaves_the_trained_parameters():
    class Broken(nnx.Callback):
        def on_epoch_end(self, run):
            raise RuntimeError("stop here")

    seen, network = Steps(), regressor()
    with pytest.raises(RuntimeError, match="stop here"):
        fit(network, average=DECAY, callbacks=[seen, Broken()])
    for name, value in network.weights().items():
        assert value.tobytes() == seen.steps[-1][name].tobytes()


@pytest.mark.parametrize("value", [0, 1, 1.5, "much", True])
def test_a_decay_outside_its_range_is_refused(value):
    with pytest.raises(nnx.ConfigurationError, match="average must"):
        fit(regressor(), average=value)
