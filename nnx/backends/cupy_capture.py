"""Record launches as a CUDA graph with CuPy, and refuse everything that a graph would not repeat."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any

import cupy

from nnx.backends.base import CaptureError
from nnx.backends.cublas import Cublas


class Captured:
    """What a function launches, as a CUDA graph.

    The function runs on a new stream that is captured: kernels are recorded, not run. Memory must not
    be allocated there: CuPy would give the same memory to other arrays afterwards, and the graph would
    overwrite them. The graph's products have their own workspace, because graphs of two networks may run
    at the same time.

    Parameters
    ----------
    hold : context manager
        Makes the device current.
    blas : Cublas
    launch : callable

    Raises
    ------
    CaptureError
        If the function does something else than launch kernels.
    """

    def __init__(self, hold: AbstractContextManager[Any], blas: Cublas, launch: Callable[[], None]) -> None:
        self._hold = hold
        self._workspace = blas.workspace()
        self._stream = cupy.cuda.Stream(non_blocking=True)
        with self._stream:
            blas.prepare(self._workspace)
            try:
                self._graph = self._recorded(launch)
            finally:
                blas.release()

    def _recorded(self, launch: Callable[[], None]) -> Any:
        self._stream.begin_capture()
        try:
            with cupy.cuda.using_allocator(_refuse):
                launch()
        except Exception as error:
            with suppress(Exception):  # the capture failed, and ends with an error too
                self._stream.end_capture()
            text = " ".join(str(error).split())[:160]
            raise CaptureError(text or type(error).__name__) from error
        return self._stream.end_capture()

    def launch(self) -> None:
        """Run everything again, with the contents that memory then has."""
        with self._hold:
            self._graph.launch()


def _refuse(size: int) -> Any:
    raise CaptureError(f"a step allocates memory ({size} bytes)")
