"""Training step by step equals a loop written by hand, counts the weights of rows, and allocates nothing."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from support.classifiers import LABELS, classifier
from support.devices_here import usable
from support.small_networks import X37 as X
from support.small_networks import Y37 as Y
from support.small_networks import fit, regressor

import nnx
from nnx import training

pytestmark = pytest.mark.usefixtures("device")


def test_the_hand_written_loop_of_the_full_batch_is_fit():
    by_fit, by_hand = regressor(), regressor()
    history = fit(by_fit, batch_size=37, epochs=20)

    loss, optimizer = nnx.MeanSquaredError(), nnx.Adam(0.01)
    x, y = by_hand.asarray(X), by_hand.asarray(Y)
    values = []
    for _ in range(20):
        y_pred = by_hand.forward(x, training=True)
        values.append(float(loss(y, y_pred)))
        by_hand.backward(loss.gradient(y, y_pred))
        optimizer.step(by_hand)

    np.testing.assert_allclose(history["loss"], values, rtol=1e-6)
    for name, value in by_fit.weights().items():
        np.testing.assert_allclose(by_hand.weights()[name], value, rtol=1e-5, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shuffle", [True, False])
def test_the_hand_written_loop_over_batches_is_fit(shuffle, dtype):
    by_fit, by_hand = classifier(dtype=dtype), classifier(dtype=dtype)
    loss = nnx.CategoricalCrossEntropy()
    history = fit(by_fit, y=LABELS, loss=loss, shuffle=shuffle, epochs=3)

    optimizer = nnx.Adam(0.01)
    means = []
    for _ in range(3):
        order = training.epoch_order(0, by_hand.arena.step, 37) if shuffle else np.arange(37)
        total = 0.0
        for start in range(0, 37, 8):
            rows = order[start : start + 8]
            y_pred = by_hand.forward(by_hand.asarray(X[rows]), training=True)
            total += float(loss(LABELS[rows], y_pred)) * len(rows)
            by_hand.backward(loss.gradient(LABELS[rows], y_pred))
            optimizer.step(by_hand)
        means.append(total / 37)

    tolerance = 1e-5 if dtype == "float32" else 1e-9
    np.testing.assert_allclose(history["loss"], means, rtol=tolerance)
    for name, value in by_fit.weights().items():
        np.testing.assert_allclose(by_hand.weights()[name], value, rtol=1e-4, atol=tolerance, err_msg=name)


@pytest.mark.parametrize(
    "loss",
    [
        nnx.MeanSquaredError(),
        nnx.MeanSquaredError("sum_over_features"),
        nnx.MeanAbsoluteError(),
        nnx.Huber(0.3),
    ],
    ids=repr,
)
def test_weight_two_is_the_row_twice(loss):
    weights = np.ones(37)
    weights[:9] = 2.0
    a, b = regressor(dtype="float64"), regressor(dtype="float64")
    ha = fit(a, batch_size=37, sample_weight=weights, loss=loss)
    hb = fit(b, x=np.vstack([X, X[:9]]), y=np.vstack([Y, Y[:9]]), batch_size=46, loss=loss)
    np.testing.assert_allclose(ha["loss"], hb["loss"], rtol=1e-9)
    for name, value in a.weights().items():
        np.testing.assert_allclose(b.weights()[name], value, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("fuse", [True, False])
def test_weight_two_is_the_row_twice_for_labels(fuse):
    weights = np.ones(37)
    weights[:9] = 2.0
    a, b = (classifier(dtype="float64", fuse=fuse) for _ in "ab")
    loss = nnx.CategoricalCrossEntropy()
    fit(a, y=LABELS, batch_size=37, sample_weight=weights, loss=loss)
    fit(b, x=np.vstack([X, X[:9]]), y=np.append(LABELS, LABELS[:9]), batch_size=46, loss=loss)
    for name, value in a.weights().items():
        np.testing.assert_allclose(b.weights()[name], value, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("rows", [8, 37])
@pytest.mark.parametrize("kind", [np.int32, np.uint8, np.int64])
def test_labels_and_one_hot_targets_train_alike(fuse, rows, kind):
    a, b = classifier(fuse=fuse), classifier(fuse=fuse)
    loss = nnx.CategoricalCrossEntropy()
    ha = fit(a, y=LABELS.astype(kind), loss=loss, batch_size=rows, validation=None)
    hb = fit(b, y=np.eye(3)[LABELS], loss=loss, batch_size=rows)
    np.testing.assert_allclose(ha["loss"], hb["loss"], rtol=1e-5)
    np.testing.assert_allclose(a.predict(X), b.predict(X), rtol=1e-4, atol=1e-6)


RNG = np.random.default_rng(12)


def deep_autoencoder(rows, width, device, **options):
    layers = [nnx.Dense(width, 128), nnx.ReLU(), nnx.Dense(16), nnx.ReLU(), nnx.Dense(128), nnx.ReLU(),
              nnx.Dense(width), nnx.Sigmoid()]  # fmt: skip
    network = nnx.Network(layers, seed=0, device=device, **options)
    x = RNG.random((rows * 6, width), dtype=np.float32)
    return network, x


class Tracer(nnx.Callback):
    """The peak and the remainder of each step's allocations, in bytes, once the first epoch is over."""

    def __init__(self):
        self.peaks, self.kept = [], []

    def on_step_end(self, run):
        if tracemalloc.is_tracing():
            now, peak = tracemalloc.get_traced_memory()
            self.peaks.append(peak - self._base)
            self.kept.append(now - self._base)
        elif run.epoch == 1:
            tracemalloc.start()
        self._base = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()

    def on_epoch_end(self, run):
        tracemalloc.stop()


@pytest.mark.parametrize("device", ["numpy", "numba"])
@pytest.mark.parametrize(
    ("rows", "width"), [(128, 784), (512, 784), (128, 2000)], ids=lambda value: str(value)
)
def test_a_training_step_allocates_nothing(rows, width, device):
    """Views and scalars of a few bytes come and go, but no array."""
    if device == "numba":
        pytest.importorskip("numba", reason="Numba is not installed")
    trace(*deep_autoencoder(rows, width, device), rows)


@pytest.mark.parametrize("device", ["numpy", "numba"])
def test_a_step_with_bfloat16_factors_allocates_nothing(device):
    if fault := usable(device).bfloat16_fault():
        pytest.skip(f"no bfloat16 on {device} here: {fault}")
    trace(*deep_autoencoder(128, 784, device, precision="bfloat16"), 128)


def trace(network, x, rows):
    """Train, and compare what each step allocates with a few kilobytes."""
    device = network.backend.name
    tracer = Tracer()
    try:
        network.fit(
            x, x, loss=nnx.BinaryCrossEntropy(), optimizer=nnx.Adam(1e-3), epochs=2, batch_size=rows,
            callbacks=[tracer],
        )  # fmt: skip
    finally:
        tracemalloc.stop()
    assert len(tracer.peaks) == 5
    # NumPy's ufuncs ask for room for 8,192 numbers wherever a row is broadcast, and give it back at once
    buffer = 4 * 8192 if device == "numpy" else 0
    assert max(tracer.peaks) < buffer + 2048
    assert max(tracer.peaks) < 1024 or device == "numpy"
    assert max(tracer.kept[1:]) < 1536
