"""The key of random numbers depends on the seed, the step, the layer and the pass, and on nothing else."""

from __future__ import annotations

import itertools

from nnx.layers.randomness import Draws


def test_keys_differ_and_can_be_computed_again():
    found = {}
    for seed, step, index, draw in itertools.product(range(4), range(4), range(4), range(3)):
        layer = Draws()
        layer.index = index
        found[seed, step, index, draw] = layer.key(seed, step, draw)
    assert len(set(found.values())) == len(found)
    layer = Draws()
    layer.index = 2
    assert layer.key(1, 3) == found[1, 3, 2, 0]
    assert all(0 <= key < 2**64 for key in found.values())
