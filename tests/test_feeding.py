"""How data reach the network: the same numbers, and the same training, however they are kept."""

from __future__ import annotations

import numpy as np
import pytest

import nnx
from nnx import training

RNG = np.random.default_rng(3)
PIXELS = RNG.integers(0, 256, (300, 24), dtype=np.uint8)
LABELS = RNG.integers(0, 3, 300)


def autoencoder(device="numpy", dtype="float32", width=8):
    layers = [nnx.Dense(24, width), nnx.ReLU(), nnx.Dense(24), nnx.Sigmoid()]
    return nnx.Network(layers, device=device, dtype=dtype, seed=0)


def floats(dtype="float32", divisor=255):
    return np.divide(PIXELS, divisor, dtype=dtype)


def fit(network, x, y=None, **options):
    """Parameters and history after three epochs of batches of 32; the last has 12 rows."""
    defaults = {"loss": nnx.BinaryCrossEntropy(), "optimizer": nnx.Adam(0.01), "epochs": 3, "batch_size": 32}
    history = network.fit(x, x if y is None else y, **(defaults | options))
    return network.weights(), history


def assert_same(one, other):
    """Bit for bit."""
    (weights, history), (others, other_history) = one, other
    assert history.metrics == other_history.metrics
    for name, value in weights.items():
        np.testing.assert_array_equal(value, others[name], err_msg=name)


# ------------------------------------------------------------------------------------- rows


def test_rows_are_what_is_stored_divided():
    rows = nnx.Rows(PIXELS, divisor=255)
    assert (rows.shape, rows.ndim, len(rows), rows.dtype) == (PIXELS.shape, 2, 300, np.float32)
    np.testing.assert_array_equal(np.asarray(rows), floats())
    np.testing.assert_array_equal(np.asarray(rows.astype("float64")), floats("float64"))
    np.testing.assert_array_equal(rows[np.array([7, 0, 299])], floats()[[7, 0, 299]])
    np.testing.assert_array_equal(np.asarray(nnx.Rows(PIXELS)), PIXELS)


@pytest.mark.parametrize("cut", [slice(None), slice(90, 210), slice(250, None), slice(3, 3)])
def test_arrays_one_after_another_are_one(cut):
    shards = nnx.Rows([PIXELS[:100], PIXELS[100:110], PIXELS[110:]], divisor=255)
    assert shards.blocks == (100, 10, 190)
    part = shards[cut]
    assert isinstance(part, nnx.Rows)
    assert part.shape == floats()[cut].shape
    np.testing.assert_array_equal(np.asarray(part), floats()[cut])
    numbers = np.array([299, 109, 0, 100, 99, 110, 0])
    np.testing.assert_array_equal(shards[numbers], floats()[numbers])


def test_a_slice_reads_nothing_yet():
    rows = nnx.Rows([PIXELS[:100], PIXELS[100:]])
    assert all(np.shares_memory(part, PIXELS) for part in rows[50:150].parts)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nnx.Rows([PIXELS, PIXELS[:, :3]]), r"must agree: uint8 of shape \(300, 24\), and uint8 of"),
        (lambda: nnx.Rows([PIXELS, floats()]), "must agree: uint8 of .* and float32 of"),
        (lambda: nnx.Rows([]), "empty list"),
        (lambda: nnx.Rows(PIXELS, divisor=0), "divisor must be a positive number, not 0"),
        (lambda: nnx.Rows(np.array(["a"])), "must hold numbers, not <U1"),
        (lambda: nnx.Rows(PIXELS)[::2], "not in steps of 2"),
        (lambda: autoencoder().predict(nnx.Rows(PIXELS[:, 0])), "shape"),
        (lambda: fit(autoencoder(), nnx.Rows(PIXELS[:, 0])), "two dimensions"),
        (lambda: fit(autoencoder(), nnx.Rows(PIXELS)), r"targets must lie in \[0, 1\], found \[0, 255\]"),
        (
            lambda: fit(autoencoder(), nnx.Rows([floats(), np.full((1, 24), np.nan, "f4")])),
            "x has a value that is NaN or infinite, first in row 300",
        ),
    ],
)
def test_what_makes_no_rows_is_refused(make, words):
    with pytest.raises(nnx.DataError, match=words):
        make()


