"""Settings from NumPy, PyTorch or a file are converted if that is exact, and refused otherwise."""

from __future__ import annotations

import decimal
import fractions
import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

import nnx
from nnx.errors import flag, number, plain, whole

pytestmark = pytest.mark.usefixtures("device")

RNG = np.random.default_rng(0)
X = RNG.random((32, 6)).astype(np.float32)
Y = X[:, :2].copy()


def network(*between, **options):
    return nnx.Network([nnx.Dense(6, 4), *between, nnx.Dense(2)], **({"seed": 0} | options))


def fit(made, **options):
    given = {"loss": nnx.MeanSquaredError(), "optimizer": nnx.Adam(), "batch_size": 8}
    return made.fit(X, Y, **(given | options))


class Scalar:
    """What a scalar of PyTorch looks like: `__index__` and `__float__` are there, whatever it holds."""

    ndim = 0

    def __init__(self, value, dtype):
        self.value, self.dtype = value, dtype

    def __repr__(self):  # part of a test's name, which must be the same in every process
        return f"Scalar({self.value!r}, {self.dtype})"

    def __index__(self):
        if not isinstance(self.value, int):
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return self.value

    def __float__(self):
        return float(self.value)

    def __bool__(self):
        return bool(self.value)

    def __eq__(self, other):
        return self.value == other

    __hash__ = None

    def item(self):
        return self.value


WHOLE = [4, np.int64(4), np.uint8(4), np.array(4), Scalar(4, "torch.int64")]
NOT_WHOLE = [
    4.0, 4.7, np.array(4.7), np.array(4.0), Scalar(4.7, "torch.float32"), np.array([4]), True,
    np.array([4, 4]), 4j, 0, -4,
    np.bool_(True), np.array(True), Scalar(True, "torch.bool"), "4", None, fractions.Fraction(4, 1),
]  # fmt: skip
NUMBERS = [
    0.25, np.float32(0.25), np.float64(0.25), np.array(0.25), Scalar(0.25, "torch.float32"),
    fractions.Fraction(1, 4), decimal.Decimal("0.25"),
]  # fmt: skip
NO_NUMBERS = [
    True, np.bool_(False), "0.25", None, 0.25j, np.complex64(0.25), np.array([0.25]), float("nan"), 10**400,
    decimal.Decimal("sNaN"), np.array("0.25"), pytest.param(object(), id="object()"),
]  # fmt: skip


@pytest.mark.parametrize("value", WHOLE, ids=repr)
def test_integers_of_any_library_are_integers(value):
    assert type(whole("x", value)) is int
    assert whole("x", value) == 4


@pytest.mark.parametrize("value", NOT_WHOLE, ids=repr)
def test_what_is_no_positive_integer_is_refused(value):
    with pytest.raises(nnx.ConfigurationError, match="x must be a positive integer, not") as caught:
        whole("x", value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", NUMBERS, ids=repr)
def test_numbers_of_any_library_are_floats(value):
    assert type(number("x", value)) is float
    assert number("x", value, "[0, 1)") == 0.25


@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_what_is_no_number_is_refused(value):
    with pytest.raises(nnx.ConfigurationError, match="x must be a finite number, not"):
        number("x", value)


@pytest.mark.parametrize(
    ("interval", "inside", "outside"),
    [
        ("[0, 1)", (0.0, 0.999), (-1e-9, 1.0)), ("(0, inf)", (1e-300, 1e300), (0.0, float("inf"))),
        ("[0, 1]", (0, 1), (2,)), ("(0, 0.5)", (0.1,), (0.0, 0.5)),
    ],
)  # fmt: skip
def test_a_number_lies_in_its_interval(interval, inside, outside):
    for value in inside:
        assert number("x", value, interval) == value
    for value in outside:
        with pytest.raises(
            nnx.ConfigurationError, match=re.escape(f"x must lie in {interval}, not {value!r}")
        ):
            number("x", value, interval)


@pytest.mark.parametrize(
    "value", [True, np.True_, np.array(True), 1, np.int64(1), Scalar(True, "torch.bool")]
)
def test_flags_of_any_library(value):
    assert flag("x", value) is True


@pytest.mark.parametrize("value", ["False", "", None, 2, 1.0, np.array([True]), []])
def test_what_is_no_flag_is_refused(value):
    with pytest.raises(nnx.ConfigurationError, match="x must be True or False, not"):
        flag("x", value)


def test_plain_values_are_what_json_holds():
    given = {
        "a": np.int64(3), "b": (1, np.float32(0.5)), "c": Path("x/y"), "d": np.array(2), "e": np.bool_(True),
        np.int64(7): None, "f": {"g": [decimal.Decimal("0.1"), Scalar(2, "torch.int64"), np.str_("u")]},
    }  # fmt: skip
    expected = {
        "a": 3, "b": [1, 0.5], "c": "x/y", "d": 2, "e": True, "7": None, "f": {"g": [0.1, 2, "u"]},
    }  # fmt: skip
    assert plain("x", given) == expected
    assert json.loads(json.dumps(plain("x", given))) == expected


def test_what_json_cannot_hold_is_refused_with_its_place():
    itself = []
    itself.append(itself)
    for value, words in (
        ({"a": {"b": np.zeros(2)}}, r"x\['a'\]\['b'\] .* ndarray"),
        ([1, {2, 3}], r"x\[1\] .* set"),
        ({1: "one", "1": "another"}, r"x .*'1'"),
        ({(1, 2): 3}, "a key of x must be text or a number"),
        (b"bytes", "x .* bytes"),
        (itself, "x"),
    ):
        with pytest.raises(nnx.ConfigurationError, match=words):
            plain("x", value)


# --------------------------------------------------------------- where users give them

MADE = {
    "Dense": lambda v, k: nnx.Dense(4, seed=k),
    "Dropout": lambda v, k: nnx.Dropout(v),
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
