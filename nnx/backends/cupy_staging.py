"""Batches on their way to the GPU: from pinned memory, while the host goes on."""

from __future__ import annotations

from typing import Any

import cupy
import cupyx

from nnx.backends.staging import Staging


class PinnedStaging(Staging):
    """A host array in pinned memory, from which the GPU copies by itself, in the order of its queue."""

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.host = cupyx.empty_pinned(shape, dtype)
        self._device = cupy.empty(shape, dtype=dtype)
        self._sent = cupy.cuda.Event(disable_timing=True)

    def send(self, rows: int) -> Any:
        """Queue the copy; the queue's order keeps it from what an earlier step still reads."""
        array = self._device[:rows]
        stream = cupy.cuda.get_current_stream()
        array.set(self.host[:rows], stream=stream)
        self._sent.record(stream)
        return array

    def wait(self) -> None:
        """Until the copy is done; called by the thread that reads ahead, never by the one that trains."""
        self._sent.synchronize()
