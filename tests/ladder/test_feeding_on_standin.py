"""Feeding data to a GPU, on the stand-in: uploaded once as bytes, or streamed through pinned memory."""

from __future__ import annotations

import collections
import gc

import numpy as np
import pytest

import nnx

pytestmark = pytest.mark.standin
cupy = pytest.importorskip("cupy", reason="needs CuPy's wheel: nox -s ladder")
_world = pytest.importorskip("cupy._world", reason="needs the stand-in for CuPy: nox -s ladder")

PIXELS = np.random.default_rng(0).integers(0, 256, (2000, 64), dtype=np.uint8)
FLOATS = np.divide(PIXELS, 255, dtype=np.float32)
BATCH, EPOCHS = 50, 2
ORDER = 8 * len(PIXELS) + 4 * 256  # bytes of an epoch's order, with the other numbers of its steps


class Steps(nnx.Callback):
    """The log's length after each step."""

    def __init__(self, log):
        self.log, self.ends = log, []

    def on_step_end(self, run):
        self.ends.append(len(self.log))


def fit(x, graph=False):
    """Losses, parameters, the log of it all, and the log of each step but the first epoch's."""
    layers = [nnx.Dense(64, 16), nnx.ReLU(), nnx.Dense(64), nnx.Sigmoid()]
    network = nnx.Network(layers, device="gpu", seed=0)
    with _world.recorded() as log:
        steps = Steps(log)
        history = network.fit(
            x, x, loss=nnx.BinaryCrossEntropy(), optimizer=nnx.Adam(), batch_size=BATCH, epochs=EPOCHS,
            callbacks=[steps], graph=graph,
        )  # fmt: skip
    each = [log[a:b] for a, b in zip(steps.ends, steps.ends[1:], strict=False)]
    return history["loss"], network.weights(), log, each[len(PIXELS) // BATCH :]


def same(one, other):
    assert one[0] == other[0]
    for name, value in one[1].items():
        np.testing.assert_array_equal(value, other[1][name], err_msg=name)


def shrink(monkeypatch):
    """To a GPU on which more is free than the data take, but less than twice as much."""
    gc.collect()
    cupy.get_default_memory_pool().free_all_blocks()
    free, every = cupy.cuda.runtime.memGetInfo()
    monkeypatch.setattr(_world.machine, "memory", every - free + PIXELS.nbytes * 7 // 4)


def test_bytes_are_uploaded_once():
    kept, floats = fit(nnx.Rows(PIXELS, divisor=255)), fit(FLOATS)
    same(kept, floats)
    data = [event.size for event in kept[2] if event.kind == "h2d" and event.size >= PIXELS.nbytes]
    assert data == [PIXELS.nbytes]
    within = [event for step in kept[3] for event in step if event.kind in ("h2d", "d2h", "wait", "alloc")]
    # between epochs the order goes up, and the losses and the flag come down
    assert sum(event.size for event in within if event.kind == "h2d") <= (EPOCHS - 1) * ORDER


def test_what_does_not_fit_is_streamed(monkeypatch):
    """A step costs one upload, of bytes; only the thread that reads waits for it."""
    resident = fit(nnx.Rows(PIXELS, divisor=255))
    shrink(monkeypatch)
    streamed = fit(nnx.Rows(PIXELS, divisor=255))
    same(streamed, resident)
    uploads = [event.size for event in streamed[2] if event.kind == "h2d"]
    assert uploads.count(BATCH * 64) == EPOCHS * len(PIXELS) // BATCH
    assert max(uploads) < PIXELS.nbytes
    for step in streamed[3][:-1]:
        kinds = collections.Counter(event.kind for event in step)
        assert (kinds["h2d"], kinds["d2h"], kinds["alloc"]) == (1, 0, 0)
        assert {event.name for event in step if event.kind == "wait"} <= {"event"}
        assert kinds["launch"] == 12  # with the data on the GPU 11: there, gathering rows begins the step


@pytest.mark.parametrize("x", [FLOATS, nnx.Rows(PIXELS, divisor=255)], ids=["floats", "bytes"])
def test_steps_with_streamed_batches_are_replayed(monkeypatch, x):
    """Two buffers take turns on the GPU, and a graph reads a batch where it was: floats have two graphs."""
    resident = fit(x)
    monkeypatch.setattr("nnx.backends.cupy_backend.CupyBackend.holds", lambda *given: False)
    streamed = fit(x, "auto")
    same(streamed, resident)
    for step in streamed[3][:-1]:
        kinds = collections.Counter(event.kind for event in step)
        assert (kinds["h2d"], kinds["graph"], kinds["node"], kinds["alloc"]) == (1, 1, 11, 0)
        assert kinds["launch"] == (x is not FLOATS)  # bytes become numbers