# ------------------------------------------------------------------------------------ bytes


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch_size", [32, 300])
@pytest.mark.parametrize("device", ["numpy", "cpu"])
@pytest.mark.parametrize("width", [8, 200])  # the narrow one may run as one compiled loop
def test_bytes_train_as_their_floats_do(device, dtype, batch_size, width):
    kept = fit(autoencoder(device, dtype, width), nnx.Rows(PIXELS, divisor=255), batch_size=batch_size)
    assert_same(kept, fit(autoencoder(device, dtype, width), floats(dtype), batch_size=batch_size))


def test_plain_bytes_are_the_numbers_they_are():
    """Nothing is divided that nobody asked to divide."""
    options = {"loss": nnx.MeanSquaredError(), "optimizer": nnx.Adam(1e-4)}
    assert_same(fit(autoencoder(), PIXELS, **options), fit(autoencoder(), PIXELS.astype("f4"), **options))
    np.testing.assert_array_equal(autoencoder().predict(PIXELS), autoencoder().predict(PIXELS.astype("f4")))


def test_bytes_with_weights_validation_and_targets_of_their_own():
    def classifier():
        layers = [nnx.Dense(24, 8), nnx.ReLU(), nnx.Dense(3), nnx.Softmax()]
        return nnx.Network(layers, device="numpy", seed=0)

    options = {
        "loss": nnx.CategoricalCrossEntropy(), "validation": 0.25, "metrics": ["accuracy"],
        "sample_weight": RNG.random(300), "y": LABELS,
    }  # fmt: skip
    assert_same(
        fit(classifier(), nnx.Rows(PIXELS, divisor=255), **options), fit(classifier(), floats(), **options)
    )
    noisy = np.clip(floats() + 0.1, 0, 1)
    targets = nnx.Rows(PIXELS, divisor=255)
    assert_same(fit(autoencoder(), noisy, targets), fit(autoencoder(), noisy, floats()))


def test_bytes_are_augmented_as_floats():
    def augment(generator, x, y):
        assert x.dtype == np.float32
        noisy = np.clip(x + generator.normal(0, 0.1, x.shape), 0, 1).astype(x.dtype)
        return noisy, y

    rows = nnx.Rows(PIXELS, divisor=255)
    assert_same(fit(autoencoder(), rows, augment=augment), fit(autoencoder(), floats(), augment=augment))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bytes_are_predicted_and_evaluated_as_floats(dtype):
    network, rows = autoencoder(dtype=dtype), nnx.Rows(PIXELS, divisor=255)
    np.testing.assert_array_equal(network.predict(rows), network.predict(floats(dtype)))
    options = {"loss": nnx.BinaryCrossEntropy(), "metrics": ["mse"]}
    assert network.evaluate(rows, rows, **options) == network.evaluate(
        floats(dtype), floats(dtype), **options
    )


# ----------------------------------------------------------------------------------- shards


def test_shards_are_visited_one_after_another():
    """In an order of their own, their rows mixed, each row once; another epoch, another order."""
    order = training.epoch_order(0, 5, 100, 10, 190)
    assert sorted(order) == list(range(300))
    shard = np.searchsorted([100, 110], order, side="right")
    assert np.count_nonzero(np.diff(shard)) == 2
    assert (np.diff(order[shard == 2]) != 1).any()
    assert (order != training.epoch_order(0, 10, 100, 10, 190)).any()


def test_unshuffled_shards_train_as_one_array():
    shards = nnx.Rows([PIXELS[:100], PIXELS[100:110], PIXELS[110:]], divisor=255)
    assert_same(fit(autoencoder(), shards, shuffle=False), fit(autoencoder(), floats(), shuffle=False))
