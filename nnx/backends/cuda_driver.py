"""Ask the NVIDIA driver, without CuPy, which CUDA it supports, and choose the CuPy package to install."""

from __future__ import annotations

import ctypes
import functools
import sys
from dataclasses import dataclass
from pathlib import Path

LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
PCI_DEVICES = Path("/sys/bus/pci/devices")  # Linux lists a GPU here even without its driver
NVIDIA, DISPLAY = "0x10de", "0x03"  # the vendor, and the first byte of a display controller's class
NO_GPU = "no NVIDIA GPU or driver was found on this machine"


@functools.cache
def driver_version() -> int | None:
    """Return the newest CUDA version that the driver supports (13020 means 13.2); None without a driver.

    It asks the driver's own library, which needs neither a GPU nor the rest of CUDA.
    """
    number = ctypes.c_int()
    try:
        status = ctypes.CDLL(LIBRARY).cuDriverGetVersion(ctypes.byref(number))
    except (OSError, AttributeError):
        return None
    return number.value if status == 0 and number.value > 0 else None


def gpu_or_driver() -> bool:
    """Return whether this machine has an NVIDIA driver or GPU; without them, CuPy is of no use."""
    return driver_version() is not None or any(map(_is_nvidia_gpu, PCI_DEVICES.glob("*")))


def _is_nvidia_gpu(device: Path) -> bool:
    try:
        vendor, kind = ((device / name).read_text(encoding="ascii") for name in ("vendor", "class"))
    except (OSError, UnicodeDecodeError):
        return False
    return vendor.strip() == NVIDIA and kind.startswith(DISPLAY)


def version(number: int) -> str:
    """Return CUDA's number for a version as text: 13020 becomes ``"13.2"``."""
    return f"{number // 1000}.{number % 1000 // 10}"


def wheel_for(driver: int | None) -> str | None:
    """Return the CuPy package for a driver, with its CUDA libraries; None for an old or missing driver.

    A package works with drivers for its own major version of CUDA and for newer versions.
    """
    if driver is None or driver < 12000:
        return None
    return "cupy-cuda13x[ctk]" if driver >= 13000 else "cupy-cuda12x[ctk]"


def install_advice(driver: int | None) -> str:
    """Return the command that installs CuPy for a driver, and what to do first if the driver is too old."""
    wheel = wheel_for(driver)
    if wheel is not None:
        return f"pip install '{wheel}'"
    if driver is not None:
        return (
            "pip install 'cupy-cuda13x[ctk]' once the driver, which supports CUDA "
            f"{version(driver)} at most, is updated to 580 or newer"
        )
    return (
        "pip install 'cupy-cuda13x[ctk]' for an NVIDIA driver of version 580 or newer, 'cupy-cuda12x[ctk]' "
        "for an older one"
    )


@dataclass(frozen=True)
class Driver:
    """The driver as `nnx devices` reports it.

    Attributes
    ----------
    cuda : str or None
        The newest CUDA version that it supports; None if there is no driver.
    wheel : str or None
        The CuPy package for the driver.
    install : str
        The command that installs this package; empty if there is neither a driver nor a GPU.
    """

    cuda: str | None
    wheel: str | None
    install: str


def driver() -> Driver:
    """Return what is known about this machine's driver."""
    number = driver_version()
    cuda = None if number is None else version(number)
    return Driver(cuda, wheel_for(number), install_advice(number) if gpu_or_driver() else "")
