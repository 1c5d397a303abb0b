"""A layer that is written as several operators is recognized, and what only looks like it is not."""

from __future__ import annotations

import numpy as np
import pytest

import nnx
from nnx.interop.algebra import Algebra, Poly, constant, plus, scaled
from nnx.interop.onnx_forms import COMPARISONS, OPERATORS, recognized


def layers(algebra: Algebra, y: Poly) -> list[tuple[str, dict]]:
    return [(type(part.layer).__name__, part.layer.config()) for part in recognized(algebra, y) or []]


@pytest.mark.parametrize(("root", "found"), [(np.float32(2.0**0.5), True), (1.5, False)])
def test_gelu_is_recognized_by_its_root_of_two(root, found):
    algebra = Algebra()
    erf = algebra.apply("Erf", scaled(algebra.x, 1.0 / float(root)))
    y = algebra.times(scaled(algebra.x, 0.5), plus(constant(1.0), erf))
    assert layers(algebra, y) == ([("GELU", nnx.GELU().config())] if found else [])


@pytest.mark.parametrize("way", ["Max", "Where", "two Relus"])
def test_a_slope_is_read_as_it_was_written(way):
    algebra = Algebra()
    x, stored = algebra.x, float(np.float32(0.1))
    sloped = scaled(x, stored)
    if way == "Max":
        y = OPERATORS["Max"](algebra, x, sloped)
    elif way == "Where":
        y = OPERATORS["Where"](algebra, COMPARISONS["Less"](algebra, x, {}), sloped, x)
    else:
        left = OPERATORS["Relu"](algebra, scaled(x, -1.0))
        y = OPERATORS["Sub"](algebra, OPERATORS["Relu"](algebra, x), scaled(left, stored))
    assert layers(algebra, y) == [("LeakyReLU", {"alpha": 0.1})]


def test_a_layer_norm_is_recognized_with_its_values():
    algebra = Algebra()
    gamma, beta = np.array([1.0, 2.0, -0.5]), np.array([0.5, 0.0, 1.0])
    centred = plus(algebra.x, scaled(algebra.apply("ReduceMean", algebra.x), -1.0))
    variance = algebra.apply("ReduceMean", algebra.power(centred, 2.0))
    deviation = algebra.power(plus(variance, constant(np.float32(1e-5))), 0.5)
    y = plus(scaled(OPERATORS["Div"](algebra, centred, deviation), gamma), constant(beta))
    (part,) = recognized(algebra, y)
    assert part.layer.config() == nnx.LayerNorm(1e-5).config()
    np.testing.assert_allclose(part.values["gamma"], gamma, rtol=1e-12)
    np.testing.assert_allclose(part.values["beta"], beta, rtol=1e-12)


def test_a_softmax_is_recognized_and_its_logarithm_is_refused():
    algebra = Algebra()
    shifted = plus(algebra.x, scaled(algebra.apply("ReduceMax", algebra.x), -1.0))
    e = algebra.apply("Exp", shifted)
    softmax = OPERATORS["Div"](algebra, e, algebra.apply("ReduceSum", e))
    assert layers(algebra, softmax) == [("Softmax", {})]
    with pytest.raises(nnx.ConfigurationError, match="nnx has no LogSoftmax"):
        recognized(algebra, algebra.apply("Log", softmax))
