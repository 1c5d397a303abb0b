"""Layers, optimizers and `fit` take settings from NumPy, PyTorch or a file, and refuse what is none."""

from __future__ import annotations

import fractions
import pickle
from pathlib import Path

import numpy as np
import pytest
from support.settings import NUMBERS
from support.six_features import X, fit, network

import nnx

pytestmark = pytest.mark.usefixtures("device")


MADE = {
    "Dense": lambda v, k: nnx.Dense(4, seed=k),
    "Dropout": lambda v, k: nnx.Dropout(v),
    "MaxPool1D": lambda v, k: nnx.Sequential(
        [nnx.Reshape((4, 1)), nnx.MaxPool1D(k, strides=[k]), nnx.SpatialDropout1D(v), nnx.Flatten()]
    ),
    "LeakyReLU": lambda v, k: nnx.LeakyReLU(v),
    "ELU": lambda v, k: nnx.ELU(v),
    "BatchNorm": lambda v, k: nnx.BatchNorm(momentum=v, epsilon=v),
    "LayerNorm": lambda v, k: nnx.LayerNorm(epsilon=v),
    "Normal": lambda v, k: nnx.Dense(4, initializer=nnx.initializers.Normal(v)),
    "Orthogonal": lambda v, k: nnx.Dense(4, initializer={"name": "orthogonal", "gain": v}),
}


@pytest.mark.parametrize("made", MADE)
@pytest.mark.parametrize("value", NUMBERS, ids=repr)
def test_layers_of_such_settings_are_trained_saved_copied_and_pickled(made, value, tmp_path):
    trained = network(MADE[made](value, np.int64(3)))
    fit(trained, checkpoint=nnx.Checkpoint(tmp_path / "run", every=np.int64(2)))
    trained.save(tmp_path / "m.safetensors")
    for other in (nnx.load(tmp_path / "m.safetensors"), trained.copy(), pickle.loads(pickle.dumps(trained))):
        assert other.config() == trained.config()
        np.testing.assert_array_equal(other.predict(X), trained.predict(X))


@pytest.mark.parametrize("value", NUMBERS, ids=repr)
def test_optimizers_schedules_losses_and_fit_take_such_settings(value):
    for optimizer in (
        nnx.SGD(value, momentum=value, l2=value, clip_norm=value), nnx.Adam(value, value, value, l2=value),
        nnx.RMSprop(value, rho=value), nnx.Adagrad(nnx.Cosine(value, np.int64(9), final=value)),
        nnx.SGD(nnx.Warmup(nnx.Exponential(value, np.array(3), value), np.int32(2))),
    ):  # fmt: skip
        plainly = eval(repr(optimizer), vars(nnx) | {"__builtins__": {}})
        assert repr(plainly) == repr(optimizer)  # nothing but Python's numbers is in it
        histories = [
            fit(network(), loss=nnx.Huber(value), optimizer=o, validation=value, epochs=np.int64(2),
                batch_size=np.array(8), shuffle=np.bool_(True))
            for o in (optimizer, plainly)
        ]  # fmt: skip
        assert histories[0].metrics == histories[1].metrics


