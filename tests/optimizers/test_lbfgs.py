"""The settings of L-BFGS; its steps are tested with training."""

from __future__ import annotations

import pytest
from support.small_networks import regressor

import nnx

pytestmark = pytest.mark.usefixtures("on_cpu")


def test_a_step_outside_of_fit_is_refused():
    with pytest.raises(nnx.ConfigurationError, match=r"train with network\.fit"):
        nnx.LBFGS().step(regressor())


def test_it_is_made_by_its_name_and_described():
    made = nnx.optimizers.get("lbfgs", history=4, l2=0.1)
    assert repr(made) == "LBFGS(history=4, l2=0.1, tolerance=1e-05)"
    assert repr(nnx.optimizers.get({"name": "lbfgs", **made.config()})) == repr(made)
    assert len(made.slots) == 8


@pytest.mark.parametrize("wrong", [{"history": 0}, {"l2": -1}, {"tolerance": -1}, {"learning_rate": 0.1}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(nnx.ConfigurationError):
        nnx.optimizers.get("lbfgs", **wrong)
