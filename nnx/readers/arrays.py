"""Read arrays from the user's own files (.npy, .npz, .csv, IDX), and check them."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from nnx.errors import DataError
from nnx.readers import npy
from nnx.readers.columns import numbers_of_table
from nnx.readers.form import Reading
from nnx.readers.idx import MAX_BYTES, parse_idx
from nnx.readers.opening import reading
from nnx.readers.types import Array, choose_dtype

TABLES = (".csv", ".tsv", ".tab", ".txt", ".dat", ".data")
_WORKBOOKS = (".xlsx", ".xlsm", ".xls", ".ods")
_IDX_MAGICS = (b"\x1f\x8b", b"\0\0")


def load_arrays(
    path: str | Path,
    dtype: npt.DTypeLike = "float32",
    max_bytes: int = MAX_BYTES,
    how: Reading | None = None,
    notes: list[str] | None = None,
    shape: tuple[int, ...] | None = None,
) -> Array:
    """Load samples from a file.

    The first bytes of the file show its format: ``.npy``; ``.npz`` (its array ``x``, or its only array);
    IDX, gzipped or plain. Any other file is read as a text table of numbers if its suffix allows it
    (``.csv``, ``.tsv``, ``.txt``, …); delimiter, decimal mark, encoding and names of columns are found
    automatically. Nothing is ever unpickled.

    Parameters
    ----------
    path : str or Path
        The file.
    dtype : {"float32", "float64", "int64"}
        Type of the result. ``"int64"`` is for networks that take integers.
    max_bytes : int, default 2**30
        Largest array or text accepted, in bytes.
    how : Reading, optional
        How a table is written, if it shall not be found automatically.
    notes : list of str, optional
        Notes about how a table was read are added to it. Without it, each note is a warning.
    shape : tuple of int, optional
        The shape of a sample, as ``network.input_shape``; without it, each sample is flattened.

    Returns
    -------
    numpy.ndarray
        Shape (samples, features), or (samples, *shape), see `as_rows`. In a float type, uint8 values (images)
        are divided by 255; other numbers are unchanged.

    Raises
    ------
    DataError
        If the file cannot be read, is damaged, claims more than it holds, has no samples, has fewer than
        two dimensions, its samples do not have the shape, or it holds values that are not numbers (or not
        integers for ``"int64"``), or NaN or infinity.
    ConfigurationError
        If `dtype` is not one of these types.
    """
    chosen = choose_dtype(dtype, ("float32", "float64", "int64"))
    with reading(path) as file:
        said: list[str] = [] if notes is None else notes
        array = read_any(file, Path(path), max_bytes, how=how, notes=said)
    for note in said if notes is None else ():
        warnings.warn(note, UserWarning, stacklevel=2)
    return as_samples(array, str(path), chosen, shape)


def kind_of(file: BinaryIO, path: Path) -> str:
    """Return ``"npy"``, ``"npz"``, ``"idx"`` or ``"csv"``, by the first bytes, or by the suffix for text."""
    start = file.read(len(npy.MAGIC))
    file.seek(0)
    if not start:
        raise DataError(f"{path}: is empty")
    if start == npy.MAGIC:
        return "npy"
    if path.suffix.lower() in _WORKBOOKS:
        raise DataError(f"{path}: is a workbook: save its sheet as CSV")
    if start.startswith(npy.ZIP_MAGIC):
        return "npz"
    if start.startswith(_IDX_MAGICS):
        return "idx"
    if path.suffix.lower() in TABLES:
        return "csv"
    raise DataError(
        f"{path}: has an unknown format; nnx reads tables (.csv, .tsv, .txt), .npz, .npy, IDX, and folders "
        "of images"
    )


def read_any(
    file: BinaryIO,
    path: Path,
    max_bytes: int,
    kinds: str = npy.NUMBERS,
    how: Reading | None = None,
    notes: list[str] | None = None,
) -> Array:
    """Read the array in a file with its own type and shape; a NumPy file may only hold values of `kinds`."""
    name, kind = str(path), kind_of(file, path)
    size = file.seek(0, 2)
    file.seek(0)
    if kind == "npy":
        return npy.read_npy(file, size, name, max_bytes, kinds)
    if kind == "npz":
        with npy.open_npz(file, name, max_bytes) as archive:
            return archive.read(archive.inputs(), kinds)
    if kind == "idx":
        return parse_idx(file, name, max_bytes).array
    return numbers_of_table(file, name, how or Reading(), [] if notes is None else notes, max_bytes)


def as_samples(
    array: Array, name: str, dtype: np.dtype[np.generic], shape: tuple[int, ...] | None = None
) -> Array:
    """Give samples a shape (flat by default), convert them to `dtype`, and check that all are finite."""
    check_axes(array, name)
    rows = as_rows(array, (math.prod(array.shape[1:]),) if shape is None else shape, name)
    if dtype.kind == "i":
        return _integers(rows, name, dtype)
    if rows.dtype == np.uint8:
        return np.divide(rows, 255, dtype=dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        samples = rows.astype(dtype)
    flat = samples.reshape(len(samples), -1)
    finite = np.isfinite(flat)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise DataError(
            f"{name}: {np.count_nonzero(~finite)} values are not finite in {dtype}, "
            f"the first at row {row}, column {column} (counted from 0): {rows[row].flat[column]}"
        )
    return np.ascontiguousarray(samples)


def _integers(rows: Array, name: str, dtype: np.dtype[np.generic]) -> Array:
    """Convert rows to integers, and refuse numbers that are none."""
    with np.errstate(invalid="ignore"):
        samples = np.ascontiguousarray(rows.astype(dtype))
    if rows.dtype.kind == "f" and not (samples == rows).all():
        row = int(np.argmin((samples == rows).reshape(len(rows), -1).all(axis=1)))
        raise DataError(f"{name}: holds numbers that are no integers, first in row {row} (counted from 0)")
    return samples


def check_axes(array: Array, name: str) -> None:
    """Refuse an array whose samples have no axis.

    Raises
    ------
    DataError
        If it has fewer than two axes.
    """
    if array.ndim < 2:
        raise DataError(
            f"{name}: has shape {array.shape}, expected at least two dimensions: (samples, features)"
        )


def as_rows(array: Array, shape: tuple[int, ...], name: str) -> Array:
    """Give rows the shape that a network takes, if it is clear how; mapped arrays are not read.

    Rows of that shape stay as they are, and so do rows that differ only in axes of length 1. For a network
    that takes rows of features, rows of several axes are flattened. Rows of numbers, as tables have them,
    are divided into rows of at most two axes longer than 1, the last axis first: (h · w) becomes (h, w). With
    three such axes the order of the numbers is unknown (a colour picture may be stored by pixel or by
    channel), so these are refused.

    Raises
    ------
    DataError
        If the rows have another shape; the text says which, and which is needed.
    """
    check_axes(array, name)
    given, numbers = array.shape[1:], math.prod(array.shape[1:])
    if given == shape:
        return array
    if numbers != math.prod(shape):
        if len(shape) == 1:
            raise DataError(f"{name}: has {numbers} features, but the network takes {shape[0]}")
        has = f"{numbers} numbers in a row" if len(given) == 1 else f"rows of shape {given}"
        raise DataError(f"{name}: has {has}, but the network takes rows of shape {shape}")
    long = [size for size in shape if size > 1]
    if len(shape) == 1 or long == [size for size in given if size > 1]:
        return array.reshape(len(array), *shape)
    if len(given) > 1:
        raise DataError(f"{name}: has rows of shape {given}, but the network takes rows of shape {shape}")
    if len(long) > 2:
        raise DataError(
            f"{name}: has {numbers} numbers in a row, but not their order in rows of shape {shape}, which "
            f"the network takes: give a .npy or .npz file with an array of shape (rows, {str(shape)[1:]}"
        )
    return array.reshape(len(array), *shape)
