"""Upsampling as a layer: shapes, and that pooling undoes it."""

from __future__ import annotations

import numpy as np
import pytest
from support.small_networks import host

import nnx

pytestmark = pytest.mark.usefixtures("device")


def test_shapes() -> None:
    assert nnx.UpSample2D().build((3, 4, 2)).output_shape == (6, 8, 2)
    assert nnx.UpSample2D((1, 3)).build((3, 4, 2)).output_shape == (3, 12, 2)
    assert nnx.UpSample1D(3).build((4, 2)).output_shape == (12, 2)
    assert nnx.UpSample2D((1, 3)).config() == {"size": [1, 3]}
    assert repr(nnx.UpSample2D((1, 3))) == "UpSample2D((1, 3))"


def test_pooling_undoes_upsampling() -> None:
    x = np.random.default_rng(0).normal(size=(3, 3, 4, 2))
    for pool in (nnx.MaxPool2D((3, 2)), nnx.AveragePool2D((3, 2))):
        both = nnx.Sequential([nnx.UpSample2D((3, 2)), pool]).build((3, 4, 2), dtype="float64")
        np.testing.assert_allclose(host(both.forward(x)), x, rtol=1e-14)
        np.testing.assert_allclose(host(both.backward(x)), x, rtol=1e-14)


def test_positions_of_a_sequence_are_repeated() -> None:
    layer = nnx.UpSample1D(2).build((2, 1))
    assert host(layer.forward(np.array([[[1.0], [2.0]]], np.float32))).ravel().tolist() == [1, 1, 2, 2]
    assert host(layer.backward(np.array([[[1.0], [2.0], [3.0], [4.0]]], np.float32))).ravel().tolist() == [
        3,
        7,
    ]
