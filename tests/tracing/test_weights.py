"""One weight: its gradient is the sum of its summands, and mistakes in its name are one line."""

from __future__ import annotations

import numpy as np
import pytest

import nnx

RNG = np.random.default_rng(1)
X, Y = RNG.normal(size=(5, 3)), RNG.normal(size=(5, 2))


def traced(layers, x=X, y=Y, **options):
    network = nnx.Network(layers, device="numpy", dtype="float64", seed=2, **options)
    return network.trace(x, y, "mse", nnx.SGD(0.1))


@pytest.mark.parametrize("name", ["dense_1.W[2, 1]", "dense_1.b[3]", "dense_2.W[0,0]", "dense_2.b[1]"])
def test_a_gradient_is_the_sum_of_its_summands(name):
    weight = traced([nnx.Dense(3, 4), nnx.ReLU(), nnx.Dense(2)]).weight(name)
    assert str(weight).replace(" ", "") == name.replace(" ", "")
    assert [one.row for one in weight.summands] == [0, 1, 2, 3, 4]
    assert sum(one.product for one in weight.summands) == pytest.approx(weight.gradient, rel=1e-12)
    assert weight.rest == 0.0
    assert weight.after == pytest.approx(weight.before - 0.1 * weight.gradient, rel=1e-12)


def test_rows_with_positions_have_a_summand_for_each():
    x = RNG.normal(size=(2, 4, 3))
    trace = traced([nnx.Dense(4), nnx.Tanh(), nnx.Flatten(), nnx.Dense(2)], x, Y[:2])
    weight = trace.weight("dense_1.W[1, 2]")
    assert [(one.row, one.position) for one in weight.summands][3:5] == [(0, 3), (1, 0)]
    assert sum(one.product for one in weight.summands) == pytest.approx(weight.gradient, rel=1e-12)


def test_what_another_layer_adds_is_the_rest():
    first = nnx.Dense(4)
    trace = traced([first, nnx.Tanh(), nnx.TiedDense(first), nnx.Dense(2)])
    weight = trace.weight("dense_1.W[0, 1]")
    tied = trace["tieddense_1"]
    assert weight.rest == pytest.approx((tied.x[:, 1] * tied.dy[:, 0]).sum(), rel=1e-9)
    assert "other layers that use this weight" in trace.text("dense_1.W[0, 1]")


def test_without_a_name_the_largest_gradient_of_the_first_dense_layer_is_taken():
    trace = traced([nnx.LayerNorm(), nnx.Dense(4), nnx.ReLU(), nnx.Dense(2)])
    weight = trace.weight()
    assert weight.name == "dense_1.W"
    assert abs(weight.gradient) == np.abs(trace.parameters["dense_1.W"].gradient).max()


def test_a_weight_of_another_layer_has_no_summands():
    trace = traced([nnx.Reshape((3, 1)), nnx.Conv1D(2, 2), nnx.Flatten(), nnx.Dense(2)])
    weight = trace.weight("conv1d_1.W[0, 0, 1]")
    assert weight.summands == ()
    assert "from the layer's backward pass" in trace.text("conv1d_1.W[0, 0, 1]")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("dense_1", "write a parameter and an index, such as"),
        ("dense_1.W[0]", r"has the shape \(3, 4\), so the index is \[0 to 2, 0 to 3\]"),
        ("dense_1.W[0, 4]", r"the index is \[0 to 2, 0 to 3\]"),
        ("dense_3.W[0, 0]", "no parameter 'dense_3.W': did you mean"),
    ],
)
def test_a_wrong_name_is_one_line(name, text):
    with pytest.raises(nnx.ConfigurationError, match=text):
        traced([nnx.Dense(3, 4), nnx.ReLU(), nnx.Dense(2)]).weight(name)


def test_a_network_without_parameters_has_no_weight():
    trace = traced([nnx.ReLU()], X, X)
    with pytest.raises(nnx.ConfigurationError, match="no weight to explain"):
        trace.weight()
    assert "no parameters" in trace.text()
