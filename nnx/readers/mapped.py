"""Arrays that stay in their files: .npy and IDX, one or a folder of them, mapped into memory."""

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
    """Rows of a .npy or IDX file, or of a folder of such files, that are read when they are needed.

    Only the headers are read now. `Network.fit`, `evaluate` and `predict` take what it returns, and hold no
    more of it in memory than a few batches. They check what they read: NaN, infinity and targets out of range
    are found when their batch is.

    Parameters
    ----------
    path : str or Path
        A file, or a folder whose files (all but hidden ones) are shards of one array, in the order of their
        names: of one type and width, in C order, not compressed. They must not change while they are used.

    Returns
    -------
    Rows
        Of shape (rows, features): trailing dimensions are flattened, and uint8 values (images) are divided
        by 255, as by `load_arrays`. Files of one dimension (labels) give the shape (rows,), undivided.

    Raises
    ------
    DataError
        If a file cannot be read, is damaged, of another format, or does not fit the others; the text names
        it.

    Notes
    -----
    A shuffle takes the shards in an order of its own and mixes the rows within each: what is read at a time
    lies together. So the rows of one shard should be no more alike than those of all (not one class each).
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
    """A file's array where it lies, with its trailing dimensions flattened."""
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
                    f"{path}: is stored column by column, so its rows cannot be read one by one: save "
                    "np.ascontiguousarray(x)"
                )
        elif kind == "idx":
            if file.read(2) == GZIP_MAGIC:
                raise DataError(f"{path}: is compressed, so it cannot be mapped: unpack it (gunzip)")
            file.seek(0)
            start, dtype, shape = read_header(file, str(path))
            expected = len(start) + math.prod(shape) * dtype.itemsize
            if size != expected:
                raise DataError(
                    f"{path}: its header promises {expected:,} bytes in all, the file has {size:,}"
                )
        else:
            raise DataError(f"{path}: is a .{kind} file; only .npy and IDX files can be mapped")
        if not shape:
            raise DataError(f"{path}: holds a single number, expected rows")
        array: Array = np.memmap(file, dtype, "r", file.tell(), shape)
    return array if array.ndim == 1 else array.reshape(len(array), -1)
