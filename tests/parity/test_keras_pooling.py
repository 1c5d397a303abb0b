"""Pooling, upsampling and spatial dropout against the real Keras on TensorFlow, in float64."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
import pytest

import nnx

pytestmark = [pytest.mark.keras, pytest.mark.usefixtures("on_cpu")]

CLOSE = {"rtol": 1e-10, "atol": 1e-12}  # as in test_keras.py


@pytest.fixture(scope="module")
def keras() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow's own imports use what Python and NumPy deprecate
        pytest.importorskip("tensorflow", reason="needs TensorFlow: pip install 'nnx-arrays[compare]'")
        return pytest.importorskip("keras", reason="needs Keras: pip install 'nnx-arrays[compare]'")


POOLS: list[tuple[tuple[int, ...], dict[str, Any]]] = [
    ((6, 8, 3), {"pool_size": 2}),
    ((7, 9, 3), {"pool_size": (2, 3)}),
    ((7, 9, 3), {"pool_size": 3, "strides": (1, 2)}),
    ((7, 9, 3), {"pool_size": (1, 2), "strides": 3}),
    ((7, 9, 3), {"pool_size": 2, "padding": "same"}),
    ((7, 8, 3), {"pool_size": (3, 4), "strides": 2, "padding": "same"}),
    ((3, 2, 3), {"pool_size": 5, "strides": 1, "padding": "same"}),
    ((9, 3), {"pool_size": 2}),
    ((9, 3), {"pool_size": 3, "strides": 2}),
    ((9, 3), {"pool_size": 4, "strides": 3, "padding": "same"}),
]
JOBS = [(f"{kind}Pool", f"{kind}Pooling", *job) for kind in ("Max", "Average") for job in POOLS]
JOBS += [
    (f"Global{kind}Pool", f"Global{kind}Pooling", shape, {})
    for kind in ("Max", "Average")
    for shape in ((5, 4, 3), (7, 3))
]
JOBS += [
    ("UpSample", "UpSampling", shape, {"size": size})
    for shape, size in (((3, 2, 4), 2), ((3, 2, 4), (1, 3)), ((5, 2), 3))
]


@pytest.mark.parametrize("drawn", ["different numbers", "many equal numbers"])
@pytest.mark.parametrize(
    ("name", "theirs", "shape", "options"),
    JOBS,
    ids=[f"{name}{len(shape) - 1}D {o}" for name, _, shape, o in JOBS],
)
def test_pooling_and_upsampling(
    keras: Any, rng: np.random.Generator, name: str, theirs: str, shape: tuple[int, ...],
    options: dict[str, Any], drawn: str,
) -> None:  # fmt: skip
    import tensorflow as tf

    rank = f"{len(shape) - 1}D"
    ours = getattr(nnx, name + rank)(**options).build(shape, dtype="float64")
    reference = getattr(keras.layers, theirs + rank)(dtype="float64", **options)
    whole = (3, *shape)
    x = rng.integers(-2, 3, whole) / 2.0 if drawn == "many equal numbers" else rng.standard_normal(whole)
    dy = rng.standard_normal((3, *ours.output_shape))
    variable = tf.Variable(x)
    with tf.GradientTape() as tape:
        y = reference(variable)
        total = tf.reduce_sum(y * dy)
    np.testing.assert_allclose(ours.forward(x, training=True), np.asarray(y), **CLOSE)
    if name == "GlobalMaxPool" and drawn == "many equal numbers":
        return  # there TensorFlow divides the gradient among the equal numbers
    dx = np.asarray(tf.convert_to_tensor(tape.gradient(total, variable)))
    np.testing.assert_allclose(ours.backward(dy), dx, **CLOSE)


def test_defaults_are_those_of_keras(keras: Any) -> None:
    for rank in ("1D", "2D"):
        for options, kind in (({}, "Max"), ({"pool_size": 3}, "Average")):  # there Keras has no default
            ours = getattr(nnx, f"{kind}Pool{rank}")(**options)
            theirs = getattr(keras.layers, f"{kind}Pooling{rank}")(**options)
            for argument in ("pool_size", "strides", "padding"):
                given = getattr(theirs, argument)
                assert getattr(ours, argument) == ((given,) if isinstance(given, int) else given)
    assert nnx.UpSample2D().size == keras.layers.UpSampling2D().size


def test_spatial_dropout_drops_and_scales_as_keras(keras: Any) -> None:
    """The masks differ; channels that are kept have the same numbers."""
    x = np.random.default_rng(0).uniform(1.0, 2.0, (20, 3, 4, 30))
    for rank, given in (("1D", x[:, 0]), ("2D", x)):
        ours = getattr(nnx, f"SpatialDropout{rank}")(0.25).build(given.shape[1:], dtype="float64")
        reference = getattr(keras.layers, f"SpatialDropout{rank}")(0.25, seed=1, dtype="float64")
        y, theirs = ours.forward(given, training=True), np.asarray(reference(given, training=True))
        both = (y != 0.0) & (theirs != 0.0)
        np.testing.assert_allclose(y[both], theirs[both], rtol=1e-6)  # Keras has a float32 rate
        for kept in (y != 0.0, theirs != 0.0):
            channels = kept.reshape(20, -1, 30)
            assert (channels == channels[:, :1]).all()
            assert 0.68 < kept.mean() < 0.82
