"""Describe the machine that computed a result, which its times depend on."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from nnx import backends
from nnx.backends.threads import cores

_MODEL = re.compile(r"^(?:model name|Hardware|Model)\s*:\s*(.+)$", re.MULTILINE)


def environment(device: str, backend: str = "numpy", precision: str = "") -> dict[str, str | int]:
    """Describe this machine.

    Parameters
    ----------
    device : str
        The device that computed: ``"cpu"`` or ``"gpu:N"``.
    backend : str
        ``"numpy"``, ``"numba"`` or ``"cupy"``.
    precision : str
        That of the network: with ``"bfloat16"``, another BLAS may compute some products.

    Returns
    -------
    dict
        ``python``, ``system``, ``machine``, ``processor``, ``cores`` (those this process may use), on a CPU
        ``threads`` (of the compiled kernels, or of NumPy's BLAS) and ``blas`` (what computes products), and
        ``gpu``, the description of a GPU.
    """
    found: dict[str, str | int] = {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": platform.platform(),
        "machine": platform.machine(),
        "processor": processor(),
        "cores": cores(),
    }
    if device == "cpu":
        used = backends.resolve(backend)
        found["threads"] = used.blas_threads() or used.threads
        found["blas"] = used.blas_name(precision == "bfloat16")
    if device.startswith("gpu"):
        found["gpu"] = next((s.detail for s in backends.available() if s.device == device), "not found again")
    return found


def process_seconds() -> float:
    """Return how long this process has been running, or its CPU time if the system does not tell."""
    with suppress(OSError, ValueError, IndexError):  # Linux; the name before the last ) may hold blanks
        fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        began = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - began
    return time.process_time()


def processor() -> str:
    """Return the processor's name as the system gives it, or else its architecture."""
    with suppress(OSError, subprocess.SubprocessError):
        if platform.system() == "Linux":
            found = _MODEL.search(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))
            if found:
                return found[1].strip()
        if platform.system() == "Darwin":
            name = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
            done = subprocess.run(name, capture_output=True, text=True, timeout=5, check=True)
            return done.stdout.strip()
    return platform.processor() or platform.machine() or "unknown"
