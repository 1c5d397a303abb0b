"""Read .npy and .npz files. What a header claims is compared with the bytes, and nothing is unpickled."""

from __future__ import annotations

import io
import math
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np

from nnx.errors import DataError, shown
from nnx.readers.idx import MAX_BYTES, read_up_to
from nnx.readers.types import Array

MAGIC = b"\x93NUMPY"
ZIP_MAGIC = b"PK"
NUMBERS = "biuf"
TEXTS = "US"
MAX_HEADER = 10_000  # NumPy's own limit; NumPy applies it only after it has read the whole header
MAX_INDEX = 2**21  # bytes of an archive's index: about 40,000 arrays
# Version 3 differs from 2 only in the encoding of field names, and arrays with fields are refused.
_HEADERS = {
    (1, 0): ("<H", np.lib.format.read_array_header_1_0),
    (2, 0): ("<I", np.lib.format.read_array_header_2_0),
    (3, 0): ("<I", np.lib.format.read_array_header_2_0),
}
# Raised by zipfile and zlib for damaged archives; RuntimeError: a member is encrypted.
_DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OverflowError, RuntimeError, ValueError)


class Header:
    """The header of a .npy stream: shape, order and type of its array, and how many bytes it takes."""

    def __init__(self, file: BinaryIO, size: int, name: str, kinds: str = NUMBERS) -> None:
        start = bytes(read_up_to(file, len(MAGIC) + 2))
        version = (start[-2], start[-1]) if len(start) == len(MAGIC) + 2 else None
        if not start.startswith(MAGIC) or version is None:
            raise DataError(f"{name}: its NumPy header is damaged (it begins with {start.hex(' ')})")
        if version not in _HEADERS:
            raise DataError(f"{name}: its NumPy header is damaged (format version {version} is unknown)")
        form, parse = _HEADERS[version]
        self.shape, self.fortran, self.dtype = _parsed(file, form, parse, name)
        if self.dtype.kind not in kinds:
            raise DataError(f"{name}: holds {self.dtype} values, expected real numbers")
        self.nbytes = math.prod(self.shape) * self.dtype.itemsize
        held = size - file.tell()
        if min(self.shape, default=1) < 0:
            raise DataError(f"{name}: its NumPy header is damaged (a shape of {self.shape})")
        if self.nbytes != held:
            raise DataError(
                f"{name}: its header claims {self.nbytes:,} bytes for shape {self.shape}, "
                f"the file holds {held:,}"
            )
        if not self.nbytes:
            raise DataError(f"{name}: holds no values: its shape is {self.shape}")


def _parsed(file: BinaryIO, form: str, parse: Any, name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return (shape, Fortran order, type); a header that claims to be too large is refused unread."""
    length = bytes(read_up_to(file, struct.calcsize(form)))
    claimed = struct.unpack(form, length)[0] if len(length) == struct.calcsize(form) else 0
    if claimed > MAX_HEADER:
        raise DataError(
            f"{name}: its NumPy header is damaged (it claims {claimed:,} bytes, more than any header has)"
        )
    text = bytes(read_up_to(file, claimed))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about Python 2, and about names of types that NumPy will drop
            shape, fortran, dtype = parse(io.BytesIO(length + text))
    except (ValueError, TypeError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError) as error:
        raise DataError(f"{name}: its NumPy header is damaged ({first_line(error)})") from error
    return shape, fortran, dtype


def read_npy(file: BinaryIO, size: int, name: str, max_bytes: int = MAX_BYTES, kinds: str = NUMBERS) -> Array:
    """Read the array in a .npy stream of `size` bytes.

    It may not hold more than `max_bytes`, or values whose kind is not in `kinds`.
    """
    header = Header(file, size, name, kinds)
    if header.nbytes > max_bytes:
        raise DataError(f"{name}: holds {header.nbytes:,} bytes, more than the {max_bytes:,} accepted")
    data = read_up_to(file, header.nbytes)
    if len(data) != header.nbytes:
        raise DataError(f"{name}: truncated: {header.nbytes:,} bytes expected, found {len(data):,}")
    try:
        array = np.frombuffer(data, header.dtype)
        return array.reshape(header.shape[::-1]).T if header.fortran else array.reshape(header.shape)
    except ValueError as error:  # more dimensions than NumPy has
        raise DataError(f"{name}: its NumPy header is damaged ({first_line(error)})") from error


def map_npy(file: BinaryIO, size: int, name: str) -> Array:
    """Map the array of a .npy file into memory without reading it, so it may be larger than memory.

    If another program shortens the file while it is mapped, the system kills this program without an error.
    """
    header = Header(file, size, name)
    try:
        return np.memmap(
            file, header.dtype, "r", file.tell(), header.shape, order="F" if header.fortran else "C"
        )
    except (OSError, ValueError, OverflowError) as error:
        raise DataError(f"{name}: cannot be mapped into memory ({first_line(error)})") from error


class Archive:
    """The arrays in an .npz file by name; an array is read on request."""

    def __init__(self, archive: zipfile.ZipFile, name: str, max_bytes: int) -> None:
        self.name, self.max_bytes, self._archive = name, max_bytes, archive
        self.members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}

    def read(self, key: str, kinds: str = NUMBERS) -> Array:
        """Read one array; errors are those of `read_npy`."""
        member = self.members[key]
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DataError(f"{self.name}[{key}]: is compressed in a way unknown to NumPy: save it again")
        with self._archive.open(member) as stream:
            return read_npy(stream, member.file_size, f"{self.name}[{key}]", self.max_bytes, kinds)  # type: ignore[arg-type]

    def inputs(self) -> str:
        """Return the name of the array of inputs: ``x``, or the name of the only array."""
        if "x" in self.members:
            return "x"
        if len(self.members) != 1:
            listed = ", ".join(map(repr, list(self.members)[:10])) or "(none)"
            raise DataError(f"{self.name}: holds the arrays {listed}: name one of them x, or keep only one")
        return next(iter(self.members))


@contextmanager
def open_npz(file: BinaryIO, name: str, max_bytes: int = MAX_BYTES) -> Iterator[Archive]:
    """Open an .npz file; nothing is written to disk, whatever paths the archive names.

    Errors of a damaged archive, also inside the block, become a DataError.
    """
    try:
        with zipfile.ZipFile(_Bounded(file, name)) as archive:
            yield Archive(archive, name, max_bytes)
    except DataError:
        raise
    except _DAMAGED as error:
        raise DataError(f"{name}: the .npz archive cannot be read ({first_line(error)})") from error


class _Bounded:
    """A file that refuses to read more than `MAX_INDEX` bytes at once, to limit the index of an archive.

    Python reads the whole index, and needs about thirteen bytes of memory for each byte of it.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._name = file, name
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, count: int = -1) -> bytes:
        if not 0 <= count <= MAX_INDEX and self._left() > MAX_INDEX:
            raise DataError(f"{self._name}: its index is larger than the {MAX_INDEX:,} bytes accepted")
        return self._file.read(count)

    def _left(self) -> int:
        here = self._file.tell()
        end = self._file.seek(0, 2)
        self._file.seek(here)
        return end - here


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, shortened if it is long; without a text, its class."""
    return shown((str(error).splitlines() or [type(error).__name__])[0], 200)
