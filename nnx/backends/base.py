"""A device: its arrays, memory and threads, and how the host waits for it. `nnx.ops` has its operations."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy

from nnx.backends import foreign, host_memory, threads
from nnx.backends.staging import Staging
from nnx.errors import DeviceError
from nnx.ops.activations import Activations
from nnx.ops.averages import Averages
from nnx.ops.base import Array
from nnx.ops.bfloat16 import Bfloat16
from nnx.ops.convolution import Convolution
from nnx.ops.curvature import Curvature
from nnx.ops.dense import Dense
from nnx.ops.dropout import Dropout
from nnx.ops.embedding import Embedding
from nnx.ops.gather import Gather
from nnx.ops.global_average import GlobalAverage
from nnx.ops.gradients import Gradients
from nnx.ops.losses import Losses
from nnx.ops.noise import Noise
from nnx.ops.normalization import Normalization
from nnx.ops.pooling import Pooling
from nnx.ops.prelu import PReLU
from nnx.ops.reductions import Reductions
from nnx.ops.row_updates import RowUpdates
from nnx.ops.sparse import Sparse
from nnx.ops.sparsity import Sparsity
from nnx.ops.steps import Steps
from nnx.ops.updates import Updates
from nnx.ops.upsampling import Upsampling

NOTHING = nullcontext()


class CaptureError(RuntimeError):
    """Work that cannot be recorded as a CUDA graph."""


class Backend(
    Gather, Dense, Sparse, Convolution, Pooling, GlobalAverage, Upsampling, Bfloat16, Activations, PReLU,
    Dropout, Embedding, Curvature, Noise, Normalization, Losses, RowUpdates, Updates, Averages, Gradients,
    Steps, Reductions, Sparsity,
):  # fmt: skip
    """A device and the operations on its arrays.

    This class computes the plain forms with NumPy. It is the oracle of the tests. A subclass replaces an
    operation only if a benchmark shows that this is faster.

    Attributes
    ----------
    name : str
        ``"numpy"``, ``"cupy"``, …
    device : str
        The device that is used, as recorded in results: ``"cpu"``, ``"gpu:0"``.
    xp : module
        The array library, NumPy or CuPy; operations use only functions that both have.
    tf32 : bool
        True if float32 products are rounded to TF32: on a GPU, if the user asked for it.
    synchronous : bool
        True if operations have finished when they return, so that reading a value costs nothing.
    threads : int
        Number of the backend's own threads that share the work.
    """

    name = "base"
    device = "cpu"
    xp: Any = numpy
    tf32 = False
    synchronous = True
    threads = 1

    def asarray(self, x: Any, dtype: Any = None) -> Array:
        """Convert host data of any library, or an array on this device, to a C-contiguous array here.

        Raises
        ------
        DataError
            If `x` cannot be converted to NumPy.
        DeviceError
            If `x` is an array on another device.
        """
        if foreign.on_gpu(x):
            raise DeviceError(foreign.elsewhere(x, "x", self.device))
        return numpy.ascontiguousarray(foreign.as_numpy(x), dtype=dtype)

    def to_numpy(self, x: Array) -> numpy.ndarray[Any, Any]:
        """Return `x` as a NumPy array on the host (not a copy if it already is one)."""
        return numpy.asarray(x)

    def owns(self, x: Any) -> bool:
        """Return whether `x` is an array of this backend; a masked array is none: kernels ignore masks."""
        return isinstance(x, numpy.ndarray) and not isinstance(x, numpy.ma.MaskedArray)

    def empty(self, shape: int | tuple[int, ...], dtype: Any) -> Array:
        """Return an array with arbitrary contents."""
        return self.xp.empty(shape, dtype=dtype)

    def zeros(self, shape: int | tuple[int, ...], dtype: Any) -> Array:
        """Return an array of zeros."""
        return self.xp.zeros(shape, dtype=dtype)

    def upload(self, x: Array, host: numpy.ndarray[Any, Any]) -> None:
        """Overwrite an array of the backend with a NumPy array of the same shape and type."""
        x[...] = host

    def holds(self, nbytes: int, in_memory: bool) -> bool:
        """Return whether data of `nbytes` should lie on the device during training; else they are streamed.

        `in_memory` says whether the data lie in the host's memory. On the CPU, this alone decides.
        """
        return in_memory

    def staging(self, shape: tuple[int, ...], dtype: Any) -> Staging:
        """Return memory for batches that are read on the host while the device computes."""
        return Staging(shape, dtype)

    def __deepcopy__(self, memo: dict[int, Any]) -> Backend:
        """Return this object: a copy of what uses a device uses the same device."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what to call for a pickle: `resolve` with the device's name."""
        from nnx.backends import resolve

        # "cpu" instead of the name "numba": the machine that unpickles it may have no Numba
        return resolve, ("numpy" if self.name == "numpy" else self.device,)

    def hold(self) -> AbstractContextManager[Any]:
        """Return a context for work on arrays outside operations; it makes this device current.

        Operations do this themselves. The context can be stored, and entered repeatedly, from any thread.
        """
        return NOTHING

    def quiet(self) -> AbstractContextManager[Any]:
        """Return a context in which arithmetic on values that are not finite raises no warning."""
        return NOTHING

    def within_quota(self) -> AbstractContextManager[Any]:
        """Return a context for passes outside of training, in which NumPy's BLAS follows a quota."""
        return NOTHING

    def synchronize(self) -> None:
        """Wait until all work queued on the device is done."""

    def in_order(self, arena: Any) -> None:
        """Wait for the device if the last work on an arena was on another stream than the current one.

        A network's passes share memory, so they must not run at the same time on several streams.
        """

    def return_borrowed(self, x: Any) -> None:
        """Wait until queued work has read `x`, if `x` is an array of another library on a GPU.

        That library may use the memory again as soon as nobody holds `x`, even before the GPU has read it.
        """

    def capture(self, launch: Callable[[], None]) -> Any:
        """Record what a function launches on a GPU, without running it.

        Returns
        -------
        object
            Its method `launch` runs all of it again, with the same arguments, on CuPy's current stream.

        Raises
        ------
        CaptureError
            If the function does something else than launch kernels, or this device has no graphs.
        """
        raise CaptureError("a CPU has no CUDA graphs")

    def buffers(self) -> list[Array]:
        """Return the arrays that kernels of an operation pass to each other on this thread and stream."""
        return []

    def small_loop(self) -> Any:
        """Return the module with the compiled loop for small networks (`small_network_numba`), or None."""
        return None

    @property
    def bfloat16_pays(self) -> bool:
        """Return whether bfloat16 factors make products faster; ``precision="auto"`` then takes them."""
        return False

    def bfloat16_fault(self) -> str:
        """Return why networks with bfloat16 factors are refused here, and what to do; empty if they work."""
        return ""

    def reserve(self, nbytes: int, what: str, remedy: str) -> AbstractContextManager[None]:
        """Return a context for code that needs `nbytes`; raises `OutOfMemoryError` if the host has less."""
        return host_memory.reserve(nbytes, what, remedy)

    def blas_threads(self) -> int:
        """Return the number of threads of NumPy's BLAS that a step uses; 0 if it does not use that BLAS."""
        return threads.of_blas()

    def blas_name(self, bfloat16: bool = False) -> str:
        """Return the BLAS that computes products: ``"MKL 2026.2"``, ``"OpenBLAS 0.3.31 (SkylakeX)"``.

        `bfloat16` says that the network has bfloat16 factors, which a second library may multiply.
        """
        return threads.name_of_blas()

    def team(self) -> tuple[int, str]:
        """Return how many threads compute a step on the CPU, and in words why so many."""
        if count := self.blas_threads():
            return count, threads.source(count, threads.variables_of_blas())
        return self.threads, threads.source(self.threads, threads.OF_KERNELS)

    def memory(self) -> dict[str, int]:
        """Return the bytes in use and reserved on the device; empty on the CPU."""
        return {}
