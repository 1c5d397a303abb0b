"""A layer of one's own that knows rows of features only takes rows of any shape."""

from __future__ import annotations

import pytest

import nnx
from nnx.layers import Layer

pytestmark = pytest.mark.usefixtures("device")


class Scaled(Layer):
    """A layer as version 0.1 has them: it knows rows of features only."""

    def parameter_shapes(self):
        return {"factor": (self.inputs,)}

    def initial_values(self, generator):
        return {"factor": generator.uniform(0.5, 1.5, self.inputs)}

    def width(self, inputs):
        return 2 * inputs

    def forward_into(self, x, y, cache):
        y[:, : self.inputs] = x * self.factor
        y[:, self.inputs :] = x

    def backward_into(self, dy, dx, cache):
        left, right = dy[:, : self.inputs], dy[:, self.inputs :]
        self.dfactor[...] = (left * cache.x).sum(axis=0)
        if dx is not None:
            dx[...] = left * self.factor + right


@pytest.mark.parametrize("shape", [(6,), (5, 6), (2, 5, 6)])
def test_layers_of_version_0_1_take_any_shape(shape):
    report = nnx.gradcheck.check(Scaled(), shape)
    assert report.passed, report.message
    layer = Scaled().build(shape, dtype="float64")
    assert layer.output_shape == (*shape[:-1], 12)
