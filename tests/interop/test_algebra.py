"""Two ways to write a formula are the same, and formulas that differ are not."""

from __future__ import annotations

import numpy as np
import pytest

from nnx.interop.algebra import (
    MOST_TERMS,
    POSITIVE,
    Algebra,
    UnknownFormulaError,
    constant,
    plus,
    same,
    scaled,
)

ONE = constant(1.0)


def test_products_are_multiplied_out():
    algebra = Algebra()
    x = algebra.x
    square = plus(plus(algebra.power(x, 2.0), scaled(x, 2.0)), ONE)
    assert same(algebra.power(plus(x, ONE), 2.0), square)
    assert same(algebra.power(plus(x, ONE), 3.0), algebra.times(square, plus(ONE, x)))
    assert plus(x, scaled(x, -1.0)) == {}


def test_odd_functions_give_their_sign_away_and_others_do_not():
    algebra = Algebra()
    for kind, odd in (("Erf", True), ("Tanh", True), ("Exp", False)):
        negative = algebra.apply(kind, scaled(algebra.x, -2.0))
        assert same(negative, scaled(algebra.apply(kind, scaled(algebra.x, 2.0)), -1.0)) == odd


def test_roots_and_reciprocals_are_one_power_in_either_order():
    algebra = Algebra()
    u = plus(algebra.power(algebra.x, 2.0), ONE)
    root = algebra.power(u, -0.5)
    assert same(algebra.power(algebra.power(u, 0.5), -1.0), root)
    assert same(algebra.power(algebra.power(u, -1.0), 0.5), root)
    assert not same(algebra.power(u, 0.5), root)


def test_a_condition_is_0_or_1_whatever_scales_its_argument():
    algebra = Algebra()
    positive = algebra.apply(POSITIVE, algebra.x)
    assert same(algebra.apply(POSITIVE, scaled(algebra.x, 3.0)), positive)
    assert not same(algebra.apply(POSITIVE, scaled(algebra.x, -3.0)), positive)
    assert same(algebra.times(positive, positive), positive)
    assert same(algebra.where(positive, algebra.x, algebra.x), algebra.x)


def test_constants_are_equal_to_the_precision_of_float32():
    exact = 2.0**0.5
    assert same(constant(exact), constant(np.float32(exact)))
    assert not same(constant(exact), constant(1.41421))
    assert same(constant([3.0, 3.0]), constant(3.0))
    assert not same(constant([3.0, 4.0]), constant(3.0))
    assert not same(constant([1.0, 1.0]), constant([1.0, 1.0, 1.0]))


def test_what_is_not_the_same_everywhere_or_too_long_is_not_represented():
    algebra = Algebra()
    u = plus(algebra.x, ONE)
    with pytest.raises(UnknownFormulaError, match="not 1 everywhere"):
        algebra.times(algebra.power(u, -1.0), algebra.power(u, 0.5))
    with pytest.raises(UnknownFormulaError, match=r"a power of 1\.5"):
        algebra.power(u, 1.5)
    total = ONE
    for index in range(1, MOST_TERMS):
        total = plus(total, algebra.apply("Elu", u, float(index)))
    with pytest.raises(UnknownFormulaError, match="too many terms"):
        plus(total, algebra.x)
