"""Arrays from the user's own files: .npy, .npz, .csv and IDX, checked before anything trusts them."""

from __future__ import annotations

import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from nnx.datasets.base import Array, choose_dtype
from nnx.datasets.idx import MAX_BYTES, parse_idx, read_up_to
from nnx.errors import DataError

_NPY_MAGIC = b"\x93NUMPY"
_ZIP_MAGIC = b"PK"
_IDX_MAGICS = (b"\x1f\x8b", b"\0\0")
_NUMERIC_KINDS = "biuf"
# Version 3 differs from 2 in the encoding of field names only, and arrays with fields are refused.
_NPY_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
    (3, 0): np.lib.format.read_array_header_2_0,
}
# What zipfile and its decompressors raise for damaged archives; RuntimeError: a member is encrypted,
# NotImplementedError: a compression that Python does not know.
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
)


def load_arrays(path: str | Path, dtype: npt.DTypeLike = "float32", max_bytes: int = MAX_BYTES) -> Array:
    """Load samples from a file.

    The format is told by the file's first bytes: ``.npy``; ``.npz`` (its array ``x``, or its only one);
    IDX, gzipped or plain; anything else is read as text with the suffix ``.csv``: comma-separated numbers,
    a line of column names in front of them is skipped. Nothing is ever unpickled.

    Parameters
    ----------
    path : str or Path
        The file.
    dtype : {"float32", "float64"}
        Type of the result.
    max_bytes : int, default 2**30
        Largest array or text accepted, in bytes.

    Returns
    -------
    numpy.ndarray
        Shape (samples, features): trailing dimensions are flattened. uint8 values (images) are divided by
        255; other numbers are taken as they are.

    Raises
    ------
    DataError
        If the file cannot be read, is damaged, claims more than it holds, has no samples, fewer than two
        dimensions, values that are not numbers, or NaN or infinity.
    ConfigurationError
        If `dtype` is another type.
    """
    chosen = choose_dtype(dtype)
    try:
        with Path(path).open("rb") as file:
            array = _read(file, Path(path), max_bytes)
    except DataError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise DataError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    return _samples(array, str(path), chosen)


def _read(file: BinaryIO, path: Path, max_bytes: int) -> Array:
    name = str(path)
    start = file.read(len(_NPY_MAGIC))
    size = file.seek(0, 2)
    file.seek(0)
    if not start:
        raise DataError(f"{name}: is empty")
    if start == _NPY_MAGIC:
        return _read_npy(file, size, name, max_bytes)
    if start.startswith(_ZIP_MAGIC):
        return _read_npz(file, name, max_bytes)
    if start.startswith(_IDX_MAGICS):
        return parse_idx(file, name, max_bytes).array
    if path.suffix.lower() == ".csv":
        if size > max_bytes:
            raise DataError(f"{name}: has {size:,} bytes, more than the {max_bytes:,} accepted")
        return _read_csv(file, name)
    raise DataError(f"{name}: is no .npy, .npz, IDX or .csv file (it begins with {start.hex(' ')})")


def _read_npy(file: BinaryIO, size: int, name: str, max_bytes: int) -> Array:
    """Read one .npy stream of `size` bytes; its header is believed only as far as the bytes go."""
    try:
        version = np.lib.format.read_magic(file)
        if version not in _NPY_HEADERS:
            raise ValueError(f"format version {version} is unknown")
        shape, fortran, dtype = _NPY_HEADERS[version](file)
    except (ValueError, TypeError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError) as error:
        raise DataError(f"{name}: its NumPy header is damaged ({_first_line(error)})") from error
    if dtype.kind not in _NUMERIC_KINDS:
        raise DataError(f"{name}: holds {dtype} values, expected real numbers")
    claimed = math.prod(shape) * dtype.itemsize
    held = size - file.tell()
    if claimed != held:
        raise DataError(
            f"{name}: its header claims {claimed:,} bytes for shape {shape}, the file holds {held:,}"
        )
    if not claimed:
        raise DataError(f"{name}: holds no values: its shape is {shape}")
    if claimed > max_bytes:
        raise DataError(f"{name}: holds {claimed:,} bytes, more than the {max_bytes:,} accepted")
    data = read_up_to(file, claimed)
    if len(data) != claimed:
        raise DataError(f"{name}: truncated: {claimed:,} bytes expected, found {len(data):,}")
    array = np.frombuffer(data, dtype)
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)


def _read_npz(file: BinaryIO, name: str, max_bytes: int) -> Array:
    try:
        with zipfile.ZipFile(file) as archive:
            members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
            if "x" not in members and len(members) != 1:
                raise DataError(
                    f"{name}: holds the arrays {', '.join(map(repr, members)) or '(none)'}: "
                    "name one of them x, or keep one only"
                )
            key = "x" if "x" in members else next(iter(members))
            with archive.open(members[key]) as stream:
                size = members[key].file_size
                return _read_npy(stream, size, f"{name}[{key}]", max_bytes)  # type: ignore[arg-type]
    except _ZIP_ERRORS as error:
        raise DataError(f"{name}: the .npz archive cannot be read ({_first_line(error)})") from error


def _read_csv(file: BinaryIO, name: str) -> Array:
    try:
        lines = file.read().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: is not UTF-8 text ({error.reason} at byte {error.start})") from error
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if numbered and not any(_is_number(field) for field in numbered[0][1].split(",")):
        del numbered[0]
    if not numbered:
        raise DataError(f"{name}: holds no rows of numbers")
    try:
        return np.loadtxt(
            [line for _, line in numbered], dtype=np.float64, delimiter=",", ndmin=2, comments=None
        )
    except ValueError as error:
        raise DataError(f"{name}: {_csv_problem(numbered) or _first_line(error)}") from error


def _csv_problem(numbered: list[tuple[int, str]]) -> str | None:
    """Find the first line that NumPy could not read."""
    columns = len(numbered[0][1].split(","))
    for number, line in numbered:
        fields = line.split(",")
        for column, field in enumerate(fields, 1):
            if not _is_number(field):
                return f"line {number}, column {column}: {field.strip()[:40]!r} is not a number"
        if len(fields) != columns:
            return f"line {number} has {len(fields)} columns, the lines above it have {columns}"
    return None


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _samples(array: Array, name: str, dtype: np.dtype[np.generic]) -> Array:
    """Flatten to (samples, features) of `dtype`, with every value finite."""
    if array.ndim < 2:
        raise DataError(
            f"{name}: has shape {array.shape}, expected at least two dimensions: (samples, features)"
        )
    rows = array.reshape(len(array), -1)
    if rows.dtype == np.uint8:
        return np.divide(rows, 255, dtype=dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        samples = rows.astype(dtype)
    finite = np.isfinite(samples)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise DataError(
            f"{name}: {np.count_nonzero(~finite)} values are not finite in {dtype}, "
            f"the first at row {row}, column {column} (counted from 0): {rows[row, column]}"
        )
    return np.ascontiguousarray(samples)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
