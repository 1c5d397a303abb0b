"""Reader for IDX files, the format MNIST is published in; every byte is checked before it is believed."""

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
    """An IDX file taken apart: its header as stored and its array in native byte order."""

    header: bytes
    array: Array


def read_idx(path: str | Path, max_bytes: int = MAX_BYTES) -> Array:
    """Read one IDX file, gzipped or plain, into an array.

    An IDX file is two zero bytes, one byte naming the element type, one byte giving the number of
    dimensions d, d big-endian unsigned 32-bit sizes, then the elements in C order, big endian.
    Compression is told by the file's first bytes, never by its name.

    Parameters
    ----------
    path : str or Path
        The file.
    max_bytes : int, default 2**30
        Largest array accepted, in bytes. A header that claims more is refused before anything is
        allocated, and no more than the header's claim plus one byte is ever decompressed.

    Returns
    -------
    numpy.ndarray
        Writable, in native byte order, of type uint8, int8, int16, int32, float32 or float64 and of the
        shape that the header gives.

    Raises
    ------
    DataError
        If the file cannot be read, is damaged or truncated, has bytes left over, holds no elements or
        claims more than `max_bytes`.

    References
    ----------
    Y. LeCun, C. Cortes, C. Burges: The MNIST database, section "File formats".
    """
    return read_content(path, max_bytes).array


def read_content(path: str | Path, max_bytes: int = MAX_BYTES) -> IdxContent:
    """Read one IDX file as :func:`read_idx` does, keeping the header (for checksums)."""
    with reading(path) as file:
        return parse_idx(file, str(path), max_bytes)


def parse_idx(file: BinaryIO, name: str, max_bytes: int = MAX_BYTES) -> IdxContent:
    """Read IDX data from a seekable binary stream; `name` is what an error calls it."""
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
    """Read at most `count` bytes, in chunks: memory grows with what arrives, not with what was claimed."""
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
    # One more read also makes gzip verify its checksum, which it does at the end of the stream only.
    if file.read(1):
        raise DataError(f"{name}: has bytes left over after the {expected:,} bytes its header promises")
    array = np.frombuffer(data, dtype).reshape(shape)
    return IdxContent(header, array.astype(dtype.newbyteorder("="), copy=False))


def read_header(file: BinaryIO, name: str) -> tuple[bytes, np.dtype[np.generic], tuple[int, ...]]:
    """The header as stored, the type of the elements and the shape; the stream then stands behind it."""
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
