"""Say who made the processor and which instruction sets it has, as Linux lists them."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")


@cache
def vendor(path: Path = CPUINFO) -> str:
    """Return the vendor's name as the processor gives it, such as ``"GenuineIntel"`` or ``"AuthenticAMD"``.

    It is empty if the system does not tell: on other systems than Linux, and on Arm.
    """
    return _field("vendor_id", path)


@cache
def instructions(path: Path = CPUINFO) -> frozenset[str]:
    """Return the instruction sets by Linux's names, such as ``"avx512_bf16"`` and ``"amx_bf16"``.

    It is empty if the system does not tell.
    """
    return frozenset(_field("flags", path).split())


def _field(name: str, path: Path) -> str:
    """Return a field of the first processor in the list."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    found = re.search(rf"^{name}\s*:[ \t]*(.*)$", text, re.MULTILINE)
    return found[1].strip() if found else ""
