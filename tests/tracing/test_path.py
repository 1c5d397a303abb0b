"""A path: the product of its factors is a part of the gradient, and all paths together are all of it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import nnx

RNG = np.random.default_rng(1)
X, Y = RNG.normal(size=(3, 2)), np.eye(2)[[0, 1, 1]]


def traced(layers, loss, x=X, y=Y, **options):
    network = nnx.Network(layers, device="numpy", dtype="float64", seed=2, **options)
    return network.trace(x, y, loss, "sgd")


@pytest.mark.parametrize(
    ("last", "loss", "fuse"),
    [
        ([], "mse", True),
        ([nnx.Sigmoid], "binary_cross_entropy", True),
        ([nnx.Softmax], "cross_entropy", True),
        ([nnx.Softmax], "cross_entropy", False),
        ([nnx.Softmax], "mse", True),
        ([nnx.GELU], "mse", False),
    ],
)
def test_all_paths_of_all_rows_add_up_to_the_gradient(last, loss, fuse):
    layers = [
        nnx.Dense(2, 3),
        nnx.Tanh(),
        nnx.Dense(3),
        nnx.LeakyReLU(),
        nnx.Dense(2),
        *(one() for one in last),
    ]
    trace = traced(layers, loss, fuse=fuse)
    softmax = trace.layers[-1].kind == "Softmax" and trace.layers[-1].fused != "the loss"
    ends = [(f"softmax_1[{k}]",) for k in range(2)] if softmax else [()]
    total = 0.0
    for row, a, b, end in itertools.product(range(3), range(3), range(2), ends):
        path = trace.path("dense_1.W[1, 0]", row, (f"dense_2[{a}]", f"dense_3[{b}]", *end))
        assert path.row == row
        total += path.product
    assert total == pytest.approx(trace.weight("dense_1.W[1, 0]").gradient, rel=1e-10)


def test_without_a_choice_it_takes_the_largest_part():
    trace = traced([nnx.Dense(2, 3), nnx.Tanh(), nnx.Dense(4), nnx.ReLU(), nnx.Dense(2)], "mse")
    path = trace.path("dense_1.W[1, 0]")
    largest = max(trace.weight("dense_1.W[1, 0]").summands, key=lambda one: abs(one.product))
    assert path.row == largest.row
    dense = trace["dense_2"]
    parts = np.abs(dense.dy[path.row] * trace.parameters["dense_2.W"].before[0])
    assert path.units()["dense_2"] == (0, int(np.argmax(parts)))
    assert [step.layer for step in path.steps] == [
        "loss",
        "dense_3",
        "relu_1",
        "dense_2",
        "tanh_1",
        "dense_1",
    ]
    slopes = {step.layer: step.gradient for step in path.steps}
    assert slopes["tanh_1"] == dense_dy(trace, "dense_1", path.row, 0)


def dense_dy(trace, name, row, unit):
    return trace[name].dy[row, unit]


def test_a_layer_whose_slope_is_no_single_number_is_passed():
    layers = [nnx.Dense(2, 3), nnx.LayerNorm(), nnx.Residual([nnx.Dense(3), nnx.Tanh()]), nnx.Dense(2)]
    trace = traced(layers, "mse")
    path = trace.path("dense_1.W[1, 0]")
    assert path.product is None
    assert [step.layer for step in path.steps] == ["loss", "dense_2", "residual_1", "layernorm_1", "dense_1"]
    inner = trace.path("residual_1.dense_1.W[0, 1]")
    assert [step.layer for step in inner.steps][-2:] == ["residual_1.tanh_1", "residual_1.dense_1"]
    assert inner.product is not None


def test_views_dropout_and_tied_weights_are_followed():
    first = nnx.Dense(4)
    layers = [
        first,
        nnx.Sigmoid(),
        nnx.Dropout(0.5),
        nnx.Reshape((2, 2)),
        nnx.Flatten(),
        nnx.TiedDense(first),
    ]
    trace = traced([*layers, nnx.Dense(2)], "mse")
    total = sum(
        trace.path("dense_1.b[2]", row, (f"tieddense_1[{a}]", f"dense_2[{b}]")).product or 0.0
        for row, a, b in itertools.product(range(3), range(2), range(2))
    )
    assert total == pytest.approx(trace.weight("dense_1.b[2]").gradient, rel=1e-10)


@pytest.mark.parametrize(
    ("row", "through", "text"),
    [
        (3, (), "rows 0 to 2"),
        (0, ("dense_2[2]",), r"units dense_2\[0\] to \[1\]"),
        (0, ("dens_2[0]",), "did you mean 'dense_2'"),
        (0, ("dense_1[1]",), r"the path ends at dense_1.W\[0, 0\], which belongs to dense_1\[0\]"),
        (0, ("tanh_1[1]",), "does not depend on"),
    ],
)
def test_a_path_that_cannot_be_is_one_line(row, through, text):
    with pytest.raises(nnx.ConfigurationError, match=text):
        traced([nnx.Dense(2, 3), nnx.Tanh(), nnx.Dense(2)], "mse").path("dense_1.W[0, 0]", row, through)


def test_a_layer_with_one_unit_names_it():
    with pytest.raises(nnx.ConfigurationError, match=r"'tanh_1\[5\]': name tanh_1\[0\], its only unit"):
        traced([nnx.Dense(2, 1), nnx.Tanh(), nnx.Dense(2)], "mse").path("dense_1.W[0, 0]", 0, ("tanh_1[5]",))
