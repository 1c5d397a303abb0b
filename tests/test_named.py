"""Losses, optimizers and layers by name, and the tables that are read from their records."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import nnx
from nnx import layers, losses, optimizers, schedules
from nnx.errors import ConfigurationError
from nnx.records import Counterpart, by_name

pytestmark = pytest.mark.usefixtures("on_cpu")

ROOMS = {"loss": losses, "optimizer": optimizers}
NAMED = [(what, name) for what, room in ROOMS.items() for name in room.NAMES]


def test_the_names_that_users_know_of_other_libraries():
    assert type(losses.get("mse")) is type(losses.get("mean_squared_error")) is nnx.MeanSquaredError
    assert type(losses.get("mae")) is nnx.MeanAbsoluteError
    assert type(losses.get("binary_cross_entropy")) is nnx.BinaryCrossEntropy
    assert type(losses.get("cross_entropy")) is nnx.CategoricalCrossEntropy
    assert [type(optimizers.get(name)) for name in ("sgd", "adam", "adamw", "rmsprop", "adagrad")] == [
        nnx.SGD, nnx.Adam, nnx.AdamW, nnx.RMSprop, nnx.Adagrad
    ]  # fmt: skip


@pytest.mark.parametrize(("what", "name"), NAMED)
def test_a_name_and_config_make_the_thing_again(what: str, name: str) -> None:
    room = ROOMS[what]
    made = room.get(name)
    assert room.get(made) is made
    config = json.loads(json.dumps(made.config()))
    again = room.get({"name": name, **config})
    assert type(again) is type(made)
    assert again.config() == made.config()
    assert repr(room.get(name, **config)) == repr(made)


@pytest.mark.parametrize(("what", "base"), [("loss", nnx.Loss), ("optimizer", nnx.Optimizer)])
def test_every_public_class_has_a_record_and_a_name(what: str, base: type) -> None:
    public = {getattr(nnx, name) for name in nnx.__all__ if name[0].isupper()}
    kinds = {kind for kind in public if isinstance(kind, type) and issubclass(kind, base)} - {base}
    assert set(ROOMS[what].KINDS) == kinds == set(ROOMS[what].NAMES.values())
    assert all("record" in vars(kind) for kind in kinds)


def test_arguments_are_those_of_the_constructor():
    assert losses.get("huber", delta=0.25).delta == 0.25
    made = optimizers.get("adam", learning_rate=nnx.Cosine(0.1, 5), groups={"*.b": {"l2": 0.5}})
    assert made.learning_rate.steps == 5
    assert made.groups == {"*.b": {"l2": 0.5}}
    assert optimizers.get({"name": "sgd", "learning_rate": 0.3}, momentum=0.5).config()["momentum"] == 0.5


def test_fit_and_evaluate_take_names():
    x, y = np.random.default_rng(0).normal(size=(2, 12, 3))

    def trained(loss: Any, optimizer: Any) -> tuple[bytes, float]:
        network = nnx.Network([nnx.Dense(3, 3)], seed=0)
        network.fit(x, y, loss=loss, optimizer=optimizer, batch_size=4)
        return network.predict(x).tobytes(), network.evaluate(x, y, loss=loss)["loss"]

    named = trained({"name": "huber", "delta": 0.5}, {"name": "sgd", "momentum": 0.5})
    assert named == trained(nnx.Huber(0.5), nnx.SGD(momentum=0.5))
    assert trained("mse", "adam") == trained(nnx.MeanSquaredError(), nnx.Adam())


def test_layers_by_name():
    network = nnx.Network([layers.get("dense", inputs=3, units=4), layers.get("relu")], seed=0)
    assert network.predict(np.ones((1, 3))).shape == (1, 4)
    for name in ("leaky_relu", "batch_norm", "layer_norm", "rescale", "flatten", "swish"):
        made = layers.get(name)
        assert type(layers.get({"name": name, **made.config()})) is type(made) is layers.NAMES[name]
    with pytest.raises(ConfigurationError, match="'layernorm': did you mean 'layer_norm'"):
        layers.get("layernorm")


def test_every_public_layer_has_a_record():
    kinds = {kind for kind in vars(nnx).values() if isinstance(kind, type) and issubclass(kind, nnx.Layer)}
    assert set(layers.KINDS) == kinds - {nnx.Layer}
    for kind in layers.KINDS:
        for theirs in (kind.record.keras, kind.record.onnx):
            assert theirs.name if isinstance(theirs, Counterpart) else theirs


def test_the_learning_rate_of_an_optimizer_is_read_and_set():
    optimizer = nnx.Adam(0.25)
    assert optimizer.learning_rate == 0.25
    optimizer.learning_rate = nnx.Cosine(0.1, 5)
    assert optimizer.rate(5) == 0.0
    optimizer.learning_rate = 0.5
    assert (optimizer.rate(9), optimizer.learning_rate) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: losses.get("hubber"), "unknown loss 'hubber': did you mean 'huber'"),
        (lambda: losses.get(None), "unknown loss None: choose from categorical"),
        (lambda: losses.get("mae", delta=1), "loss 'mae' has no argument 'delta'"),
        (lambda: losses.get("huber", delta=-1), r"Huber: delta must lie in \(0, inf\)"),
        (lambda: losses.get({"delta": 1}), "unknown loss None"),
        (lambda: losses.get({"name": "huber", "delta": 1}, delta=2), "loss 'huber': delta is given twice"),
        (lambda: losses.get(nnx.Huber(), delta=2), r"Huber\(delta=1.0\) is a finished loss, so delta"),
        (lambda: optimizers.get("adan"), "unknown optimizer 'adan': did you mean 'adam'"),
        (lambda: optimizers.get("adam", lr=1), "optimizer 'adam' has no argument 'lr': choose from"),
        (lambda: optimizers.get("sgd", momentm=1), "no argument 'momentm': did you mean 'momentum'"),
        (lambda: optimizers.get("adam", learning_rate=-1), r"Adam: the learning rate must lie in"),
        (lambda: schedules.get("cosin"), "unknown schedule 'cosin': did you mean 'cosine'"),
        (lambda: schedules.get("cosine", steps=3), "missing 1 required positional argument: 'learning_rate'"),
        (lambda: schedules.get(None), "must be a number or a schedule, not None"),
    ],
)  # fmt: skip
def test_what_has_no_such_name_or_argument_is_refused(make: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        make()


def test_two_classes_with_one_name_are_a_fault_of_the_code():
    with pytest.raises(ValueError, match="SGD and SGD are both called 'sgd'"):
        by_name([nnx.SGD, nnx.SGD])
