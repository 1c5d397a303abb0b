"""The NVIDIA driver, asked without CuPy: which CUDA it supports, and so which CuPy to install."""

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
    """The newest CUDA that the driver supports, as CUDA counts it (13020 is 13.2); None without a driver.

    The driver's own library is asked, which needs neither a GPU nor the rest of CUDA.
    """
    number = ctypes.c_int()
    try:
        status = ctypes.CDLL(LIBRARY).cuDriverGetVersion(ctypes.byref(number))
    except (OSError, AttributeError):
        return None
    return number.value if status == 0 and number.value > 0 else None


def gpu_or_driver() -> bool:
    """Whether this machine has an NVIDIA driver or GPU; without either, advice on CuPy is of no use."""
    return driver_version() is not None or any(map(_is_nvidia_gpu, PCI_DEVICES.glob("*")))


def _is_nvidia_gpu(device: Path) -> bool:
    try:
        vendor, kind = ((device / name).read_text(encoding="ascii") for name in ("vendor", "class"))
    except (OSError, UnicodeDecodeError):
        return False
    return vendor.strip() == NVIDIA and kind.startswith(DISPLAY)


def version(number: int) -> str:
    """CUDA's own count of versions, read: 13020 is ``"13.2"``."""
    return f"{number // 1000}.{number % 1000 // 10}"


def wheel_for(driver: int | None) -> str | None:
    """The CuPy package for a driver, with the CUDA libraries it needs; None for one that is too old, or none.

    A package runs on drivers of its own major version of CUDA and on newer ones.
    """
    if driver is None or driver < 12000:
        return None
    return "cupy-cuda13x[ctk]" if driver >= 13000 else "cupy-cuda12x[ctk]"


def install_advice(driver: int | None) -> str:
    """The command that installs CuPy, for the driver that was found; what to do first where it is too old."""
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
        The newest CUDA that it supports; None where there is no driver.
    wheel : str or None
        The CuPy package for it.
    install : str
        The command that installs it; empty where there is neither a driver nor a GPU.
    """

    cuda: str | None
    wheel: str | None
    install: str


def driver() -> Driver:
    """What is known of the driver of this machine."""
    number = driver_version()
    cuda = None if number is None else version(number)
    return Driver(cuda, wheel_for(number), install_advice(number) if gpu_or_driver() else "")
