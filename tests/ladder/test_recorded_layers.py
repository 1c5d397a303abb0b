"""The passes of every layer of nnx can be recorded: they launch kernels, and do nothing else."""

from __future__ import annotations

import numpy as np
import pytest

import nnx
from nnx.layers import KINDS
from nnx.layers.base import as_shape
from nnx.layers.plan import Plan

pytestmark = pytest.mark.standin
cupy = pytest.importorskip("cupy", reason="needs CuPy's wheel: nox -s ladder")

ROWS = 5
CASES = [
    pytest.param(kind, case, id=f"{kind.__name__} {case.note}".strip())
    for kind in KINDS
    for case in kind.record.cases
]


def planned(kind, case):
    """A plan of the layer, with a batch for it."""
    options, backend = dict(case.options), nnx.resolve("gpu")
    layer = case.made(kind)
    if "x" in options:
        x = np.array(options["x"], ndmin=2, dtype="int64" if layer.input_dtype == "integer" else "float32")
    else:
        shape = as_shape(options.get("inputs") or layer.input_shape or layer.inputs or 4)
        x = np.random.default_rng(0).uniform(0.1, 0.9, (options.get("rows", ROWS), *shape))
        x = x.astype("float32")
    layer.build(x.shape[1:], device="gpu")
    layers = layer.expand()
    for activation in layers[1:]:
        activation.connect(layer.output_shape)
    return layer, Plan(layers, layer.arena, keep=True), backend.asarray(x)


@pytest.mark.parametrize(("kind", "case"), CASES)
def test_its_passes_allocate_nothing_and_wait_for_nothing(kind, case):
    layer, plan, x = planned(kind, case)
    assert layer.replays
    training, floats = case.options.get("training", True), layer.input_dtype == "float"
    dy = cupy.ones((x.shape[0], *plan.output_shape), "float32")

    def step():
        plan.forward(x, training, draw=0)
        plan.backward(dy, input_gradient=False)
        if floats:
            plan.backward(dy, input_gradient=True)

    step()  # makes the plan's arrays
    gradients = [gradient for _, _, gradient in layer.named_parameters()]
    expected = [gradient.get() for gradient in gradients]
    graph = nnx.resolve("gpu").capture(step)
    for gradient in gradients:
        gradient[...] = 0.0 if layer.sparse_parameters() else np.nan
    graph.launch()
    for gradient, value in zip(gradients, expected, strict=True):
        np.testing.assert_array_equal(gradient.get(), value)


def rows_with_gaps(x):
    """The same numbers, with other numbers between the rows."""
    whole = cupy.zeros((2 * x.shape[0], *x.shape[1:]), x.dtype)
    whole[::2] = x
    return whole[::2]


def columns_with_gaps(x):
    whole = cupy.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
    whole[..., ::2] = x
    return whole[..., ::2]


@pytest.mark.parametrize("given", [rows_with_gaps, columns_with_gaps])
@pytest.mark.parametrize(("kind", "case"), CASES)
def test_arrays_that_are_not_contiguous_give_the_same(kind, case, given):
    """Kernels count on contiguous arrays: they would read the gaps, without an error."""
    layer, plan, x = planned(kind, case)
    training, floats = case.options.get("training", True), layer.input_dtype == "float"
    dy = np.random.default_rng(1).normal(size=(x.shape[0], *plan.output_shape)).astype("float32")

    def found(x, dy):
        y = plan.forward(x, training, draw=0).get()
        dx = plan.backward(dy, input_gradient=floats)
        return [y, *([dx.get()] if floats else []), *(one.get() for _, _, one in layer.named_parameters())]

    expected = found(x, cupy.asarray(dy))
    for one, value in zip(found(given(x), given(cupy.asarray(dy))), expected, strict=True):
        np.testing.assert_allclose(one, value, rtol=1e-5, atol=1e-5)
