"""Load Intel's MKL on one thread, without a change for anything else in the process.

MKL's usual entry, ``libmkl_rt``, has one number of threads and one way to start them for the whole process,
and shows MKL's functions to all libraries that are loaded later (see `elf`). So nnx does not use it. It loads
the parts itself: the interface with 64-bit integers, which hardly any other program uses, and the sequential
functions. Only the core is shared with other users of the same files, and it has no such settings. It keeps
one library for threads, though: the first one it finds. It must be the one that ``libmkl_rt`` would load, or
other users of MKL would stay on one thread. So this is loaded too; nnx never calls it, and it starts no
threads.

MKL is used on Linux with x86-64 only: elsewhere this has not been tested.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import re
import sys
from contextlib import suppress
from pathlib import Path

from nnx.backends import elf

DISTRIBUTION = "mkl"
WANTED = "mkl>=2026.0,<2026.3"  # the tested versions, see pyproject.toml
OLDEST, BEFORE = (2026, 0), (2026, 3)
PARTS = ("mkl_intel_ilp64", "mkl_sequential", "mkl_core", "mkl_intel_thread", "iomp5")
PACKAGES = ("mkl", "intel-openmp")  # the wheels with these libraries
_MAPPED = re.compile(r"\s(/\S.*/libmkl_core\.so\S*)$", re.MULTILINE)


class UnusableError(Exception):
    """MKL cannot be used here; the text says why, and what to do."""


def load() -> tuple[ctypes.CDLL, str]:
    """Return MKL and its version.

    Raises
    ------
    UnusableError
        If it is missing, was not tested (another version or system), or cannot be loaded.
    """
    if not (sys.platform == "linux" and platform.machine() == "x86_64" and hasattr(os, "RTLD_DEEPBIND")):
        raise UnusableError("nnx uses MKL only on Linux with an x86-64 processor")
    try:
        version = importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        raise UnusableError(f"MKL is not installed: run pip install '{WANTED}'") from None
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if not OLDEST <= numbers < BEFORE:
        raise UnusableError(f"MKL {version} was not tested with nnx: run pip install '{WANTED}'")
    paths = _paths()
    core = paths[PARTS.index("mkl_core")]
    if others := [path for path in _mapped() if not Path(path).exists() or not core.samefile(path)]:
        raise UnusableError(f"another MKL is loaded in this process ({others[0]})")
    try:
        # Another user's threads are found first where the core was loaded by libmkl_rt.
        library = elf.load_together(paths, first=elf.loaded(core))
    except OSError as error:
        raise UnusableError(f"MKL {version} cannot be loaded ({error})") from error
    return library, version


def _paths() -> list[Path]:
    """Return the files of the parts, from the wheels' own lists."""
    files: dict[str, Path] = {}
    for package in PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            for file in importlib.metadata.files(package) or ():
                if found := re.fullmatch(r"lib(\w+)\.so(\.\d+)?", file.name):
                    files[found[1]] = Path(str(file.locate())).resolve()
    missing = [part for part in PARTS if part not in files or not files[part].is_file()]
    if missing:
        raise UnusableError(f"lib{missing[0]} is missing: run pip install --force-reinstall '{WANTED}'")
    return [files[part] for part in PARTS]


def _mapped() -> set[str]:
    """Return the files from which MKL's core is in this process's memory."""
    with suppress(OSError):
        maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape")
        return set(_MAPPED.findall(maps))
    return set()
