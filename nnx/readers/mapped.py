"""Map arrays that stay in their files into memory: .npy and IDX, one file or a folder of files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from nnx.data.rows import Rows
from nnx.errors import DataError
from nnx.readers import npy
from nnx.readers.arrays import kind_of
from nnx.readers.idx import GZIP_MAGIC, read_header
from nnx.readers.opening import reading
from nnx.readers.types import Array


def open_rows(path: str | Path) -> Rows:
    """Open a .npy or IDX file, or a folder of such files, whose rows are read when they are needed.

    Only the headers are read now. Pass the result to `Network.fit`, `evaluate` or `predict`: they hold only a
    few batches in memory. They check each batch when they read it, and report NaN, infinity and targets out
    of range then.

    Parameters
    ----------
    path : str or Path
        A file, or a folder whose files (except hidden ones) hold the parts of one array, in the order of
        their names: with the same type and width, in C order, not compressed. The files must not change
        while they are in use.

    Returns
    -------
    Rows
        Shape (rows, features): further dimensions are flattened, and uint8 values (images) are divided by
        255, as in `load_arrays`. Files of one dimension (labels) give the shape (rows,), not divided.

    Raises
    ------
    DataError
        If a file cannot be read, is damaged, has another format, or does not match the others; the text
        names the file.

    Notes
    -----
    Shuffling draws an order of the files, and then mixes the rows within each file, so that rows that are
    read together lie together. Therefore each file should be a random sample of all rows; do not store one
    class per file.
    """
    place = Path(path)
    try:
        paths = (
            sorted(p for p in place.iterdir() if not p.name.startswith(".")) if place.is_dir() else [place]
        )
    except OSError as error:
        raise DataError(f"{place}: cannot be read ({error.strerror})") from error
    if not paths:
        raise DataError(f"{place}: is an empty folder, expected .npy or IDX files")
    parts = [_mapped(p) for p in paths]
    for part, p in zip(parts, paths, strict=True):
        if (part.dtype, part.shape[1:]) != (parts[0].dtype, parts[0].shape[1:]):
            raise DataError(
                f"{p}: holds {part.dtype} in rows of {part.shape[1:]}, "
                f"but {paths[0].name} holds {parts[0].dtype} in rows of {parts[0].shape[1:]}"
            )
    return Rows(parts, 255.0 if parts[0].dtype == np.uint8 and parts[0].ndim > 1 else 1.0)


def _mapped(path: Path) -> Array:
    """Map a file's array into memory, and flatten its rows."""
    with reading(path) as file:
        kind = kind_of(file, path)
        size = file.seek(0, 2)
        file.seek(0)
        dtype: np.dtype[Any]
        if kind == "npy":
            header = npy.Header(file, size, str(path))
            dtype, shape = header.dtype, header.shape
            if header.fortran and len(shape) > 1:
                raise DataError(
                    f"{path}: is stored column by column, so its rows cannot be read one by one: save it "
                    "again as np.ascontiguousarray(x)"
                )
        elif kind == "idx":
            if file.read(2) == GZIP_MAGIC:
                raise DataError(f"{path}: is compressed, so it cannot be mapped: unpack it (gunzip)")
            file.seek(0)
            start, dtype, shape = read_header(file, str(path))
            expected = len(start) + math.prod(shape) * dtype.itemsize
            if size != expected:
                raise DataError(
                    f"{path}: its header promises {expected:,} bytes in all, but the file has {size:,}"
                )
        else:
            raise DataError(f"{path}: is a .{kind} file; only .npy and IDX files can be mapped")
        if not shape:
            raise DataError(f"{path}: holds a single number instead of rows")
        array: Array = np.memmap(file, dtype, "r", file.tell(), shape)
    return array if array.ndim == 1 else array.reshape(len(array), -1)
