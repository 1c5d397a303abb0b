"""A device: its arrays, memory, threads, and how the host waits for it. What it computes is in `nnx.ops`."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy

from nnx.backends import foreign, host_memory, threads
from nnx.backends.staging import Staging
from nnx.errors import DeviceError
from nnx.ops.activations import Activations
from nnx.ops.base import Array
from nnx.ops.dense import Dense
from nnx.ops.dropout import Dropout
from nnx.ops.gather import Gather
from nnx.ops.gradients import Gradients
from nnx.ops.losses import Losses
from nnx.ops.normalization import Normalization
from nnx.ops.updates import Updates

NOTHING = nullcontext()


class Backend(Gather, Dense, Activations, Dropout, Normalization, Losses, Updates, Gradients):
    """A device and the operations on its arrays.

    This class computes plainly with NumPy. It is the oracle of the tests; a subclass replaces an operation
    only where a benchmark shows that it pays.

    Attributes
    ----------
    name : str
        ``"numpy"``, ``"cupy"``, …
    device : str
        What the work really ran on, as results record it: ``"cpu"``, ``"gpu:0"``.
    xp : module
        The array namespace, used in the subset that NumPy and CuPy share.
    tf32 : bool
        True where float32 products are rounded to TF32: on a GPU, if asked for.
    synchronous : bool
        True where an operation has finished when it returns, so reading a value costs nothing.
    threads : int
        How many threads of its own divide the work.
    """

    name = "base"
    device = "cpu"
    xp: Any = numpy
    tf32 = False
    synchronous = True
    threads = 1

    def asarray(self, x: Any, dtype: Any = None) -> Array:
        """Host data of any library (or an array of this device) as a C-contiguous array of this device.

        Raises
        ------
        DataError
            If `x` has no form in NumPy.
        DeviceError
            If `x` is an array of another device: move it with ``to_numpy`` of its own backend first.
        """
        if foreign.on_gpu(x):
            raise DeviceError(
                f"an array on a GPU was given to the {self.name} backend: bring it to the host first "
                "(cupy.asnumpy(x)), or build the network with device='gpu'"
            )
        return numpy.ascontiguousarray(foreign.as_numpy(x), dtype=dtype)

    def to_numpy(self, x: Array) -> numpy.ndarray[Any, Any]:
        """`x` as a NumPy array on the host (not a copy where it already is one)."""
        return numpy.asarray(x)

    def owns(self, x: Any) -> bool:
        """Whether `x` is an array this backend computes with."""
        return isinstance(x, numpy.ndarray)

    def empty(self, shape: int | tuple[int, ...], dtype: Any) -> Array:
        """An array with arbitrary contents."""
        return self.xp.empty(shape, dtype=dtype)

    def zeros(self, shape: int | tuple[int, ...], dtype: Any) -> Array:
        """An array of zeros."""
        return self.xp.zeros(shape, dtype=dtype)

    def holds(self, nbytes: int, in_memory: bool) -> bool:
        """Whether so many bytes of data are to lie on the device while it trains; else they are streamed.

        `in_memory` tells whether they lie in the host's memory, which for the CPU decides it.
        """
        return in_memory

    def staging(self, shape: tuple[int, ...], dtype: Any) -> Staging:
        """Room for batches that are read on the host while the device computes."""
        return Staging(shape, dtype)

    def hold(self) -> AbstractContextManager[Any]:
        """A context for work on arrays outside operations: it lands on this device (a GPU is made current).

        Operations do so by themselves. The context may be kept, entered again, and from any thread.
        """
        return NOTHING

    def quiet(self) -> AbstractContextManager[Any]:
        """A context in which arithmetic on values that are not finite raises no warning."""
        return NOTHING

    def synchronize(self) -> None:
        """Wait until everything queued on the device is done."""

    def small_loop(self) -> Any:
        """The module of a compiled training loop for small networks (`small_network_numba`), or None."""
        return None

    def reserve(self, nbytes: int, what: str, remedy: str) -> AbstractContextManager[None]:
        """A context for code that needs so much memory; `OutOfMemoryError` where the host has less."""
        return host_memory.reserve(nbytes, what, remedy)

    def blas_threads(self) -> int:
        """How many threads of NumPy's BLAS a step's products run on; 0 where they do not run on it."""
        return threads.of_blas()

    def memory(self) -> dict[str, int]:
        """Bytes in use and reserved on the device; empty where the host's own memory is the device."""
        return {}
