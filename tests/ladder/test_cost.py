"""The cost of a training step on the GPU, counted on the stand-in: launches, copies, waits, allocations."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import nnx

pytestmark = pytest.mark.standin
cupy = pytest.importorskip("cupy", reason="needs CuPy's wheel: nox -s ladder")

WIDTHS = (784, 512, 256, 128, 64, 128, 256, 512, 784)
ROWS, BATCH, STEPS = 1024, 256, 4
MOST_LAUNCHES = 48


class Marks(nnx.Callback):
    """How much was logged by the end of each step and epoch."""

    def __init__(self, log):
        self.log, self.steps, self.epochs = log, [], []

    def on_step_end(self, run):
        self.steps.append(len(self.log))

    def on_epoch_end(self, run):
        self.epochs.append(len(self.log))


def deep_autoencoder():
    layers = [nnx.Dense(WIDTHS[0], WIDTHS[1])]
    for units in WIDTHS[2:]:
        layers += [nnx.ReLU(), nnx.Dense(units)]
    return nnx.Network([*layers, nnx.Sigmoid()], device="gpu", seed=0)


@pytest.fixture(scope="module", params=["bytes", "floats"])
def trained(request):
    """The log of three epochs of four steps, and where each step and epoch ends in it."""
    pixels = np.random.default_rng(0).integers(0, 256, (ROWS, WIDTHS[0]), dtype=np.uint8)
    x = nnx.Rows(pixels, divisor=255) if request.param == "bytes" else (pixels / 255).astype(np.float32)
    stored = pixels.nbytes if request.param == "bytes" else 4 * pixels.size
    network = deep_autoencoder()
    with cupy.recorded() as log:
        marks = Marks(log)
        network.fit(x, x, loss=nnx.BinaryCrossEntropy(), optimizer=nnx.Adam(1e-3), batch_size=BATCH, epochs=3,
                    callbacks=[marks])  # fmt: skip
    return log, marks, stored


def test_a_step_launches_kernels_and_does_nothing_else(trained):
    log, marks, _ = trained
    assert len(marks.steps) == 3 * STEPS
    for first, last in zip(marks.steps[STEPS:], marks.steps[STEPS + 1 :], strict=False):
        if not any(first <= end < last for end in marks.epochs):  # within an epoch, after the first
            assert {event.kind for event in log[first:last]} == {"launch"}
            assert last - first <= MOST_LAUNCHES


def test_an_epoch_reads_its_losses_once_and_uploads_no_data(trained):
    log, marks, _ = trained
    for first, last in zip(marks.epochs, marks.epochs[1:], strict=False):
        epoch = [event for event in log[first:last] if event.kind != "launch"]
        moved = [(event.kind, event.size) for event in epoch if event.kind in ("h2d", "d2h")]
        # up: the order of the rows; down: the flag that a fault raises, and a loss a step
        assert moved == [("h2d", 8 * ROWS), ("d2h", 8), ("d2h", 4 * STEPS)]
        assert sum(event.kind == "wait" for event in epoch) == 2
        assert sum(event.kind == "alloc" for event in epoch) == 1  # the order again


def test_the_data_is_uploaded_once_as_it_is_stored(trained):
    log, _, stored = trained
    assert [event.size for event in log if event.kind == "h2d"] == [stored, *[8 * ROWS] * 3]


def test_memory_does_not_grow_with_steps():
    gc.collect()  # what earlier tests left is no part of it
    pool = cupy.get_default_memory_pool()
    network, used = deep_autoencoder(), []
    x = np.random.default_rng(0).uniform(size=(64, WIDTHS[0])).astype(np.float32)

    class Used(nnx.Callback):
        def on_epoch_end(self, run):
            used.append(pool.used_bytes())

    network.fit(x, x, loss=nnx.BinaryCrossEntropy(), optimizer=nnx.Adam(1e-3), batch_size=24, epochs=6,
                callbacks=[Used()])  # fmt: skip
    assert set(used[1:]) == {used[1]}
