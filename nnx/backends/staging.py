"""Where a batch that is read on the host waits for its device."""

from __future__ import annotations

from typing import Any

import numpy


class Staging:
    """A host array, and what it becomes on the device; here, on the CPU, they are one.

    Attributes
    ----------
    host : numpy.ndarray
        To be written into, by any thread, after `wait`.
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.host: numpy.ndarray[Any, Any] = numpy.empty(shape, dtype)

    def send(self, rows: int) -> Any:
        """The first rows on the device: they are valid there until the next `send`."""
        return self.host[:rows]

    def wait(self) -> None:
        """Until what was sent has left `host`."""
