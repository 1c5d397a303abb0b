"""What a trace gives by name, and how it shows itself."""

from __future__ import annotations

import numpy as np
import pytest

import nnx

XOR = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float), np.array([[0], [1], [1], [0]], float)


@pytest.fixture(scope="module")
def trace():
    network = nnx.Network([nnx.Dense(2, 3), nnx.Tanh(), nnx.Dense(1), nnx.Sigmoid()], device="numpy", seed=0)
    return network.trace(*XOR, "binary_cross_entropy", "sgd")


def test_layers_and_parameters_are_found_by_name(trace):
    assert trace["tanh_1"].kind == "Tanh"
    assert trace.parameter("dense_2.b").before.shape == (1,)
    with pytest.raises(KeyError, match="did you mean 'dense_1'"):
        trace["dens_1"]
    with pytest.raises(nnx.ConfigurationError, match=r"no parameter 'dens_1\.W'.*did you mean 'dense_1\.W'"):
        trace.parameter("dens_1.W")


def test_it_is_short_as_an_object_and_whole_as_text(trace):
    assert repr(trace) == "Trace(4 layers, 4 rows, loss 0.713678, step 1 of SGD)"
    assert str(trace) == trace.text()
    for title in ("1  Forward", "2  Loss", "3  Backward", "4  The weight", "5  Update by SGD"):
        assert title in str(trace)
