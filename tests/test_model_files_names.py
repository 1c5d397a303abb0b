"""Names that a user chooses: no name replaces something else with the same name."""

from __future__ import annotations

import numpy as np
import pytest

import nnx

pytestmark = pytest.mark.usefixtures("device")

RNG = np.random.default_rng(0)
X = RNG.random((32, 6)).astype(np.float32)
Y = X[:, :2].copy()


def network(*between, **options):
    return nnx.Network([nnx.Dense(6, 4), *between, nnx.Dense(2)], **({"seed": 0} | options))


def fit(made, **options):
    given = {"loss": nnx.MeanSquaredError(), "optimizer": nnx.Adam(), "batch_size": 8}
    return made.fit(X, Y, **(given | options))


class Keeps(nnx.Callback):
    """A callback with a state of these values."""

    def __init__(self, **kept):
        self.kept = kept

    def state(self):
        return self.kept

    def restore(self, state):
        self.kept = state


def test_about_is_kept_next_to_what_fit_records_by_the_same_name(tmp_path):
    fit(network(), checkpoint=nnx.Checkpoint(tmp_path / "run", about={"loss": "mine"}))
    fit(network(), checkpoint=nnx.Checkpoint(tmp_path / "run", about={"loss": "mine"}, resume=True))
    with pytest.raises(nnx.ConfigurationError, match="with loss mine, and this one is with loss yours"):
        fit(network(), checkpoint=nnx.Checkpoint(tmp_path / "run", about={"loss": "yours"}, resume=True))
    mine = nnx.Checkpoint(tmp_path / "run", about={"loss": "mine"}, resume=True)
    with pytest.raises(nnx.ConfigurationError, match="with loss "):
        fit(network(), loss=nnx.Huber(), checkpoint=mine)


class slot(Keeps):  # noqa: N801
    """A callback's class that is called as the optimizer's arrays are."""


def test_a_callback_called_as_the_optimizers_arrays_keeps_them_apart(tmp_path):
    options = {"optimizer": nnx.Adam(0.01), "epochs": 2}
    straight = network()
    fit(straight, **options)
    stopped = network()
    fit(
        stopped,
        **(options | {"epochs": 1}),
        callbacks=[slot(m=np.ones(3))],
        checkpoint=nnx.Checkpoint(tmp_path / "run"),
    )
    resumed, kept = network(), slot()
    fit(resumed, **options, callbacks=[kept], checkpoint=nnx.Checkpoint(tmp_path / "run", resume=True))
    np.testing.assert_array_equal(kept.kept["m"], np.ones(3))
    np.testing.assert_equal(resumed.weights(), straight.weights())


def shaped(shapes, states=None):
    """A layer whose parameters and states have these names."""

    class Odd(nnx.Layer):
        def parameter_shapes(self):
            return shapes

        def state_shapes(self):
            return states or {}

        def forward_into(self, x, y, cache):
            y[...] = x

    return Odd()


@pytest.mark.parametrize(
    ("shapes", "states", "name"),
    [
        ({"a": (2,), "da": (2,)}, {}, "da"), ({"a": (2,)}, {"a": (2,)}, "a"),
        ({"a": (2,)}, {"da": (2,)}, "da"),
        ({"forward": (2,)}, {}, "forward"), ({"inputs": (2,)}, {}, "inputs"), ({}, {"name": (1,)}, "name"),
    ],
)  # fmt: skip
def test_a_parameter_may_not_replace_what_its_layer_has(shapes, states, name):
    with pytest.raises(nnx.ConfigurationError, match=f"Odd: .*'{name}'"):
        shaped(shapes, states).build(2)


def test_two_layers_of_one_name_are_not_written_as_one():
    made = network()
    made.layers[1].name = made.layers[0].name
    with pytest.raises(nnx.ConfigurationError, match="two parameters are called 'dense_1"):
        made.weights()


def test_an_optimizer_with_two_slots_of_one_name_is_refused():
    class Twice(nnx.SGD):
        slots = (("m", 0.0), ("m", 0.0))

        def __init__(self):
            super().__init__(0.1)
            self.slots = Twice.slots

    with pytest.raises(nnx.ConfigurationError, match=r"same name.* m, m"):
        fit(network(), optimizer=Twice())


def times(module, factor):
    """A class of a user's module, as its import makes it."""

    def forward_into(self, x, y, cache):
        y[...] = factor * x

    return type("Times", (nnx.Layer,), {"__module__": module, "forward_into": forward_into})


@pytest.fixture
def imported(monkeypatch):
    """A later process, which knows only the modules that it imports."""
    known = dict(nnx.Layer.registry)

    def of(*modules):
        monkeypatch.setattr(nnx.Layer, "registry", dict(known))
        return [times(*module) for module in modules]

    return of


A, B = ("mine_a", 2.0), ("mine_b", 3.0)


def saved(path, kind):
    nnx.Network([kind()], seed=0).build(6).save(path)
    return path


def factor(network):
    return float(network.predict(np.ones((1, 6)))[0, 0])


def test_two_layers_of_one_name_from_two_modules_are_told_apart(tmp_path, imported):
    """Each is copied and loaded as itself, whichever was imported first."""
    for order in ((A, B), (B, A)):
        for kind, (module, by) in zip(imported(*order), order, strict=True):
            assert factor(nnx.Network([kind()], seed=0).build(6).copy()) == by
            assert factor(nnx.load(saved(tmp_path / f"{module}.safetensors", kind))) == by
        imported(*reversed(order))
        assert factor(nnx.load(tmp_path / "mine_a.safetensors")) == 2.0
        imported(B)
        assert factor(nnx.load(tmp_path / "mine_b.safetensors")) == 3.0
        with pytest.raises(nnx.FileFormatError, match=r"unknown layer 'mine_a\.Times'"):
            nnx.load(tmp_path / "mine_a.safetensors")


@pytest.mark.parametrize("order", [(A, B), (B, A)])
def test_a_name_that_two_classes_have_is_not_guessed(tmp_path, imported, order):
    """A file has the name alone where no other class had it then, as all files of version 0.1 do."""
    path = saved(tmp_path / "m.safetensors", *imported(B))
    assert b'"kind": "Times"' in path.read_bytes().replace(b"\\", b"")
    imported(*order)
    with pytest.raises(nnx.FileFormatError, match=r"m\.safetensors: layer 'Times'.*mine_") as error:
        nnx.load(path)
    assert "mine_a.Times" in str(error.value)
    assert "mine_b.Times" in str(error.value)
    imported(B)
    assert factor(nnx.load(path)) == 3.0
