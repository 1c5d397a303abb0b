"""The IDX reader: reads every valid file, and raises DataError for every other file."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnx.datasets import read_idx
from nnx.errors import DataError
from nnx.readers.idx import read_content

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx_bytes(array: np.ndarray) -> bytes:
    code = CODES[array.dtype.str[1:]]
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("idx") / "file"


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray:
    dtype = draw(st.sampled_from(sorted(CODES)))
    shape = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    seed = draw(st.integers(0, 2**32 - 1))
    values = np.random.default_rng(seed).integers(0, 256, (*shape, np.dtype(dtype).itemsize), dtype=np.uint8)
    return values.view(dtype)[..., 0]


@st.composite
def damaged_files(draw: st.DrawFn) -> bytes:
    data = idx_bytes(draw(arrays()))
    if draw(st.booleans()):
        data = gzip.compress(data, compresslevel=1)
    for kind in draw(st.lists(st.sampled_from(["flip", "cut", "insert"]), min_size=1, max_size=4)):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        if kind == "flip":
            data = data[:at] + draw(st.binary(min_size=1, max_size=1)) + data[at + 1 :]
        elif kind == "cut":
            data = data[:at]
        else:
            data = data[:at] + draw(st.binary(max_size=20)) + data[at:]
    return data


@given(array=arrays(), compressed=st.booleans())
@settings(deadline=None)
def test_every_type_and_shape_is_read_back(scratch: Path, array: np.ndarray, compressed: bool) -> None:
    data = idx_bytes(array)
    scratch.write_bytes(gzip.compress(data) if compressed else data)
    found = read_idx(scratch)
    assert found.dtype == array.dtype
    assert found.dtype.isnative
    assert found.flags.writeable
    assert found.shape == array.shape
    assert found.tobytes() == array.tobytes()
    assert read_content(scratch).header == data[: 4 + 4 * array.ndim]


@given(data=st.one_of(damaged_files(), st.binary(max_size=200)))
@settings(deadline=None, max_examples=500)
def test_damaged_files_give_an_array_or_a_data_error(scratch: Path, data: bytes) -> None:
    scratch.write_bytes(data)
    try:
        found = read_idx(scratch, max_bytes=10_000)
    except DataError as error:
        text = str(error)
        assert str(scratch) in text
        assert "\n" not in text
    else:
        assert 0 < found.nbytes <= 10_000


GOOD = idx_bytes(np.arange(12, dtype=np.uint8).reshape(3, 4))
PACKED = gzip.compress(GOOD, mtime=0)  # with the time in it, test cases would be named anew each second


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "needs 4 bytes, found 0"),
        (b"\0\0\x08", "needs 4 bytes, found 3"),
        (b"<html>", "begins with 3c 68 74 6d"),
        (b"\0\0\x0a\x01" + GOOD[4:], "element type 0x0a"),
        (b"\0\0\x08\0", "claims 0 dimensions"),
        (b"\0\0\x08\xff" + bytes(2000), "claims 255 dimensions"),
        (GOOD[:10], "2 dimensions need 8 bytes, found 6"),
        (GOOD[:-5], "promises 12 bytes of data for shape (3, 4), found 7"),
        (GOOD + b"\0", "bytes left over after the 12 bytes"),
        (struct.pack(">BBBBII", 0, 0, 8, 2, 0, 4), "holds no elements"),
        (struct.pack(">BBBBI", 0, 0, 0x0E, 1, 2**27) + b"\0", "promises 1,073,741,824 bytes"),
        (struct.pack(">BBBBI", 0, 0, 0x0E, 1, 2**27 + 1), "claims 1,073,741,832 bytes, more than"),
        (b"\0\0\x08\x40" + b"\xff" * 256, "more than the 1,073,741,824 accepted"),
        (PACKED[:-9], "gzip stream is truncated"),
        (PACKED[:-8] + b"\0\0\0\0" + PACKED[-4:], "CRC check failed"),
        (PACKED + b"junk", "gzip stream is damaged"),
        (PACKED + gzip.compress(b"\0", mtime=0), "bytes left over"),
        (gzip.compress(GOOD[:-1], mtime=0), "found 11"),
        (b"\x1f\x8bnot gzip at all", "gzip stream is damaged"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "images.idx"
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        read_idx(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_names_do_not_matter(tmp_path: Path) -> None:
    plain, packed = tmp_path / "plain.gz", tmp_path / "packed.idx"
    plain.write_bytes(GOOD)
    packed.write_bytes(PACKED)
    np.testing.assert_array_equal(read_idx(plain), read_idx(packed))


def test_a_decompression_bomb_is_left_after_one_byte_too_many(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(GOOD + bytes(2**26)))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="left over after the 12 bytes"):
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


def test_a_claim_is_not_allocated(tmp_path: Path) -> None:
    """A file of 9 bytes that claims 1 GiB costs no memory to refuse."""
    path = tmp_path / "liar.idx"
    path.write_bytes(struct.pack(">BBBBI", 0, 0, 8, 1, 2**30) + b"\0")
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"found 1$"):
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["absent", ".", "null\0byte"])
def test_a_path_that_is_no_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path / name)
