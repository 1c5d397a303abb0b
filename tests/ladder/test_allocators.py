"""Memory comes from the caller's allocator, also if it has taken the whole device, as RMM's can."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import nnx

pytestmark = pytest.mark.standin
cupy = pytest.importorskip("cupy", reason="needs CuPy's wheel: nox -s ladder")

X = np.random.default_rng(0).integers(0, 256, (2000, 64), dtype=np.uint8)


class InAdvance:
    """As RMM's pool: it takes most of a device at once; its error is Python's MemoryError, not CuPy's."""

    def __init__(self, size):
        self.pool, self.size, self.given = cupy.cuda.MemoryPool(), size, []
        self.pool.malloc(size)  # and stays reserved

    def __call__(self, size):
        if self.pool.used_bytes() + size > self.size:
            raise MemoryError("std::bad_alloc: out_of_memory: RMM failure")
        self.given.append(size)
        return self.pool.malloc(size)


@pytest.fixture
def rmm(monkeypatch):
    """A device with 64 MiB, of which the caller's allocator has taken all that is free."""
    gc.collect()
    cupy.get_default_memory_pool().free_all_blocks()
    free, every = cupy.cuda.runtime.memGetInfo()
    monkeypatch.setattr(cupy.machine, "memory", every - free + (64 << 20))
    taken = InAdvance(64 << 20)
    monkeypatch.setattr(cupy.machine, "allocator", taken)
    assert cupy.cuda.runtime.memGetInfo()[0] == 0
    return taken


def fit(x):
    network = nnx.Network([nnx.Dense(64, 16), nnx.ReLU(), nnx.Dense(64)], device="gpu", seed=0)
    with cupy.recorded() as log:
        network.fit(x, x, loss=nnx.MeanSquaredError(), optimizer=nnx.Adam(), batch_size=50, epochs=2)
    return network, log


def test_all_memory_comes_from_it_and_data_that_fit_are_uploaded_once(rmm):
    default = cupy.get_default_memory_pool().used_bytes()
    rows = nnx.Rows(X, divisor=255)
    network, log = fit(rows)
    uploads = [event.size for event in log if event.kind == "h2d" and event.size > 10_000]
    assert uploads[0] == X.nbytes
    orders = uploads[1:]  # of each epoch, with what else changes from step to step
    assert len(orders) == 2
    assert all(8 * len(X) <= size < 8 * len(X) + 4096 for size in orders)
    predicted = network.predict(cupy.asarray(X[:500]))
    assert cupy.get_default_memory_pool().used_bytes() <= default  # earlier tests left buffers that may grow
    assert rmm.pool.used_bytes() >= network.arena.values.nbytes + predicted.nbytes
    assert len(rmm.given) >= log.count("alloc")
    cupy.machine.allocator, cupy.machine.memory = None, 8 << 30
    np.testing.assert_array_equal(fit(rows)[0].weights()["dense_1.W"], network.weights()["dense_1.W"])


def test_data_that_it_has_no_room_for_are_streamed(rmm):
    rmm.size = rmm.pool.used_bytes() + X.nbytes * 7 // 4
    _, log = fit(nnx.Rows(X, divisor=255))
    assert max(event.size for event in log if event.kind == "h2d") < X.nbytes


def test_an_allocator_of_a_thread_is_used_inside(rmm):
    own = cupy.cuda.MemoryPool()
    given = len(rmm.given)
    rmm.pool.free_all_blocks()
    with cupy.cuda.using_allocator(own.malloc):
        network = nnx.Network([nnx.Dense(64, 16)], device="gpu", seed=0)
    assert own.used_bytes() >= network.arena.values.nbytes
    assert len(rmm.given) == given


def test_out_of_memory_is_said_in_one_line(rmm):
    rmm.size = rmm.pool.used_bytes() + 100
    with pytest.raises(nnx.DeviceError, match="gpu:0 is out of memory") as caught:
        nnx.Network([nnx.Dense(64, 16)], device="gpu", seed=0)
    assert "\n" not in str(caught.value)
