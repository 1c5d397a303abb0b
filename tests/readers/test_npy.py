"""An array that claims more than it may take is refused before memory is taken."""

from __future__ import annotations

import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from support.array_files import npy_header, npz_bytes

from nnx.datasets import load_arrays
from nnx.errors import DataError


def test_a_member_that_unpacks_beyond_the_bound_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    path.write_bytes(npz_bytes(x=np.zeros((2**12, 2**11))))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="more than the 1,000 accepted"):
            load_arrays(path, max_bytes=1000)
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


def test_a_member_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "liar.npz"
    member = npy_header(f"({2**27 - 100}, 1)")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", member)
    claimed = struct.pack("<I", len(member) + 8 * (2**27 - 100))
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", len(member)), claimed))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"liar\.npz"):
            load_arrays(path)
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()
