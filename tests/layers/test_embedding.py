"""Embedding: lookups, gradients of rows that occur repeatedly, settings, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

import nnx
from nnx.backends import Backend

VOCABULARY, UNITS = 30, 4
RNG = np.random.default_rng(3)
X = RNG.integers(0, VOCABULARY, (64, 5))
X[:, 0] = 7  # a number of every row
Y = RNG.integers(0, 3, 64)


def network(device=None, **options):
    layers = [nnx.Embedding(VOCABULARY, UNITS), nnx.Flatten(), nnx.Dense(3), nnx.Softmax()]
    return nnx.Network(layers, device=device, seed=0, **options)


@pytest.mark.parametrize("shape", [(1,), (5,), (2, 3)])
def test_forward_and_backward(backend: Backend, dtype: np.dtype, shape: tuple[int, ...]) -> None:
    layer = nnx.Embedding(VOCABULARY, UNITS, seed=1).build(shape, device=backend, dtype=dtype)
    x = RNG.integers(0, VOCABULARY, (6, *shape))
    W = backend.to_numpy(layer.W).copy()
    y = backend.to_numpy(layer.forward(backend.asarray(x), training=True))
    assert layer.output_shape == (*shape, UNITS)
    np.testing.assert_array_equal(y, W[x])
    dy = RNG.standard_normal(y.shape).astype(dtype)
    for _ in range(2):  # a pass overwrites
        assert layer.backward(backend.asarray(dy)) is None
    expected = np.zeros((VOCABULARY, UNITS))
    np.add.at(expected, x, dy)
    np.testing.assert_allclose(backend.to_numpy(layer.dW), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["int64", "int32", "uint8", "uint64", "int16"])
def test_integers_of_every_type_give_the_same(on_cpu: None, kind: str) -> None:
    def trained(x):
        one = network("cpu")
        one.fit(x, Y, loss="cross_entropy", optimizer="adam", epochs=2, batch_size=24)
        return one.predict(x).tobytes(), one.evaluate(x, Y, loss="cross_entropy")["loss"]

    assert trained(X.astype(kind)) == trained(X)
    assert trained(nnx.Rows(X.astype(kind))) == trained(X)


def test_the_first_values_are_those_of_keras(on_cpu: None) -> None:
    W = nnx.Embedding(400, 20, seed=0).build(3).W
    assert 0.0499 < np.abs(W).max() <= 0.05
    assert nnx.Embedding(4, 2).config() == {"vocabulary": 4, "units": 2}
    given = nnx.Embedding(4, 2, initializer="normal", seed=3)
    again = nnx.layers.get({"name": "embedding", **given.config()})
    assert again.config() == given.config()
    assert repr(again) == "Embedding(4, 2)"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [((0, 3), "vocabulary must be"), ((3, 2.5), "units must be"), ((3, 2, "x"), "takes")],
)
def test_settings_that_are_refused(arguments: tuple, said: str) -> None:
    with pytest.raises((nnx.ConfigurationError, TypeError), match=said):
        nnx.Embedding(*arguments)


def test_it_must_be_the_first(on_cpu: None) -> None:
    with pytest.raises(nnx.ConfigurationError, match="put it first"):
        nnx.Network([nnx.Dense(4, 3), nnx.Embedding(3, 2)])


def test_branches_with_embeddings_read_the_same_numbers(on_cpu: None) -> None:
    both = nnx.Concatenate([[nnx.Embedding(9, 2)], [nnx.Embedding(6, 3)]])
    one = nnx.Network([both, nnx.Flatten(), nnx.Dense(1)], seed=0, device="cpu")
    assert one.predict([[5, 0]]).shape == (1, 1)
    with pytest.raises(nnx.DataError, match=r"x has the number 6, first in row 1, but .*6, 3\) takes 0 to 5"):
        one.predict([[5, 0], [1, 6]])


def test_a_network_with_it_is_copied_saved_and_sliced(on_cpu: None, tmp_path) -> None:
    one = network("cpu")
    expected = one.predict(X)
    one.save(tmp_path / "model.safetensors")
    for other in (one.copy(), nnx.load(tmp_path / "model.safetensors")):
        assert other.predict(X).tobytes() == expected.tobytes()
    assert one[:2].predict(X).shape == (64, 20)
    assert one.summary().splitlines()[1].split() == ["embedding_1", "[5,", "4]", "120"]


@pytest.mark.parametrize("precision", ["float64", "bfloat16"])
def test_other_precisions(on_cpu: None, precision: str) -> None:
    one = network("numpy", precision=precision)
    history = one.fit(X, Y, loss="cross_entropy", optimizer=nnx.Adam(0.05), epochs=30)
    assert history["loss"][-1] < 0.2 * history["loss"][0]


def test_frozen_it_does_not_change(on_cpu: None) -> None:
    one = network("cpu").build(5)
    one[0].trainable = False
    before = one[0].W.copy()
    one.fit(X, Y, loss="cross_entropy", optimizer="adam", epochs=2)
    np.testing.assert_array_equal(one[0].W, before)
