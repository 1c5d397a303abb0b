"""What is kept by a name that a user chose: nothing replaces something else of that name."""

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
    fit(network(), callbacks=[nnx.Checkpoint(tmp_path / "run", about={"loss": "mine"})])
    fit(network(), callbacks=[nnx.Checkpoint(tmp_path / "run", about={"loss": "mine"}, resume=True)])
    with pytest.raises(nnx.ConfigurationError, match="with loss mine, and this one is with loss yours"):
        fit(network(), callbacks=[nnx.Checkpoint(tmp_path / "run", about={"loss": "yours"}, resume=True)])
    with pytest.raises(nnx.ConfigurationError, match="with loss "):
        fit(network(), loss=nnx.Huber(), callbacks=[
            nnx.Checkpoint(tmp_path / "run", about={"loss": "mine"}, resume=True),
        ])  # fmt: skip


class slot(Keeps):  # noqa: N801
    """A callback's class that is called as the optimizer's arrays are."""


def test_a_callback_called_as_the_optimizers_arrays_keeps_them_apart(tmp_path):
    options = {"optimizer": nnx.Adam(0.01), "epochs": 2}
    straight = network()
    fit(straight, **options)
    stopped = network()
    fit(
        stopped, **(options | {"epochs": 1}), callbacks=[slot(m=np.ones(3)), nnx.Checkpoint(tmp_path / "run")]
    )
    resumed, kept = network(), slot()
    fit(resumed, **options, callbacks=[kept, nnx.Checkpoint(tmp_path / "run", resume=True)])
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
    with pytest.raises(nnx.ConfigurationError, match=f"Odd: the parameter or state '{name}' replaces"):
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

    with pytest.raises(nnx.ConfigurationError, match="two slots of one name: m, m"):
        fit(network(), optimizer=Twice())


def test_two_layers_of_one_name_from_two_modules_are_told_apart(tmp_path):
    """Each is copied and loaded as itself, whichever was there first."""

    def of(module, factor):
        def forward_into(self, x, y, cache):
            y[...] = factor * x

        return type("Times", (nnx.Layer,), {"__module__": module, "forward_into": forward_into})

    first, second = of("mine_a", 2.0), of("mine_b", 3.0)
    try:
        for kind, factor in ((first, 2.0), (second, 3.0)):
            made = nnx.Network([kind()], seed=0).build(6)
            made.save(tmp_path / "m.safetensors")
            for other in (made, made.copy(), nnx.load(tmp_path / "m.safetensors")):
                np.testing.assert_allclose(other.predict(X), factor * X, rtol=1e-6)
        del nnx.Layer.registry["Times"], nnx.Layer.registry["mine_b.Times"]
        alone = of("mine_b", 3.0)  # a later process, where only one of them is imported
        np.testing.assert_allclose(nnx.load(tmp_path / "m.safetensors").predict(X), 3.0 * X, rtol=1e-6)
        assert alone.registered == "Times"
    finally:
        for name in ("Times", "mine_b.Times"):
            nnx.Layer.registry.pop(name, None)
