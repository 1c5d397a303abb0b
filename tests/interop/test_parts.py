"""Networks are built from layers, branches and values, and none is larger than what holds it."""

from __future__ import annotations

import numpy as np
import pytest

import nnx
from nnx.interop.parts import Part, assemble, concatenated, leaves, summed


def relu() -> list[Part]:
    return [Part(nnx.ReLU(), {})]


def tanh() -> list[Part]:
    return [Part(nnx.Tanh(), {})]


BRANCHES = {
    "the input twice": ([], []),
    "an activation and the input": (relu, []),
    "the input first": ([], tanh),
    "three": (relu, [], tanh),
}


@pytest.mark.parametrize("what", BRANCHES)
def test_branches_are_summed_and_concatenated_in_any_order_and_number(rng, what):
    x = rng.normal(size=(5, 3))
    known = {relu: np.maximum(x, 0.0), tanh: np.tanh(x)}
    expected = [known[way] if callable(way) else x for way in BRANCHES[what]]
    for join, y in ((summed, sum(expected)), (concatenated, np.concatenate(expected, axis=1))):
        branches = [way() if callable(way) else [] for way in BRANCHES[what]]
        network = assemble([join(branches)], (3,), "float64", "cpu")
        np.testing.assert_allclose(network.predict(x), y, rtol=1e-12, atol=1e-15)


def test_a_single_number_is_the_value_of_every_feature():
    part = Part(nnx.LayerNorm(), {"gamma": np.array([2.0]), "beta": np.array([1.0, 2.0, 3.0])})
    network = assemble([part], (3,), "float64", "cpu")
    assert network[0].gamma.tolist() == [2.0, 2.0, 2.0]
    assert network[0].beta.tolist() == [1.0, 2.0, 3.0]


def test_a_network_larger_than_its_limit_is_refused_before_it_is_built():
    parts = [concatenated([[Part(nnx.Dense(10), {})], [Part(nnx.Dense(10), {})]])]
    assert [type(part.layer) for part in leaves(parts)] == [nnx.Dense, nnx.Dense]
    with pytest.raises(nnx.ConfigurationError, match="its layers need 220 numbers"):
        assemble(parts, (10,), "float32", "cpu", most=219)
    parts = [concatenated([[Part(nnx.Dense(10), {})], [Part(nnx.Dense(10), {})]])]
    assert assemble(parts, (10,), "float32", "cpu", most=220).outputs == 20
