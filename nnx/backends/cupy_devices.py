"""Count, describe and select GPUs."""

from __future__ import annotations

import os
from typing import Any

import cupy

from nnx.backends import foreign
from nnx.backends.cuda_driver import version
from nnx.backends.cupy_errors import GpuError, explain
from nnx.errors import DeviceError


def device_count() -> int:
    """Return the number of GPUs that CUDA finds.

    Raises
    ------
    DeviceError
        If there is no GPU or no driver, or the driver is too old.
    """
    try:
        return int(cupy.cuda.runtime.getDeviceCount())
    except Exception as error:
        raise explained(error, "gpu") from error


def explained(error: Exception, device: str) -> DeviceError:
    """Return any error as a `DeviceError` of one line."""
    try:
        driver = int(cupy.cuda.runtime.driverGetVersion())
    except Exception:  # only used to improve the message
        driver = None
    known = explain(error, device, driver)
    if known is not None:
        return known
    text = " ".join(str(error).split())
    return GpuError(
        f"CuPy cannot use {device} ({type(error).__name__}: {text[:160]})",
        "check the installation with python -c 'import cupy; cupy.show_config()', or choose device cpu",
    )


def adopted(x: Any, device: str) -> Any:
    """Return another library's array on a GPU as one of CuPy's over the same memory.

    DLPack lets the current stream wait for the stream that computes `x`.

    Raises
    ------
    DeviceError
        If `x` lies on another device than `device`.
    DataError
        If its library does not hand it over.
    """
    there = foreign.place(x)
    if not hasattr(x, "__dlpack__"):
        raise foreign.unreadable(x, "x", "an array of CuPy", TypeError("it has no DLPack"))
    if there != device:
        raise DeviceError(foreign.elsewhere(x, "x", device))
    try:
        return cupy.from_dlpack(x)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise foreign.unreadable(x, "x", "an array of CuPy", error) from error


class Hold:
    """Make a device current, and CuPy's errors readable; can be entered repeatedly, from any thread."""

    def __init__(self, index: int) -> None:
        self._device = cupy.cuda.Device(index)  # remembers the previous device on a stack for each thread
        self._name = f"gpu:{index}"

    def __enter__(self) -> None:
        self._device.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        self._device.__exit__(kind, error, trace)
        if isinstance(error, Exception) and not isinstance(error, DeviceError):
            known = explain(error, self._name)
            if known is not None:
                raise known from error


def memory() -> dict[str, int]:
    """Return bytes on the current device: used and reserved by CuPy's pool, free, and in total."""
    pool = cupy.get_default_memory_pool()
    free, total = cupy.cuda.runtime.memGetInfo()
    return {
        "pool_used": int(pool.used_bytes()),
        "pool_total": int(pool.total_bytes()),
        "device_free": int(free),
        "device_total": int(total),
    }


def has(nbytes: int) -> bool:
    """Return whether the current device has so much memory for CuPy's current allocator.

    CuPy's own pool says what it has. Another allocator (RMM's, for example) may have taken the whole device
    in advance, so it is asked for the memory, which is returned at once.
    """
    counted = memory()
    if nbytes <= counted["device_free"] + counted["pool_total"] - counted["pool_used"]:
        return True
    if cupy.cuda.get_allocator() == cupy.get_default_memory_pool().malloc:
        return False
    try:
        cupy.cuda.alloc(nbytes)
    except MemoryError:
        return False
    return True


def hardware(index: int) -> dict[str, Any]:
    """Return a GPU's name, compute capability and memory in bytes."""
    properties = cupy.cuda.runtime.getDeviceProperties(index)
    return {
        "name": bytes(properties["name"]).decode(),
        "compute_capability": f"{properties['major']}.{properties['minor']}",
        "memory_bytes": int(properties["totalGlobalMem"]),
    }


def tf32(index: int) -> bool:
    """Return whether float32 products are rounded to TF32: the user asked for it, and the GPU can do it."""
    asked = os.environ.get("CUPY_TF32", "0") not in ("", "0")
    return asked and major(index) >= 8


def major(index: int) -> int:
    """Return the first number of the compute capability: 8 is Ampere."""
    return int(cupy.cuda.runtime.getDeviceProperties(index)["major"])


def versions() -> dict[str, str]:
    """Return the versions of CuPy and its CUDA runtime, and the newest CUDA that the driver supports."""
    runtime = cupy.cuda.runtime
    return {
        "cupy": str(cupy.__version__),
        "cuda_runtime": version(int(runtime.runtimeGetVersion())),
        "cuda_driver": version(int(runtime.driverGetVersion())),
    }


def describe(index: int) -> str:
    """Return the names and versions of a GPU and its software, in one line."""
    gpu, software = hardware(index), versions()
    note = ", TF32 on (CUPY_TF32)" if tf32(index) else ""
    return (
        f"{gpu['name']}, compute capability {gpu['compute_capability']}, "
        f"{gpu['memory_bytes'] / 2**30:.1f} GiB, CuPy {software['cupy']}, CUDA {software['cuda_runtime']}, "
        f"driver for CUDA {software['cuda_driver']}{note}"
    )
