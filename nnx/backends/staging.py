"""Memory in which a batch that was read on the host waits for its device."""

from __future__ import annotations

from typing import Any

import numpy


class Staging:
    """A host array and its copy on the device; here, on the CPU, both are the same array.

    Attributes
    ----------
    host : numpy.ndarray
        The host array. Any thread may write into it after `wait`.
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.host: numpy.ndarray[Any, Any] = numpy.empty(shape, dtype)

    def send(self, rows: int) -> Any:
        """Return the first `rows` rows on the device; they are valid until the next `send`."""
        return self.host[:rows]

    def wait(self) -> None:
        """Wait until the rows that were sent have been copied from `host`."""
