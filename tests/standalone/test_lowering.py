"""The steps of a network compute what `predict` does; what cannot be lowered is refused by name."""

from __future__ import annotations

import numpy as np
import pytest
from support.step_programs import built, compute, every_layer

import nnx
from nnx.layers import KINDS
from nnx.layers.base import walk
from nnx.standalone.lowering import lower
from nnx.standalone.program import Meaning

NETWORKS = sorted(every_layer())


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_steps_compute_what_predict_does(name, precision):
    network, x = built(name, precision)
    expected = network.predict(x)
    found = compute(lower(network), x.astype(network.dtype) if x.dtype.kind == "f" else x)
    tolerance = 2e-5 if precision == "float32" else 1e-12
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())


def test_these_networks_have_every_layer():
    used = {type(layer) for layers, _ in every_layer().values() for layer in walk(layers)}
    shorthand = {nnx.Flatten, nnx.Reshape, nnx.Sequential}
    assert set(KINDS) - used - shorthand <= {nnx.Identity}


def test_tied_weights_are_stored_once():
    network, _ = built("autoencoder")
    program = lower(network)
    assert sum(table.size for table in program.tables.values()) == network.parameter_count()


def test_a_slice_has_the_tied_weights_of_a_layer_before_it():
    network, x = built("autoencoder")
    place = next(place for place, layer in enumerate(network.layers) if isinstance(layer, nnx.TiedDense))
    code, decoder = network[:place].predict(x), network[place:]
    np.testing.assert_allclose(compute(lower(decoder), code), network.predict(x), rtol=1e-5, atol=1e-6)


def test_a_layer_that_computes_nothing_has_no_step():
    network = nnx.Network([nnx.Dropout(0.5), nnx.Flatten(), nnx.Identity()], seed=0).build((2, 3))
    program = lower(network)
    assert (program.steps, program.result, program.outputs) == ((), 0, 6)


class Scaling:
    def __init__(self, shift, scale):
        self.shift, self.scale = np.array(shift), np.array(scale)


def test_scaling_is_computed_in_float64():
    """A column near 1e9 whose digits float32 would lose."""
    network = nnx.Network([nnx.Dense(2)], seed=0).build(2)
    meaning = Meaning(inputs=Scaling([1e9, 0.0], [1.0, 2.0]), outputs=Scaling([1e9], [3.0]))
    x = np.array([[1e9 + 0.25, 4.0]])
    expected = network.predict(np.array([[0.25, 2.0]])).astype(float) * 3.0 + 1e9
    np.testing.assert_allclose(compute(lower(network, meaning), x), expected, rtol=1e-15)


def test_several_numbers_of_a_target_are_scaled_as_predict_does():
    network = nnx.Network([nnx.Dense(6), nnx.Reshape((3, 2))], seed=0).build(2)
    shift, scale = np.array([1.0, 2.0, 3.0]), np.array([0.5, 4.0, 2.0])
    y = network.predict([[0.3, -0.7]]).astype(float)
    several = Meaning(outputs=Scaling(shift, scale), several=("0.1", "0.9"))
    expected = y * scale[:, None] + shift[:, None]
    np.testing.assert_allclose(compute(lower(network, several), [[0.3, -0.7]]), expected, rtol=1e-6)
    spread = Meaning(outputs=Scaling(shift, scale), several=("mean", "spread"), spread=True)
    deviations = nnx.GaussianNLL().spread(np, y) * scale
    found = compute(lower(network, spread), [[0.3, -0.7]])
    np.testing.assert_allclose(found[:, :, 0], expected[:, :, 0], rtol=1e-6)
    np.testing.assert_allclose(found[:, :, 1], deviations, rtol=1e-6)


def test_a_layer_of_the_users_is_refused_by_name():
    class Own(nnx.Dense):
        pass

    network = nnx.Network([nnx.Residual([Own(3)])], seed=0).build(3)
    with pytest.raises(
        nnx.ConfigurationError, match=r"layer 1, residual_1\.own_1\(3, 3\): .* Own is your own"
    ):
        lower(network)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused_by_name(value):
    network = nnx.Network([nnx.Dense(3), nnx.Dense(3)], seed=0).build(3)
    network.layers[1].b[1] = value
    with pytest.raises(
        nnx.ConfigurationError, match=r"dense_2\(3, 3\): b has numbers that are NaN or infinite"
    ):
        lower(network)


def test_a_network_that_is_not_built_is_refused():
    with pytest.raises(nnx.ConfigurationError, match=r"call build\(inputs\) first"):
        lower(nnx.Network([nnx.Dense(3)]))
