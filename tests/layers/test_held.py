"""Layers in the attributes of another layer are found, also in collections and in its classes."""

from __future__ import annotations

import pytest

import nnx
from nnx.layers.held import holds_layers, refuse

DENSE = nnx.Dense(2, 2)


@pytest.mark.parametrize(
    "value",
    [DENSE, [1, DENSE], ({"a": DENSE},), {1: [DENSE]}, nnx.Network([DENSE], device="numpy")],
)
def test_layers_and_networks_are_found(value):
    assert holds_layers(value)


@pytest.mark.parametrize("value", [None, 3, "dense", nnx.Dense, [], {"a": (1.0,)}, [[[[DENSE]]]]])
def test_other_values_are_not(value):
    assert not holds_layers(value)


def test_the_attribute_is_named():
    class Held:
        inner = (DENSE,)

    with pytest.raises(nnx.ConfigurationError, match="Held holds another layer in 'inner'"):
        refuse(Held(), [Held])
    refuse(Held(), [])
