"""The steps of a program as calls: which variables they use, and in which form tables are stored."""

from __future__ import annotations

import numpy as np
from support.step_programs import built

import nnx
from nnx.standalone.calls import calls_of, one_line, variables
from nnx.standalone.lowering import lower


def test_a_chain_uses_one_variable_and_a_value_that_is_read_later_has_its_own():
    network = nnx.Network([nnx.Dense(2), nnx.Residual([nnx.Dense(2), nnx.Tanh()]), nnx.Dense(1)], seed=0)
    program = lower(network.build(2))
    assert [step.kind for step in program.steps] == ["dense", "dense", "activation", "add", "dense"]
    assert variables(program) == {0: "x", 1: "x1", 2: "x", 3: "x", 4: "x", 5: "x"}


def test_a_network_that_computes_nothing_returns_its_input():
    assert variables(lower(nnx.Network([nnx.Identity()]).build(3))) == {0: "x"}


def test_weights_have_a_row_for_each_unit_and_each_filter():
    network = nnx.Network([nnx.Conv2D(4, (2, 3)), nnx.Flatten(), nnx.Dense(5)], seed=0).build((3, 4, 2))
    tables = calls_of(lower(network), []).tables
    W = network.layers[0].W
    np.testing.assert_array_equal(tables["conv2d_1_W"], W.reshape(12, 4).T)
    np.testing.assert_array_equal(tables["dense_1_W"], network.layers[2].W.T)


def test_equal_windows_share_their_places():
    network, _ = built("images")
    calls = calls_of(lower(network), [])
    assert len(set(calls.places.values())) == len(calls.places)


def test_a_variable_has_no_name_of_a_function():
    network = nnx.Network([nnx.Dense(2, 1)], seed=0)
    assert set(calls_of(lower(network), ["dense_1_W"]).tables) == {"dense_1_W_2", "dense_1_b"}


def test_a_comment_stays_in_its_line():
    assert one_line("a\nb */ </script> größe \u2028") == "a\\nb *\\x2f \\x3c/script> gr\\xf6\\xdfe \\u2028"
    assert len(one_line("x" * 500)) == 70
