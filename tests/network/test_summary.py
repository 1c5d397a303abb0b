"""The table of a network's layers."""

from __future__ import annotations

import pytest
from support.small_networks import small

import nnx

pytestmark = pytest.mark.usefixtures("device")


def test_summary_tells_widths_counts_and_what_is_frozen(device):
    network = small()
    network[2].trainable = False
    lines = network.summary().splitlines()
    cells = {line.split()[0]: line.split()[1:] for line in lines}
    assert cells["dense_1"] == ["5", "20"]
    assert cells["dense_2"] == ["4", "24", "frozen"]
    assert f"{20 + 24 + 10} parameters, float32, {device}" in lines[-1]
    assert network.parameter_count() == 54


def test_a_network_that_is_not_built_and_the_layers_in_a_container():
    network = nnx.Network([nnx.Sequential([nnx.Dense(3), nnx.Tanh()]), nnx.Dense(1)], device="numpy")
    lines = network.summary().splitlines()
    assert lines[-1] == "not built, float32, cpu (numpy)"
    assert [line.split()[1] for line in lines[1:-1]] == ["?"] * 4
    network.build(2)
    lines = network.summary().splitlines()
    inner, tanh = lines[2:4]
    assert inner.split() == ["dense_1", "3", "9"]
    assert inner.startswith("  dense_1")
    assert tanh.split() == ["tanh_1", "3", "0"]