WRONG = {
    "a width of 4.7": lambda: nnx.Dense(6, np.array(4.7)),
    "a seed of a half": lambda: nnx.Dense(6, 4, seed=0.5),
    "two rates": lambda: nnx.Dropout(np.array([0.1, 0.2])),
    "a rate as text": lambda: nnx.Dropout("0.1"),
    "no slope": lambda: nnx.LeakyReLU(None),
    "an endless epsilon": lambda: nnx.BatchNorm(epsilon=float("inf")),
    "a flag as text": lambda: nnx.GELU("False"),
    "a flag as text, of a network": lambda: network(fuse="no"),
    "trainable as text": lambda: setattr(nnx.Dense(2, 2), "trainable", "False"),
    "nesterov as text": lambda: nnx.SGD(0.1, momentum=0.5, nesterov="False"),
    "a true momentum": lambda: nnx.SGD(0.1, momentum=True),
    "a true rate": lambda: nnx.Adam(True),
    "two deltas": lambda: nnx.Huber(np.array([1.0, 2.0])),
    "epsilon as text": lambda: nnx.BinaryCrossEntropy("1e-7"),
    "an endless gain": lambda: nnx.initializers.Orthogonal(float("inf")),
    "no constant": lambda: nnx.initializers.Constant(None),
    "min_delta as text": lambda: nnx.EarlyStopping(min_delta="small"),
    "a negative min_delta": lambda: nnx.EarlyStopping(min_delta=-1),
    "restore_best as text": lambda: nnx.EarlyStopping(restore_best="no"),
    "a batch of two sizes": lambda: fit(network(), batch_size=np.array([8, 8])),
    "a batch size in a list": lambda: fit(network(), batch_size=np.array([8])),
    "epochs of 2.7": lambda: fit(network(), epochs=np.array(2.7)),
    "shuffle as text": lambda: fit(network(), shuffle="no"),
    "true validation": lambda: fit(network(), validation=True),
    "an encoder of 1.7 layers": lambda: setattr(network(), "encoder_length", np.array(1.7)),
    "a wait without a unit": lambda: nnx.Checkpoint("x", wait=5),
    "an array in about": lambda: nnx.Checkpoint("x", about={"a": np.zeros(2)}),
    "a set in about": lambda: nnx.Checkpoint("x", about={"a": {1, 2}}),
    "metadata of a network": lambda: network().save("x", {"a": object()}),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_makes_no_setting_is_one_line_before_anything_happens(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(nnx.ConfigurationError) as caught:
        WRONG[name]()
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


class Own(nnx.Schedule):
    def __init__(self, rate):
        self.rate = rate

    def __call__(self, step):
        return self.rate


@pytest.mark.parametrize("value", [np.float32(0.25), np.array(0.25), fractions.Fraction(1, 4)], ids=repr)
@pytest.mark.parametrize("width", [4, 600])  # a compiled loop takes the small one, where there is one
def test_a_schedule_of_ones_own_may_give_any_number(value, width):
    def weights(rate):
        made = nnx.Network([nnx.Dense(6, width), nnx.Dense(2)], seed=0)
        fit(made, optimizer=nnx.SGD(rate))
        return made.weights()

    np.testing.assert_equal(weights(Own(value)), weights(0.25))


@pytest.mark.parametrize("rate", [-0.1, float("nan"), float("inf"), None, "0.1"])
def test_a_schedule_of_ones_own_that_gives_no_rate_is_refused(rate):
    made = network()
    before = made.weights()
    with pytest.raises(nnx.ConfigurationError, match="the learning rate of step 0 must lie in"):
        fit(made, optimizer=nnx.Adam(Own(rate)))
    np.testing.assert_equal(made.weights(), before)


class Keeps(nnx.Callback):
    """A callback with a state of these values."""

    def __init__(self, **kept):
        self.kept = kept

    def state(self):
        return self.kept

    def restore(self, state):
        self.kept = state


def test_a_state_of_numpy_scalars_comes_back_as_numbers(tmp_path):
    given = Keeps(n=np.float32(1.5), k=np.int64(3), where=Path("a"), array=np.arange(3))
    fit(
        network(),
        callbacks=[given],
        checkpoint=nnx.Checkpoint(tmp_path / "run", every=2, about={"trial": np.int64(3)}),
    )
    again = Keeps()
    resumes = nnx.Checkpoint(tmp_path / "run", every=2, about={"trial": 3}, resume=True)
    fit(network(), epochs=2, callbacks=[again], checkpoint=resumes)
    assert {k: v for k, v in again.kept.items() if k != "array"} == {"n": 1.5, "k": 3, "where": "a"}
    np.testing.assert_array_equal(again.kept["array"], np.arange(3))


def test_a_state_that_no_checkpoint_can_hold_is_refused_before_training(tmp_path):
    made = network()
    before = made.weights()
    with pytest.raises(nnx.ConfigurationError, match=r"the state of Keeps\['seen'\] .* set"):
        fit(made, callbacks=[Keeps(seen={1, 2})], checkpoint=nnx.Checkpoint(tmp_path / "run", every=2))
    np.testing.assert_equal(made.weights(), before)
