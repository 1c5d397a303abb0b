"""Copy batches to the GPU from pinned memory, while the host continues."""

from __future__ import annotations

from typing import Any

import cupy
import cupyx

from nnx.backends.staging import Staging


class PinnedStaging(Staging):
    """A host array in pinned memory; the GPU copies from it itself, in the order of its queue."""

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.host = cupyx.empty_pinned(shape, dtype)
        self._device = cupy.empty(shape, dtype=dtype)
        self._sent = cupy.cuda.Event(disable_timing=True)

    def send(self, rows: int) -> Any:
        """Queue the copy; it starts after the earlier steps in the queue have read the previous batch."""
        array = self._device[:rows]
        stream = cupy.cuda.get_current_stream()
        array.set(self.host[:rows], stream=stream)
        self._sent.record(stream)
        return array

    def wait(self) -> None:
        """Wait until the copy is done; called by the thread that reads ahead, not by the training thread."""
        self._sent.synchronize()
