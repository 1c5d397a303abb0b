"""Read IDX files, the format in which MNIST is published. Every byte is checked before it is used."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from nnx.errors import DataError
from nnx.readers.opening import reading
from nnx.readers.types import Array

MAX_BYTES = 2**30
_CHUNK = 2**20
GZIP_MAGIC = b"\x1f\x8b"
_MAX_DIMENSIONS = 64  # NumPy's own limit
_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


class IdxContent(NamedTuple):
    """The content of an IDX file: its header as stored, and its array in native byte order."""

    header: bytes
    array: Array


def read_idx(path: str | Path, max_bytes: int = MAX_BYTES) -> Array:
    """Read one IDX file, gzipped or plain, into an array.

    An IDX file holds two zero bytes, one byte for the type of the elements, one byte for the number of
    dimensions d, then d sizes (unsigned 32-bit, big endian), then the elements in C order, big endian.
    The first bytes of the file show whether it is compressed; its name does not matter.

    Parameters
    ----------
    path : str or Path
        The file.
    max_bytes : int, default 2**30
        Largest array accepted, in bytes. If the header claims more, the file is refused before anything is
        allocated. At most the bytes that the header claims, plus one, are decompressed.

    Returns
    -------
    numpy.ndarray
        Writable, in native byte order, with the shape in the header; uint8, int8, int16, int32, float32 or
        float64.

    Raises
    ------
    DataError
        If the file cannot be read, is damaged or cut short, has extra bytes at its end, holds no elements
        or claims more than `max_bytes`.

    References
    ----------
    Y. LeCun, C. Cortes, C. Burges: The MNIST database, section "File formats".
    """
    return read_content(path, max_bytes).array


def read_content(path: str | Path, max_bytes: int = MAX_BYTES) -> IdxContent:
    """Read one IDX file like :func:`read_idx`, and keep the header (for checksums)."""
    with reading(path) as file:
        return parse_idx(file, str(path), max_bytes)


def parse_idx(file: BinaryIO, name: str, max_bytes: int = MAX_BYTES) -> IdxContent:
    """Read IDX data from a seekable binary stream; errors call it `name`."""
    start = file.read(2)
    file.seek(0)
    if start != GZIP_MAGIC:
        return _parse(file, name, max_bytes)
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as unpacked:
            return _parse(unpacked, name, max_bytes)  # type: ignore[arg-type]
    except EOFError as error:
        raise DataError(f"{name}: the gzip stream is truncated; fetch the file again") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{name}: the gzip stream is damaged ({error}); fetch the file again") from error


def read_up_to(file: BinaryIO, count: int) -> bytearray:
    """Read at most `count` bytes, in chunks, so that memory grows only with the bytes that are there."""
    data = bytearray()
    while len(data) < count:
        chunk = file.read(min(_CHUNK, count - len(data)))
        if not chunk:
            break
        data += chunk
    return data


def _parse(file: BinaryIO, name: str, max_bytes: int) -> IdxContent:
    header, dtype, shape = read_header(file, name)
    expected = math.prod(shape) * dtype.itemsize
    if expected > max_bytes:
        raise DataError(f"{name}: its header claims {expected:,} bytes, more than the {max_bytes:,} accepted")
    data = read_up_to(file, expected)
    if len(data) < expected:
        raise DataError(
            f"{name}: truncated: its header promises {expected:,} bytes of data for shape {shape}, "
            f"found {len(data):,}"
        )
    # This read also makes gzip verify its checksum, which it only does at the end of the stream.
    if file.read(1):
        raise DataError(f"{name}: has bytes left over after the {expected:,} bytes that its header promises")
    array = np.frombuffer(data, dtype).reshape(shape)
    return IdxContent(header, array.astype(dtype.newbyteorder("="), copy=False))


def read_header(file: BinaryIO, name: str) -> tuple[bytes, np.dtype[np.generic], tuple[int, ...]]:
    """Read the header; return it as stored, with the type of the elements and the shape."""
    magic = bytes(read_up_to(file, 4))
    if len(magic) < 4:
        raise DataError(f"{name}: not an IDX file: its header needs 4 bytes, found {len(magic)}")
    if magic[:2] != b"\0\0":
        raise DataError(f"{name}: not an IDX file: it begins with {magic.hex(' ')} instead of two zero bytes")
    code, dimensions = magic[2], magic[3]
    if code not in _TYPES:
        known = ", ".join(f"0x{known:02x}" for known in _TYPES)
        raise DataError(f"{name}: not an IDX file: element type 0x{code:02x} is none of {known}")
    if not 1 <= dimensions <= _MAX_DIMENSIONS:
        raise DataError(f"{name}: claims {dimensions} dimensions; 1 to {_MAX_DIMENSIONS} are accepted")
    sizes = bytes(read_up_to(file, 4 * dimensions))
    if len(sizes) < 4 * dimensions:
        raise DataError(
            f"{name}: truncated: the sizes of {dimensions} dimensions need {4 * dimensions} bytes, "
            f"found {len(sizes)}"
        )
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
    if 0 in shape:
        raise DataError(f"{name}: holds no elements: its shape is {shape}")
    return magic + sizes, np.dtype(_TYPES[code]), shape
