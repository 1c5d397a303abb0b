"""Constants are multiplied and added in as few layers as possible, with the same numbers."""

from __future__ import annotations

from copy import deepcopy
from typing import NamedTuple

import numpy as np
import pytest

import nnx
from nnx.interop.affine import clip, exact_type, rescale, scale_by, shift_by
from nnx.interop.parts import Part, assemble

ROW = np.array([1.0, -2.0, 0.25])


def computed(parts: list[Part], x: np.ndarray) -> np.ndarray:
    """What copies of these layers compute, as a layer belongs to one network."""
    return assemble(deepcopy(parts), x.shape[1:], "float64", "cpu").predict(x)


def dense(rng) -> Part:
    return Part(nnx.Dense(3), {"W": rng.normal(size=(3, 3)), "b": rng.normal(size=3)})


def layer_norm(rng) -> Part:
    return Part(nnx.LayerNorm(), {"gamma": rng.normal(size=3), "beta": rng.normal(size=3)})


def batch_norm(rng) -> Part:
    moments = {"running_mean": rng.normal(size=3), "running_variance": rng.uniform(1.0, 2.0, 3)}
    return Part(nnx.BatchNorm(), layer_norm(rng).values | moments)


def scaling(rng) -> Part:
    return rescale(rng.normal(size=3), 0.5)


@pytest.mark.parametrize("made", [dense, layer_norm, batch_norm, scaling])
def test_an_addition_changes_the_layer_before_it(rng, made):
    x, parts = rng.normal(size=(7, 3)), [made(rng)]
    shifted = shift_by(shift_by(parts, ROW), 2.0)
    assert len(shifted) == 1
    np.testing.assert_allclose(computed(shifted, x), computed(parts, x) + ROW + 2.0, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("made", "layers"), [(dense, 2), (layer_norm, 1), (batch_norm, 1), (scaling, 1)])
def test_a_multiplication_changes_the_layer_before_it_or_is_one_more(rng, made, layers):
    x, parts = rng.normal(size=(7, 3)), [made(rng)]
    scaled = scale_by(scale_by(parts, ROW), -0.5)
    assert len(scaled) == layers
    np.testing.assert_allclose(computed(scaled, x), computed(parts, x) * ROW * -0.5, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("low", "high"), [(0.0, None), (-0.5, None), (None, 0.75), (-0.5, 0.75), (0.0, 6.0)])
def test_bounds_are_those_of_numpy(rng, low, high):
    x = 4.0 * rng.normal(size=(50, 3))
    np.testing.assert_allclose(computed(clip([], low, high), x), np.clip(x, low, high), rtol=0, atol=1e-15)


def test_constants_that_are_not_finite_are_refused(rng):
    for act in (lambda: rescale(np.inf), lambda: shift_by([dense(rng)], np.nan)):
        with pytest.raises(nnx.ConfigurationError, match="not finite"):
            act()


def test_what_is_subtracted_is_subtracted_in_float64():
    class Scaling(NamedTuple):
        shift: np.ndarray
        scale: np.ndarray

    float32 = np.dtype("float32")
    assert exact_type(Scaling(np.array([0.0, 1e9]), np.ones(2)), float32) == np.float64
    assert exact_type(Scaling(np.zeros(2), np.array([1.0, 3.0])), float32) == np.float32
