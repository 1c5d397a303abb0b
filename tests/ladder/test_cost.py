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
LAUNCHES = 35  # in each step, launched or replayed
ROUNDING = 8  # more of them in bfloat16: one for x and all weights, and one for each hidden output
TABLES = 8 * ROWS + 2 * 256  # bytes of an epoch's order, and of the other numbers of its steps


class Marks(nnx.Callback):
    """How much was logged by the end of each step and epoch."""

    def __init__(self, log):
        self.log, self.steps, self.epochs = log, [], []

    def on_step_end(self, run):
        self.steps.append(len(self.log))

    def on_epoch_end(self, run):
        self.epochs.append(len(self.log))


def deep_autoencoder(precision="float32"):
    layers = [nnx.Dense(WIDTHS[0], WIDTHS[1])]
    for units in WIDTHS[2:]:
        layers += [nnx.ReLU(), nnx.Dense(units)]
    return nnx.Network([*layers, nnx.Sigmoid()], device="gpu", seed=0, precision=precision)


def pixels():
    return np.random.default_rng(0).integers(0, 256, (ROWS, WIDTHS[0]), dtype=np.uint8)


@pytest.fixture(scope="module", params=["bytes", "floats"])
def given(request):
    """The data of a run, and their size as they are stored."""
    if request.param == "bytes":
        return nnx.Rows(pixels(), divisor=255), pixels().nbytes
    return (pixels() / 255).astype(np.float32), 4 * pixels().size


def trained(x, graph, precision="float32"):
    """The log of three epochs of four steps, and where each step and epoch ends in it."""
    network = deep_autoencoder(precision)
    with cupy.recorded() as log:
        marks = Marks(log)
        history = network.fit(
            x, x, loss=nnx.BinaryCrossEntropy(), optimizer=nnx.Adam(1e-3), batch_size=BATCH, epochs=3,
            callbacks=[marks], graph=graph,
        )  # fmt: skip
    assert history.replayed == (3 * STEPS - 2 if graph else 0)
    assert len(marks.steps) == 3 * STEPS
    return log, marks


@pytest.fixture(scope="module")
def launched(given):
    return trained(given[0], False)


@pytest.fixture(scope="module")
def replayed(given):
    return trained(given[0], "auto")


def within_epochs(marks, begun):
    """Where each step after the first ones begins and ends in the log, if no epoch ends in between."""
    for first, last in zip(marks.steps[begun - 1 :], marks.steps[begun:], strict=False):
        if not any(first <= end < last for end in marks.epochs):
            yield first, last


def test_a_step_launches_kernels_and_does_nothing_else(launched):
    log, marks = launched
    for first, last in within_epochs(marks, 1):
        assert {event.kind for event in log[first:last]} == {"launch"}
        assert last - first == LAUNCHES


def test_a_replayed_step_is_one_launch_of_the_host(replayed):
    log, marks = replayed
    for first, last in within_epochs(marks, 3):  # two are launched, and the third is compared
        assert [event.kind for event in log[first:last]] == ["graph", *["node"] * LAUNCHES]


@pytest.mark.parametrize("graph", [False, "auto"])
def test_launches_in_bfloat16(graph):
    log, marks = trained(nnx.Rows(pixels(), divisor=255), graph, "bfloat16")
    expected = ["graph", *["node"] * (LAUNCHES + ROUNDING)] if graph else ["launch"] * (LAUNCHES + ROUNDING)
    for first, last in within_epochs(marks, 3):
        assert [event.kind for event in log[first:last]] == expected


def test_an_epoch_reads_its_losses_once_and_uploads_one_array(launched, replayed):
    for log, marks in (launched, replayed):
        for first, last in zip(marks.epochs, marks.epochs[1:], strict=False):
            epoch = [event for event in log[first:last] if event.kind not in ("launch", "graph", "node")]
            moved = [(event.kind, event.size) for event in epoch if event.kind in ("h2d", "d2h")]
            # up: the tables; down: the flag of a fault, and the loss of each step
            assert moved == [("h2d", TABLES), ("d2h", 8), ("d2h", 4 * STEPS)]
            assert sum(event.kind == "wait" for event in epoch) == 2
            assert sum(event.kind == "alloc" for event in epoch) == 0


def test_the_data_is_uploaded_once_as_it_is_stored(given, launched):
    log, _ = launched
    assert [event.size for event in log if event.kind == "h2d"] == [given[1], *[TABLES] * 3]


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


def test_sums_whose_rows_no_blocks_share_need_no_memory(monkeypatch):
    backend, x, out = nnx.resolve("gpu"), cupy.ones((900, 3, 5), "float32"), cupy.empty((900, 5), "float32")
    monkeypatch.setattr(backend, "_local", type(backend._local)())
    with cupy.recorded() as log:
        backend.axis_sums(x, out)
    assert sum(event.size for event in log if event.kind == "alloc") <= 1024
    np.testing.assert_array_equal(out.get(), 3.0)
