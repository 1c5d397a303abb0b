"""The GPU with CuPy: cuBLAS computes products, and one kernel does everything around each product.

A training step of L `Dense` layers, each with an activation whose derivative follows from y, launches:

- 1 gather;
- forward L products, with bias and ReLU (cuBLASLt; for other activations L kernels more);
- 1 kernel for the loss;
- backward L kernels (the activation's gradient and db), L products for dW and L − 1 products for dx;
- 1 kernel that looks for values that are not finite, and 1 for the optimizer.

That is 4 L + 3, or 35 for an autoencoder of eight layers. In bfloat16, L more round factors: see
`nnx.layers.factors`. (cuBLAS may split a product into several kernels.)
None of them reads or writes host memory, waits, or allocates an array: outputs belong to the plan, and the
sums of a loss lie in a buffer that is reused. Operations that run in their plain form (your own losses)
do allocate temporary arrays. After the first step, CuPy's memory pool provides them without a call
to the driver.

What changes between steps is read from the device's memory, so a step can be recorded as a CUDA graph and
replayed: see `nnx.training.replay`.

**The device.** CuPy launches on the calling thread's current device, wherever the arrays are. Therefore each
operation makes its device current (``with self._hold``) and restores the previous one afterwards. This
neither waits nor launches anything. `hold` does the same for code that works on arrays outside operations.

**float32 products** have full precision: cuBLAS uses TF32 only if ``CUPY_TF32=1`` is in the environment
before the first product (``--tf32`` sets it).
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from weakref import WeakKeyDictionary

import cupy
import numpy

from nnx.backends import cupy_devices as devices
from nnx.backends import foreign
from nnx.backends.base import NOTHING, Backend, CaptureError
from nnx.backends.cublas import STREAMS, Cublas, CublasError, current_stream, reads_stack
from nnx.backends.cublaslt import CublasLt
from nnx.backends.cupy_capture import Captured
from nnx.backends.cupy_devices import device_count
from nnx.backends.cupy_errors import GpuError, no_device
from nnx.backends.cupy_staging import PinnedStaging
from nnx.backends.staging import Staging
from nnx.errors import DeviceError
from nnx.ops.activations import ActivationsCuPy
from nnx.ops.averages import AveragesCuPy
from nnx.ops.base import Array
from nnx.ops.bfloat16 import Bfloat16CuPy
from nnx.ops.convolution_cuda import ConvolutionCuPy
from nnx.ops.curvature import CurvatureCuPy
from nnx.ops.dropout import DropoutCuPy
from nnx.ops.embedding import EmbeddingCuPy
from nnx.ops.gather import GatherCuPy
from nnx.ops.global_average import GlobalAverageCuPy
from nnx.ops.gradients import GradientsCuPy
from nnx.ops.losses_cuda import LossesCuPy
from nnx.ops.noise import NoiseCuPy
from nnx.ops.normalization import NormalizationCuPy
from nnx.ops.pooling import PoolingCuPy
from nnx.ops.prelu import PReLUCuPy
from nnx.ops.reductions import ReductionsCuPy
from nnx.ops.sparsity import SparsityCuPy
from nnx.ops.steps import StepsCuPy
from nnx.ops.updates import UpdatesCuPy
from nnx.ops.upsampling import UpsamplingCuPy

__all__ = ["CupyBackend", "device_count"]

OF_EACH_THREAD = 2  # cudaStreamPerThread: one address for all threads, but each has its own stream


class CupyBackend(
    GatherCuPy, Bfloat16CuPy, ConvolutionCuPy, PoolingCuPy, GlobalAverageCuPy, UpsamplingCuPy,
    ActivationsCuPy, PReLUCuPy, DropoutCuPy, EmbeddingCuPy, NormalizationCuPy, LossesCuPy, UpdatesCuPy,
    GradientsCuPy, NoiseCuPy, CurvatureCuPy, AveragesCuPy, StepsCuPy, ReductionsCuPy, SparsityCuPy, Backend,
):  # fmt: skip
    """An NVIDIA GPU.

    Parameters
    ----------
    index : int
        The number of the device among those that CUDA may use.

    Raises
    ------
    DeviceError
        If the device does not exist or cannot compute: a product and a kernel are tried immediately.
    """

    name = "cupy"
    xp: Any = cupy
    synchronous = False

    def __init__(self, index: int = 0) -> None:
        count = device_count()
        if not 0 <= index < count:
            raise no_device(index, count)
        self.index = index
        self.device = f"gpu:{index}"
        self._hold = devices.Hold(index)
        self._local = threading.local()
        self._last_stream: WeakKeyDictionary[Any, tuple[int, int]] = WeakKeyDictionary()  # of each arena
        self.blas_fault = ""  # why our own binding of cuBLAS cannot be used
        try:
            with self._hold:  # try memory, the compiler and cuBLAS before they are needed
                x = cupy.full((2, 2), 2.0, dtype="float32")
                works = float(cupy.dot(x, x)[1, 1]) == 8.0
        except DeviceError:
            raise
        except Exception as error:
            raise devices.explained(error, self.device) from error
        self.tf32 = devices.tf32(index)
        if not works:
            raise GpuError(f"{self.device} computes wrong products", "check nvidia-smi, or choose device cpu")

    def hold(self) -> AbstractContextManager[Any]:
        """Return a context that makes the device current for the calling thread."""
        return self._hold

    def _buffer(self, name: str, size: int, dtype: Any) -> Array:
        """Return memory that one kernel of an operation passes to the next."""
        key, rooms = f"{name} {dtype}", self._rooms()
        if key not in rooms or rooms[key].size < size:
            rooms[key] = cupy.empty(size, dtype=dtype)
        return rooms[key]

    def _counter(self, name: str, size: int = 1) -> Array:
        """Return unsigned integers that are 0 between two kernels."""
        rooms = self._rooms()
        if name not in rooms:
            rooms[name] = cupy.zeros(size, dtype="uint32")
        return rooms[name]

    def _rooms(self) -> dict[str, Array]:
        """Return this thread's buffers for the current stream: two streams may compute at the same time."""
        streams: dict[int, dict[str, Array]] = vars(self._local).setdefault("rooms", {})
        stream = self._stream()
        rooms = streams[stream] = streams.pop(stream, {})  # the newest is the last
        while len(streams) > STREAMS:
            del streams[next(iter(streams))]
        return rooms

    def _stream(self) -> int:
        """Return the address of the current stream; for a recorded step, of the one on which it will run."""
        recorded = getattr(self._local, "recorded", None)
        return current_stream(cupy) if recorded is None else int(recorded)

    def _blas(self) -> Cublas | None:
        """Return the calling thread's handle of cuBLAS; None if only CuPy can use the library."""
        if not hasattr(self._local, "blas"):
            try:
                self._local.blas = Cublas(cupy, self.tf32)
            except CublasError as error:
                self._local.blas, self.blas_fault = None, str(error)
        found: Cublas | None = self._local.blas
        return found

    def _blas_lt(self) -> CublasLt | None:
        """Return the calling thread's cuBLASLt; None if it cannot be used."""
        if not hasattr(self._local, "blas_lt"):
            blas = self._blas()
            try:
                self._local.blas_lt = None if blas is None else CublasLt(blas, cupy, self.tf32)
            except CublasError:
                self._local.blas_lt = None
        found: CublasLt | None = self._local.blas_lt
        return found

    @functools.cached_property
    def _bfloat16_products(self) -> bool:
        """Return whether cuBLAS multiplies bfloat16 numbers: on GPUs since Ampere, by our own binding."""
        with self._hold:
            return devices.major(self.index) >= 8 and self._blas() is not None

    def _product(self, a: Array, b: Array, out: Array) -> Array:
        """Compute out = a b with cuBLAS, by our own binding if it works, else by CuPy's.

        Factors may be the bits of bfloat16 numbers, see `Cublas.product`; only our own binding takes those.
        """
        blas = self._blas()
        if blas is None and a.dtype == out.dtype:
            cupy.dot(a, b, out=out)
        elif blas is None:
            raise GpuError(f"{self.device}: {self.blas_fault}", "use precision='float32'")
        else:
            blas.product(_in_order(a), _in_order(b), out)
        return out

    def _stacked_product(self, a: Array, b: Array, out: Array) -> Array:
        """Compute out[g] = a[g] b[g] with one launch of cuBLAS, as `_product` does."""
        blas = self._blas()
        if blas is None:
            return cupy.matmul(a, b, out=out)
        blas.stacked_product(_stack_in_order(a), _stack_in_order(b), out)
        return out

    def _biased_product(self, a: Array, b: Array, bias: Array, out: Array, kind: str) -> bool:
        """Compute out = f(a b + bias) with one launch of cuBLASLt and return True, or return False."""
        library = self._blas_lt()
        return library is not None and library.product(a, b, bias, out, kind)

    # ------------------------------------------------------------------ arrays

    def asarray(self, x: Any, dtype: Any = None) -> Array:
        """Copy host data to this device, or return an array of this device, of CuPy or with DLPack.

        An array of this device is copied only if it is not C-contiguous, or of another type than `dtype`. If
        it is of another library, the copy is finished when this returns: that memory may be used again.

        Raises
        ------
        DeviceError
            If `x` lies on another device.
        DataError
            If `x` cannot be converted.
        """
        if foreign.on_gpu(x):
            with self._hold:
                owned = x if self.owns(x) else devices.adopted(x, self.device)
                found = cupy.ascontiguousarray(owned, dtype=dtype)
                if found is not owned:
                    self.return_borrowed(x)
                return found
        host = numpy.ascontiguousarray(foreign.as_numpy(x), dtype=dtype)
        with self._hold:
            return cupy.asarray(host)

    def to_numpy(self, x: Array) -> numpy.ndarray[Any, Any]:
        """Copy `x` to the host, after waiting for the work that computes it."""
        with self._hold:
            return numpy.asarray(cupy.asnumpy(x))

    def owns(self, x: Any) -> bool:
        """Return whether `x` is a CuPy array on this device."""
        return isinstance(x, cupy.ndarray) and x.device.id == self.index

    def empty(self, shape: int | tuple[int, ...], dtype: Any) -> Array:
        """See `Backend.empty`."""
        with self._hold:
            return cupy.empty(shape, dtype=dtype)

    def zeros(self, shape: int | tuple[int, ...], dtype: Any) -> Array:
        """See `Backend.zeros`."""
        with self._hold:
            return cupy.zeros(shape, dtype=dtype)

    def upload(self, x: Array, host: numpy.ndarray[Any, Any]) -> None:
        """Overwrite an array of this device with a NumPy array of the same shape and type."""
        with self._hold:
            x.set(host)

    def holds(self, nbytes: int, in_memory: bool) -> bool:
        """Return whether the data take at most half of the free memory; a step's own arrays need the rest."""
        with self._hold:
            return devices.has(2 * nbytes)

    def staging(self, shape: tuple[int, ...], dtype: Any) -> Staging:
        """Return pinned memory."""
        with self._hold:
            return PinnedStaging(shape, dtype)

    def reserve(self, nbytes: int, what: str, remedy: str) -> AbstractContextManager[None]:
        """Return a context that does nothing: CuPy's own error says how much memory was requested."""
        return NOTHING

    def capture(self, launch: Callable[[], None]) -> Captured:
        """See `Backend.capture`."""
        with self._hold:
            blas = self._blas()
            if blas is None:
                raise CaptureError(self.blas_fault)
            self._local.recorded = current_stream(cupy)
            try:
                return Captured(self._hold, blas, launch)
            finally:
                del self._local.recorded

    def buffers(self) -> list[Array]:
        """See `Backend.buffers`."""
        with self._hold:  # each device has a current stream
            return list(self._rooms().values())

    def synchronize(self) -> None:
        """Wait until all work queued on the device is done."""
        with self._hold:
            cupy.cuda.Device(self.index).synchronize()

    def in_order(self, arena: Any) -> None:
        """See `Backend.in_order`."""
        with self._hold:  # each device has a current stream
            address = self._stream()
        stream = address, threading.get_ident() if address == OF_EACH_THREAD else 0
        if self._last_stream.setdefault(arena, stream) != stream:
            self.synchronize()
            self._last_stream[arena] = stream

    def return_borrowed(self, x: Any) -> None:
        """See `Backend.return_borrowed`: CuPy gives memory back to the stream that has read it."""
        if foreign.on_gpu(x) and not isinstance(x, cupy.ndarray):
            with self._hold:
                read = cupy.cuda.Event(disable_timing=True)
                read.record()
                read.synchronize()

    def blas_threads(self) -> int:
        """See `Backend.blas_threads`: products run on the GPU."""
        return 0

    def blas_name(self, bfloat16: bool = False) -> str:
        """See `Backend.blas_name`."""
        return "cuBLAS"

    def memory(self) -> dict[str, int]:
        """Return bytes: used and reserved by CuPy's pool, free, and in total on the device."""
        with self._hold:
            return devices.memory()

    def hardware(self) -> dict[str, Any]:
        """Return the GPU's name, compute capability and memory in bytes."""
        return devices.hardware(self.index)

    def versions(self) -> dict[str, str]:
        """Return the versions of CuPy and CUDA, and the newest CUDA that the driver supports."""
        return devices.versions()

    def describe(self) -> str:
        """Return the names and versions of the GPU and its software, in one line."""
        return devices.describe(self.index)


def _in_order(factor: Array) -> Array:
    """Return a factor as cuBLAS can read it: a copy if neither its rows nor its columns are contiguous."""
    contiguous = factor.flags.c_contiguous or factor.flags.f_contiguous
    return factor if contiguous else cupy.ascontiguousarray(factor)


def _stack_in_order(stack: Array) -> Array:
    """Return a stack of matrices as cuBLAS can read it, likewise."""
    return stack if reads_stack(stack) else cupy.ascontiguousarray(stack)
