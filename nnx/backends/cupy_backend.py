"""The GPU by CuPy: cuBLAS for products, one kernel for everything around them.

A training step of a network whose `Dense` layers have activations written in y launches, for L of them:
1 gather; forward L products and L kernels (bias and activation); 2 for the loss; backward L kernels (the
activation's gradient and db), L products for dW and L − 1 for dx; 1 to look for faults; 1 for the optimizer.
That is 5 L + 4, or 44 for an autoencoder of eight layers. None of them reads or writes host memory, waits, or
allocates an array: outputs are the plan's, and the row sums of a loss lie in a buffer that is kept. (cuBLAS
may split a product into more than one kernel.) Operations that are not overridden (normalization, weighted
losses) do allocate temporaries; CuPy's memory pool serves them without a call to the driver once it has seen
a step.

**The device.** CuPy launches on the calling thread's current device, wherever the arrays are. Each operation
therefore makes its own device current, which neither waits nor launches anything, and puts the previous one
back; `hold` does the same for code that works on arrays outside operations.

**float32 products** keep full precision: cuBLAS uses TF32 only where ``CUPY_TF32=1`` is in the environment
before the first product (``--tf32`` puts it there).
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import cupy
import numpy

from nnx.backends import cupy_devices as devices
from nnx.backends import cupy_kernels as kernels
from nnx.backends import foreign
from nnx.backends.base import NOTHING, Backend
from nnx.backends.cupy_devices import device_count
from nnx.backends.cupy_errors import GpuError, no_device
from nnx.backends.cupy_staging import PinnedStaging
from nnx.backends.staging import Staging
from nnx.errors import DeviceError
from nnx.ops.base import Array

__all__ = ["CupyBackend", "device_count"]

THREADS = 256  # of a block of the row kernels, which hold as many numbers in shared memory


def _held(operation: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(operation)
    def held(self: CupyBackend, *args: Any, **kwargs: Any) -> Any:
        with self._hold:
            return operation(self, *args, **kwargs)

    return held


class CupyBackend(Backend):
    """An NVIDIA GPU.

    Parameters
    ----------
    index : int
        As CUDA counts the devices it may see.

    Raises
    ------
    DeviceError
        If the device does not exist or cannot compute: a product and a kernel are tried at once.
    """

    name = "cupy"
    xp: Any = cupy
    immediate = False

    def __init__(self, index: int = 0) -> None:
        count = device_count()
        if not 0 <= index < count:
            raise no_device(index, count)
        self.index = index
        self.device = f"gpu:{index}"
        self._hold = devices.Hold(index)
        self._local = threading.local()
        try:
            with self._hold:  # memory, the compiler and cuBLAS, before anybody relies on them
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
        """The device made current for the calling thread."""
        return self._hold

    def _scratch(self, name: str, size: int, dtype: Any) -> Array:
        """Room between two kernels of one operation, kept for each thread."""
        key = f"{name} {dtype}"
        room = getattr(self._local, key, None)
        if room is None or room.size < size:
            room = cupy.empty(size, dtype=dtype)
            setattr(self._local, key, room)
        return room

    # ------------------------------------------------------------------ arrays

    def asarray(self, x: Any, dtype: Any = None) -> Array:
        """Host data uploaded, converted on the host before; an array of this device as it is.

        Raises
        ------
        DeviceError
            If `x` lies on another device, or belongs to another GPU library.
        """
        if isinstance(x, cupy.ndarray):
            if x.device.id != self.index:
                raise DeviceError(
                    f"an array of gpu:{x.device.id} was given to {self.device}: bring it to the host first "
                    "(cupy.asnumpy(x)), or move the network there (network.to(...))"
                )
            return cupy.ascontiguousarray(x, dtype=dtype)
        if foreign.on_gpu(x):
            raise DeviceError(
                f"a {type(x).__module__.partition('.')[0]} array on a GPU was given to {self.device}: make "
                "it CuPy's first (cupy.from_dlpack(x)), or bring it to the host"
            )
        return cupy.asarray(numpy.ascontiguousarray(foreign.as_numpy(x), dtype=dtype))

    def to_numpy(self, x: Array) -> numpy.ndarray[Any, Any]:
        """`x` downloaded; waits for what computes it."""
        return numpy.asarray(cupy.asnumpy(x))

    def owns(self, x: Any) -> bool:
        """Whether `x` is a CuPy array of this device."""
        return isinstance(x, cupy.ndarray) and x.device.id == self.index

    def gather(self, source: Array, indices: Array, out: Array, divisor: float = 1.0) -> Array:
        """One launch."""
        if source.dtype == out.dtype:
            cupy.take(source, indices, axis=0, out=out)
        else:
            kernels.elementwise("gather_bytes")(source, indices[:, None], source.shape[1], divisor, out)
        return out

    def holds(self, nbytes: int, in_memory: bool) -> bool:
        """Up to half of the memory that is free, so that a step's own arrays find room beside them."""
        memory = devices.memory()
        return 2 * nbytes <= memory["device_free"] + memory["pool_total"] - memory["pool_used"]

    def staging(self, shape: tuple[int, ...], dtype: Any) -> Staging:
        """Pinned."""
        return PinnedStaging(shape, dtype)

    def erfc(self, x: Array) -> Array:
        """See `Backend.erfc`."""
        from cupyx.scipy.special import erfc

        return erfc(x)

    def room(self, nbytes: int, what: str, remedy: str) -> AbstractContextManager[None]:
        """Nothing to do before: the GPU's own refusal says how much was asked for."""
        return NOTHING

    def synchronize(self) -> None:
        """Wait until everything queued on the device is done."""
        cupy.cuda.Device(self.index).synchronize()

    def blas_threads(self) -> int:
        """See `Backend.blas_threads`: products run on the GPU."""
        return 0

    def memory(self) -> dict[str, int]:
        """Bytes: used and reserved by CuPy's pool here, free and total on the device."""
        return devices.memory()

    def hardware(self) -> dict[str, Any]:
        """The GPU's name, compute capability and memory in bytes."""
        return devices.hardware(self.index)

    def versions(self) -> dict[str, str]:
        """CuPy's version, CUDA's, and the newest CUDA the driver supports."""
        return devices.versions()

    def describe(self) -> str:
        """The device and the software that drives it, in one line."""
        return devices.describe(self.index)

    # ------------------------------------------------------------------ layers

    def dense_forward(
        self, x: Array, W: Array, b: Array, y: Array, kind: str = "identity", alpha: float = 0.0
    ) -> Array:
        """Two launches: the product goes straight into y; one kernel adds the bias and applies f."""
        cupy.dot(x, W, out=y)  # dot, not matmul: less work on the host for the same cuBLAS call
        if kind == "softmax":
            kernels.elementwise("identity_bias")(y, b, 0.0, y)
            return self.activation_forward(kind, y, y)
        kernels.elementwise(f"{kind}_bias")(y, b, alpha, y)
        return y

    def dense_backward(
        self,
        dy: Array,
        x: Array,
        W: Array,
        dW: Array,
        db: Array,
        dx: Array | None,
        kind: str = "identity",
        alpha: float = 0.0,
        y: Array | None = None,
        dz: Array | None = None,
    ) -> Array:
        """Three launches: a kernel for dz and db, two products; cuBLAS transposes x and W as it reads."""
        if kind == "softmax":
            dy = self.activation_backward(kind, dy, None, y, dz)
            kind = "identity"
        dy = cupy.ascontiguousarray(dy)
        rows, columns = dy.shape
        width = min(32, _power_of_two(columns))
        blocks = min(-(-columns // width), 65535)
        ys, dzs = (dy, dy) if kind == "identity" else (cupy.ascontiguousarray(y), dz)
        kernels.raw(f"{kind}_bias_gradient", dy.dtype.name)(
            (blocks,),
            (width, min(512 // width, _power_of_two(rows))),
            (dy, ys, dzs, db, rows, columns, dy.dtype.type(alpha)),
        )
        cupy.dot(x.T, dzs, out=dW)
        if dx is not None:
            cupy.dot(dzs, W.T, out=dx)
        return dW

    def activation_forward(self, kind: str, x: Array, y: Array, alpha: float = 0.0) -> Array:
        """One launch; none for the identity in place."""
        if kind == "softmax":
            self._rows("softmax", x, (cupy.ascontiguousarray(x), y))
        elif kind != "identity" or x is not y:
            kernels.elementwise(f"{kind}_forward")(x, alpha, y)
        return y

    def activation_backward(
        self, kind: str, dy: Array, x: Array | None, y: Array, dx: Array, alpha: float = 0.0
    ) -> Array:
        """One launch; none for the identity in place."""
        if kind == "softmax":
            self._rows("softmax_backward", y, (cupy.ascontiguousarray(dy), cupy.ascontiguousarray(y), dx))
        elif kind != "identity" or dy is not dx:
            kernels.elementwise(f"{kind}_backward")(dy, y if x is None else x, y, alpha, dx)
        return dx

    def _rows(self, name: str, like: Array, arrays: tuple[Array, ...], *more: Any) -> None:
        """Launch a row kernel: a block for each row, as many threads as the row has use for."""
        rows, columns = like.shape
        threads = min(THREADS, max(32, _power_of_two(columns)))
        kernels.raw(name, like.dtype.name)((min(rows, 65535),), (threads,), (*arrays, rows, columns, *more))

    def dropout(self, x: Array, y: Array, rate: float, key: int, row: int = 0) -> Array:
        """One launch, in 32-bit integers: the mask of `Backend.dropout`, bit for bit."""
        kernels.elementwise("dropout")(
            x, x.shape[1], row & 0xFFFFFFFF, key & 0xFFFFFFFF, key >> 32 & 0xFFFFFFFF,
            min(int(rate * 2**32), 0xFFFFFFFF), 1.0 / (1.0 - rate), y,
        )  # fmt: skip
        return y

    # ------------------------------------------------------------------ losses

    def loss(
        self,
        kind: str,
        y_true: Array,
        y_pred: Array,
        value: Array | None,
        dy: Array | None,
        scale: float = 1.0,
        parameter: float = 0.0,
        weights: Array | None = None,
    ) -> None:
        """Two launches where rows weigh the same: the gradient with each row's loss, then their sum."""
        if weights is not None or y_true.ndim != y_pred.ndim or y_true.dtype != y_pred.dtype:
            super().loss(kind, y_true, y_pred, value, dy, scale, parameter, weights)
            return
        rows = y_pred.shape[0]
        number = y_pred.dtype.type
        row_losses = self._scratch("row_losses", rows, y_pred.dtype)
        arrays = (cupy.ascontiguousarray(y_true), cupy.ascontiguousarray(y_pred), row_losses)
        target = row_losses if dy is None else dy  # not written where no gradient is wanted
        factor = number(scale / rows)
        self._rows(f"{kind}_loss", y_pred, (*arrays, target), number(parameter), factor, int(dy is not None))
        if value is not None:
            kernels.raw("sum_loss", y_pred.dtype.name)((1,), (THREADS,), (row_losses, value, rows, factor))

    # -------------------------------------------------------------- optimizers

    def sgd_step(
        self,
        values: Array,
        gradients: Array,
        velocity: Array | None,
        fault: Array,
        learning_rate: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        l2: float = 0.0,
    ) -> Array:
        """One launch."""
        shrink = 1.0 - learning_rate * weight_decay
        if velocity is None:
            kernels.elementwise("sgd")(gradients, fault, learning_rate, shrink, l2, values)
        else:
            kernels.elementwise("sgd_momentum")(
                gradients, fault, learning_rate, shrink, l2, momentum, nesterov, values, velocity
            )
        return values

    def adam_step(
        self,
        values: Array,
        gradients: Array,
        m: Array,
        v: Array,
        fault: Array,
        learning_rate: float,
        step: int,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float = 0.0,
        l2: float = 0.0,
    ) -> Array:
        """One launch."""
        rate = learning_rate * (1.0 - beta2**step) ** 0.5 / (1.0 - beta1**step)
        shrink = 1.0 - learning_rate * weight_decay
        kernels.elementwise("adam")(
            gradients, fault, rate, shrink, l2, 1.0 - beta1, 1.0 - beta2, epsilon, values, m, v
        )
        return values

    def rmsprop_step(
        self,
        values: Array,
        gradients: Array,
        v: Array,
        velocity: Array | None,
        fault: Array,
        learning_rate: float,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        weight_decay: float = 0.0,
        l2: float = 0.0,
    ) -> Array:
        """One launch."""
        common = (gradients, fault, learning_rate, 1.0 - learning_rate * weight_decay, l2, 1.0 - rho, epsilon)
        if velocity is None:
            kernels.elementwise("rmsprop")(*common, values, v)
        else:
            kernels.elementwise("rmsprop_momentum")(*common, momentum, values, v, velocity)
        return values

    def adagrad_step(
        self,
        values: Array,
        gradients: Array,
        accumulator: Array,
        fault: Array,
        learning_rate: float,
        epsilon: float = 1e-7,
        weight_decay: float = 0.0,
        l2: float = 0.0,
    ) -> Array:
        """One launch."""
        shrink = 1.0 - learning_rate * weight_decay
        kernels.elementwise("adagrad")(
            gradients, fault, learning_rate, shrink, l2, epsilon, values, accumulator
        )
        return values

    def clip_by_value(self, gradients: Array, limit: float) -> Array:
        """In place."""
        cupy.clip(gradients, -limit, limit, out=gradients)
        return gradients

    def raise_fault(self, value: Array, gradients: Array, fault: Array, step: int) -> Array:
        """One launch; the host is told at the end of the epoch, when it reads `fault`."""
        kernels.elementwise("fault")(gradients if gradients.size else value, value, step, fault)
        return fault


def _power_of_two(number: int) -> int:
    """The least power of two that is not less than `number`, which is positive."""
    return 1 << (number - 1).bit_length()


for _name in dir(Backend):
    _operation = getattr(CupyBackend, _name)
    if callable(_operation) and not _name.startswith("_") and _name not in ("hold", "quiet", "owns", "xp"):
        setattr(CupyBackend, _name, _held(_operation))
