"""Read arrays from the user's own files (.npy, .npz, .csv, IDX), and check them."""

from __future__ import annotations

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
    dtype : {"float32", "float64"}
        Type of the result.
    max_bytes : int, default 2**30
        Largest array or text accepted, in bytes.
    how : Reading, optional
        How a table is written, if it shall not be found automatically.
    notes : list of str, optional
        Notes about how a table was read are added to it. Without it, each note is a warning.

    Returns
    -------
    numpy.ndarray
        Shape (samples, features); further dimensions are flattened. uint8 values (images) are divided by
        255; other numbers are unchanged.

    Raises
    ------
    DataError
        If the file cannot be read, is damaged, claims more than it holds, has no samples, has fewer than
        two dimensions, or holds values that are not numbers, or NaN or infinity.
    ConfigurationError
        If `dtype` is not one of these types.
    """
    chosen = choose_dtype(dtype)
    with reading(path) as file:
        said: list[str] = [] if notes is None else notes
        array = read_any(file, Path(path), max_bytes, how=how, notes=said)
    for note in said if notes is None else ():
        warnings.warn(note, UserWarning, stacklevel=2)
    return as_samples(array, str(path), chosen)


def kind_of(file: BinaryIO, path: Path) -> str:
    """Return ``"npy"``, ``"npz"``, ``"idx"`` or ``"csv"``, by the first bytes, or by the suffix for text.

    Raises
    ------
    DataError
        If the file has another format, or is empty.
    """
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


def as_samples(array: Array, name: str, dtype: np.dtype[np.generic]) -> Array:
    """Flatten an array to (samples, features), convert it to `dtype`, and check that all are finite."""
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
