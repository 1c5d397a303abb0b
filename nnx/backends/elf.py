"""Load shared libraries that need each other, without showing their functions to the rest of the process.

The parts of some libraries (MKL's) do not name the others they need. Programs load them with ``RTLD_GLOBAL``,
so that they find each other. But then every library that is loaded later finds them too: PyTorch contains
another version of MKL, and would call this one. Linux looks in one more place: among the libraries that
were loaded in the same call. So `load_together` loads an empty library that needs all of them.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence
from pathlib import Path

_NEEDED, _HASH, _STRTAB, _SYMTAB, _STRSZ, _SYMENT = 1, 4, 5, 6, 10, 11  # entries of a dynamic section


def load_together(paths: Sequence[Path], first: bool) -> ctypes.CDLL:
    """Load libraries that find each other's functions; a name in several is taken from the earliest.

    Functions are looked up when they are first called, as some of them may be missing until another library
    is loaded.

    Parameters
    ----------
    paths : sequence of Path
    first : bool
        Whether they look for names among themselves before they look in the rest of the process.

    Raises
    ------
    OSError
        If a library cannot be loaded; the text is the loader's.
    """
    flags = os.RTLD_LAZY | os.RTLD_LOCAL | (os.RTLD_DEEPBIND if first else 0)
    file = os.memfd_create("nnx")
    name = f"/proc/{os.getpid()}/fd/{file}"
    try:
        os.write(file, needing([str(path) for path in paths]))
        return ctypes.CDLL(name, handle=_open(name, flags))  # the file stays open: its name must be unique
    except OSError:
        os.close(file)
        raise


def loaded(path: Path) -> bool:
    """Return whether the process has loaded a library from this file."""
    try:
        _open(str(path), os.RTLD_LAZY | os.RTLD_NOLOAD)
    except OSError:
        return False
    return True


def _open(name: str, flags: int) -> int:
    """Call ``dlopen``; `ctypes.CDLL` would look up all functions at once."""
    system = ctypes.CDLL(None)
    system.dlopen.argtypes, system.dlopen.restype = (ctypes.c_char_p, ctypes.c_int), ctypes.c_void_p
    system.dlerror.restype = ctypes.c_char_p
    handle = system.dlopen(os.fsencode(name), flags)
    if not handle:
        raise OSError(os.fsdecode(system.dlerror() or b"unknown error"))
    return int(handle)


def needing(names: Sequence[str]) -> bytes:
    """Return an empty shared library for Linux on x86-64 that needs other libraries.

    It has a header, two segments (all bytes, and the dynamic section in them), an empty table of symbols with
    its hash table, the dynamic section, and the names. See the System V ABI, chapters 4 and 5, and elf(5).
    """
    text, offsets = b"\0", []
    for name in names:
        offsets.append(len(text))
        text += os.fsencode(name) + b"\0"
    hashes = 64 + 2 * 56
    symbols = hashes + 16
    dynamic = symbols + 24
    strings = dynamic + 16 * (len(names) + 6)
    size = strings + len(text)
    entries = [(_NEEDED, offset) for offset in offsets]
    entries += [(_HASH, hashes), (_STRTAB, strings), (_SYMTAB, symbols), (_STRSZ, len(text)), (_SYMENT, 24)]
    table = b"".join(struct.pack("<QQ", *entry) for entry in [*entries, (0, 0)])
    kind, machine, version = 3, 62, 1  # a shared library, x86-64
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", kind, machine, version, 0, 64, 0, 0,
                         64, 56, 2, 64, 0, 0)  # fmt: skip
    whole = struct.pack("<IIQQQQQQ", 1, 6, 0, 0, 0, size, size, 4096)
    part = struct.pack("<IIQQQQQQ", 2, 6, dynamic, dynamic, dynamic, len(table), len(table), 8)
    return header + whole + part + struct.pack("<4I", 1, 1, 0, 0) + bytes(24) + table + text
