"""Turn everything that can be wrong with a GPU into an error of one line: what is missing, and what to do.

This module does not import CuPy, so it works if CuPy is broken or not installed. It distinguishes CuPy's
errors by the names of their classes.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import re

from nnx.backends.cuda_driver import (
    NO_GPU,
    driver_version,
    gpu_or_driver,
    install_advice,
    version,
    wheel_for,
)
from nnx.errors import DeviceError

# All of them install a module called cupy. From CuPy's own list, without releases for Python before 3.11.
WHEELS = (
    "cupy", "cupy-cuda11x", "cupy-cuda12x", "cupy-cuda13x", "cupy-cuda102", "cupy-cuda110", "cupy-cuda111",
    "cupy-rocm-4-3", "cupy-rocm-5-0", "cupy-rocm-7-0", "cupy-rocm-7-1", "cupy-rocm-7-14", "amd-cupy",
)  # fmt: skip

USE_CPU = "or choose device cpu"


class GpuError(DeviceError):
    """A GPU cannot be used; the text says what is missing and what to do.

    Attributes
    ----------
    reason, remedy : str
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}: {remedy}")
        self.reason = reason
        self.remedy = remedy

    def __reduce__(self) -> tuple[type[GpuError], tuple[str, str]]:
        return type(self), (self.reason, self.remedy)


@functools.cache
def installed() -> dict[str, str]:
    """Return the CuPy packages found in this environment, with their versions."""
    found = {}
    for name in WHEELS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def check_installed() -> None:
    """Check that CuPy is installed, and only once.

    Raises
    ------
    DeviceError
        If it is not installed, or more than once.
    """
    if importlib.util.find_spec("cupy") is None:
        if not gpu_or_driver():
            raise GpuError(NO_GPU, f"install the GPU's driver first, {USE_CPU}")
        raise GpuError(
            "CuPy is not installed, so there is no GPU backend",
            f"run {install_advice(driver_version())}, {USE_CPU}",
        )
    wheels = sorted(installed())
    if len(wheels) > 1:
        raise GpuError(
            f"{len(wheels)} CuPy packages are installed and overwrite each other ({', '.join(wheels)})",
            f"run pip uninstall -y {' '.join(wheels)}, then {install_advice(driver_version())}",
        )


def no_device(index: int, count: int) -> GpuError:
    """Return the error for a number that no GPU has."""
    there = "1 GPU, gpu:0" if count == 1 else f"{count} GPUs, gpu:0 to gpu:{count - 1}"
    return GpuError(f"there is no gpu:{index}, this machine has {there}", f"choose one of them, {USE_CPU}")


def explain(error: BaseException, device: str = "gpu", driver: int | None = None) -> DeviceError | None:
    """Turn an error of CuPy into a `DeviceError`; return None if it is not about the device.

    Parameters
    ----------
    error : exception
    device : str
        Name of the device in the text, such as ``"gpu:0"``.
    driver : int, optional
        The CUDA version that the driver supports (13000 means 13.0; 0 means that there is no driver).
    """
    names = {base.__name__ for base in type(error).__mro__}
    text = " ".join(str(error).split())
    if "OutOfMemoryError" in names or ("MemoryError" in names and "bad_alloc" in text):  # CuPy's, RMM's
        return _out_of_memory(text, device)
    if "CUDARuntimeError" in names or "CUDADriverError" in names:
        return _runtime(text, device, driver)
    if {"DynamicLibNotFoundError", "ImportError"} & names:
        return _missing_library(text)
    if {"CompileException", "NVRTCError", "NVCCException"} & names or "CUDA headers" in text:
        return GpuError(
            f"CuPy cannot compile kernels for {device} ({_shortened(text)})",
            f"run pip install '{_wheel()}[ctk]', which brings the compiler and the headers, {USE_CPU}",
        )
    if {"CUBLASError", "CURANDError", "CUSOLVERError"} & names:
        return GpuError(
            f"a CUDA library failed on {device} ({_shortened(text)})",
            f"check with nvidia-smi that the GPU is free, run pip install '{_wheel()}[ctk]', {USE_CPU}",
        )
    return None


def _out_of_memory(text: str, device: str) -> GpuError:
    asked = re.search(r"allocating ([\d,]+) bytes", text)
    held = re.search(r"allocated so far: ([\d,]+) bytes", text)
    reason = f"{device} is out of memory"
    if asked:
        reason += f", {_size(asked[1])} more were requested"
    if held:
        reason += f" in addition to {_size(held[1])} in use by this process"
    return GpuError(reason, f"lower batch_size, use dtype float32, choose another GPU (gpu:N), {USE_CPU}")


def _runtime(text: str, device: str, driver: int | None) -> GpuError:
    if "cudaErrorInsufficientDriver" in text:
        if driver:
            return GpuError(
                f"the NVIDIA driver supports CUDA {version(driver)} at most, less than {_wheel()} needs",
                f"{_older_wheel(driver)}, {USE_CPU}",
            )
        return GpuError(
            f"CuPy is installed ({_versioned_wheel()}), but there is no NVIDIA driver",
            "install the driver (nvidia-smi then lists the GPU; in a container, start it with --gpus all), "
            f"{USE_CPU}",
        )
    if "cudaErrorNoDevice" in text:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        hint = "" if visible is None else f" and CUDA_VISIBLE_DEVICES, which is {visible!r},"
        return GpuError(
            "the NVIDIA driver finds no GPU", f"check nvidia-smi{hint} for a GPU it may use, {USE_CPU}"
        )
    if "cudaErrorInvalidDevice" in text:
        return GpuError(f"there is no {device}", f"nvidia-smi lists the GPUs, choose one of them, {USE_CPU}")
    if "cudaErrorMemoryAllocation" in text:
        return _out_of_memory(text, device)
    return GpuError(
        f"CUDA failed on {device} ({_shortened(text)})",
        f"start the process again, check the GPU with nvidia-smi, {USE_CPU}",
    )


def _missing_library(text: str) -> GpuError | None:
    library = re.search(r"lib[A-Za-z]+(?:\.so)?[.\d]*|\b(?:cublas|nvrtc|cudart|curand|cusolver)\w*", text)
    if not re.search(r"lib\w+\.so|\.dll|DynamicLib|cuda|cupy|nvrtc|cublas", text, re.IGNORECASE):
        return None
    what = f" ({library[0].rstrip('.')})" if library else ""
    return GpuError(
        f"a CUDA library that CuPy needs is missing{what}",
        f"run pip install '{_wheel()}[ctk]', which brings all of them, {USE_CPU}",
    )


def _older_wheel(driver: int) -> str:
    older = wheel_for(driver)
    if older is None or older.startswith(_wheel()):
        return "update the driver"
    return f"update the driver, or run pip uninstall -y {_wheel()}, then pip install '{older}'"


def _wheel() -> str:
    return next(iter(installed()), "cupy-cuda13x")


def _versioned_wheel() -> str:
    return " ".join(next(iter(installed().items()), ("cupy",)))


def _size(digits: str) -> str:
    number = float(digits.replace(",", ""))
    for unit in ("bytes", "KiB", "MiB"):
        if number < 1024.0:
            return f"{number:.4g} {unit}"
        number /= 1024.0
    return f"{number:.1f} GiB"


def _shortened(text: str) -> str:
    return text if len(text) <= 160 else text[:157] + "..."
