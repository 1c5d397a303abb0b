"""Arrays for intermediate results are used again, and no two uses share one."""

from __future__ import annotations

import threading

import numpy as np

from nnx.backends.numpy_backend import NumpyBackend


def test_an_intermediate_array_is_used_again_but_not_for_another_slot() -> None:
    backend = NumpyBackend()
    first = backend._scratch((3, 4), np.float32)
    assert backend._scratch((3, 4), np.float32) is first
    for other in (
        backend._scratch((3, 4), np.float32, 1),
        backend._scratch((3, 4), np.float64),
        backend._scratch((4, 3), np.float32),
    ):
        assert not np.shares_memory(first, other)


def test_each_thread_has_its_own_intermediate_arrays() -> None:
    backend = NumpyBackend()
    found: list[np.ndarray] = []
    thread = threading.Thread(target=lambda: found.append(backend._scratch((3, 4), np.float32)))
    thread.start()
    thread.join()
    assert not np.shares_memory(found[0], backend._scratch((3, 4), np.float32))


def test_ever_new_shapes_do_not_fill_memory() -> None:
    backend = NumpyBackend()
    for rows in range(1000):
        backend._scratch((rows, 2), np.float32)
    assert len(backend._local.views) < 300
