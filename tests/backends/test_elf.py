"""Libraries that are loaded together, and hidden from the rest of the process."""

from __future__ import annotations

import ctypes
import platform
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from nnx.backends import elf

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="only for Linux on x86-64"
)


def mapped(name):
    """The file of a library that this process has loaded."""
    found = re.search(rf"(/\S*/{name}\S*)$", Path("/proc/self/maps").read_text(), re.MULTILINE)
    if found is None:
        pytest.skip(f"this Python does not use {name}")
    return Path(found[1])


@pytest.mark.parametrize("first", [False, True])
def test_it_finds_the_functions_of_the_libraries(first):
    library = elf.load_together([mapped("libm[.-]")], first)
    library.cos.restype = ctypes.c_double
    assert library.cos(ctypes.c_double(0.0)) == 1.0


def test_a_missing_library_is_named(tmp_path):
    with pytest.raises(OSError, match=r"nowhere\.so"):
        elf.load_together([tmp_path / "nowhere.so"], False)


def test_it_knows_what_is_loaded(tmp_path):
    assert elf.loaded(mapped("libm[.-]"))
    assert not elf.loaded(tmp_path / "nowhere.so")


def test_the_empty_library_lists_what_it_needs():
    whole = elf.needing(["/a/libone.so", "/b/libtwo ü.so"])
    assert whole[:4] == b"\x7fELF"
    offset, size = (
        struct.unpack_from("<Q", whole, 64 + 56 + 8)[0],
        struct.unpack_from("<Q", whole, 64 + 56 + 32)[0],
    )
    entries = list(struct.iter_unpack("<QQ", whole[offset : offset + size]))
    strings = dict(entries)[5]
    names = [whole[strings + value :].split(b"\0")[0].decode() for kind, value in entries if kind == 1]
    assert names == ["/a/libone.so", "/b/libtwo ü.so"]


HIDDEN = """
import ctypes, sys
from pathlib import Path
from nnx.backends import elf
library = elf.load_together([Path(sys.argv[1])], False)
assert library.scipy_cblas_sgemm
assert not hasattr(ctypes.CDLL(None), "scipy_cblas_sgemm")
"""


def test_other_libraries_do_not_see_it():
    openblas = pytest.importorskip("scipy_openblas32", reason="scipy-openblas32 is not installed")
    path = Path(openblas.get_lib_dir(), f"lib{openblas.get_library()}.so")
    done = subprocess.run([sys.executable, "-c", HIDDEN, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
