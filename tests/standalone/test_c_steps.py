"""Statements of C: which types they use, and where values lie."""

from __future__ import annotations

import numpy as np
import pytest

import nnx
from nnx.standalone.c_steps import Statements
from nnx.standalone.lowering import lower
from nnx.standalone.program import Meaning


class Scaling:
    def __init__(self, shift, scale):
        self.shift, self.scale = np.array(shift), np.array(scale)


@pytest.mark.parametrize(
    ("shift", "given", "returned"), [([0.0], "float", "float"), ([3.0], "double", "double")]
)
def test_a_scaling_that_subtracts_needs_double(shift, given, returned):
    scaling = Scaling(shift, [255.0])
    network = nnx.Network([nnx.Dense(2)], seed=0).build(3)
    made = Statements(lower(network, Meaning(scaling, scaling)), "float")
    assert (made.given, made.returned) == (given, returned)
    assert ("double" in "\n".join(made.lines)) == (given == "double")


def test_integers_are_read_as_they_are():
    made = Statements(lower(nnx.Network([nnx.Embedding(5, 2)], seed=0).build(3)), "float")
    assert made.given == "int32_t"
    assert "out_of_range(x, 3, 5)" in made.lines[0]


def test_a_network_that_computes_nothing_copies_its_row():
    made = Statements(lower(nnx.Network([nnx.Flatten()]).build((2, 2))), "float")
    assert made.lines[-1].strip() == "y[i] = x[i];"


def test_activations_work_in_the_memory_of_the_answer():
    made = Statements(lower(nnx.Network([nnx.Dense(2), nnx.Tanh()], seed=0).build(3)), "float")
    assert made.memory.size == 0
    assert made.lines[-1].strip() == "y[i] = R(tanh)(y[i]);"
