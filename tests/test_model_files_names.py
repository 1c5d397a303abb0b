"""Names that a user chooses: no name replaces something else with the same name."""

from __future__ import annotations

import numpy as np
import pytest
from support.six_features import fit, network

import nnx

pytestmark = pytest.mark.usefixtures("device")


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
