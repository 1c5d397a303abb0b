"""Read the user's samples and targets from arrays, tables and folders of images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from nnx.errors import ConfigurationError, DataError
from nnx.experiments.train import from_tables
from nnx.experiments.train.from_images import from_folder
from nnx.experiments.train.from_tables import inputs_of_table, labelled_table, targets_of_table
from nnx.experiments.train.layout import TASKS, Labelled, Layout
from nnx.experiments.train.row_weights import check_weights, note_on_zeros, read_weights
from nnx.experiments.train.targets import targets_of
from nnx.readers import images, npy
from nnx.readers.arrays import as_rows, check_axes, kind_of, read_any
from nnx.readers.form import Reading, find_form
from nnx.readers.idx import MAX_BYTES
from nnx.readers.opening import reading
from nnx.readers.table_reader import TableReader
from nnx.readers.tables import read_table
from nnx.readers.types import Array

__all__ = ["TASKS", "Labelled", "Layout", "Reading", "identities", "load_inputs", "load_labelled"]


def load_labelled(
    path: str | Path,
    task: str = "auto",
    target: Sequence[str] = (),
    ignore: Sequence[str] = (),
    image_size: tuple[int, int] | None = None,
    max_bytes: int = MAX_BYTES,
    weights: str | None = None,
    how: Reading | None = None,
    kinds: Sequence[str] | None = None,
) -> Labelled:
    """Load samples and their targets.

    ================  ===================================================  =================================
    what              samples, in their own shape                          targets
    ================  ===================================================  =================================
    ``.csv``          the columns that `target` and `ignore` do not name   the columns in `target`
    ``.npz``          ``x``, or the only array                             ``y``, if there is one
    ``.npy``, IDX     the array; a .npy is mapped, not read                a file named in `target`
    a folder          the images in it, or in its subfolders               the subfolders' names
    ================  ===================================================  =================================

    Parameters
    ----------
    path : str or Path
    task : {"auto", "classification", "regression", "autoencoding"}
        Auto: without targets autoencoding; with targets by the rule of `nnx.experiments.train.targets`.
    target, ignore : sequence of str
        Columns of a table, by name or number (from 1, or from -1 backwards); a text may hold several, with
        commas between them.
    image_size : (int, int), optional
        Height and width that images are brought to; without it all must be of one size.
    max_bytes : int, default 2**30
        Most bytes that are read into memory.
    weights : str, optional
        A column of a table, an array of an archive, or a file, that holds the weight of each row.
    how : Reading, optional
        How tables are written, and what becomes of gaps, of texts, and of transparent parts of images.
    kinds : sequence of str, optional
        Read a table as columns of any kind, see `nnx.experiments.train.from_columns`; these are the kinds
        that the user gave, as ``"zip=category"``.

    Raises
    ------
    DataError
        If the data cannot be read, is damaged, or does not fit the task.
    ConfigurationError
        If task, columns and data make no sense together; the text says what does.
    """
    path, how = Path(path), how or Reading()
    notes: list[str] = []
    if kinds is not None and (path.is_dir() or not target):
        raise ConfigurationError(
            f"{path}: --preset tabular "
            + ("is for tables" if path.is_dir() else "learns columns of a table: name them by --target")
        )
    if path.is_dir():
        _refuse(target, f"{path}: the names of its subfolders are the classes, so there is no target")
        _refuse(ignore, f"{path}: is a folder of images, which has no columns to ignore")
        _refuse(weights, f"{path}: is a folder of images, which has no column of weights")
        return from_folder(path, task, image_size, how, max_bytes)
    _refuse(image_size, f"{path}: is no folder of images, so there is no image_size")
    with reading(path) as file:
        kind = kind_of(file, path)
        if kinds is not None and kind != "csv":
            raise ConfigurationError(f"{path}: --preset tabular is for tables (.csv, .tsv, .txt)")
        if kind == "csv":
            given = (file, str(path), task, target, ignore, weights, how)
            if kinds is None:
                data = labelled_table(*given, max_bytes)
            else:
                from nnx.experiments.train import from_columns  # which needs scikit-learn

                data = from_columns.labelled_columns(*given, kinds, max_bytes)
            if data.weights is not None:
                data = replace(data, weights=check_weights(data.weights, len(data.x), str(path)))
            return data
        _refuse(ignore, f"{path}: has no columns to ignore: only a table has")
        x, y, names = _arrays(file, path, kind, target, how, notes, max_bytes)
        counts = None if weights is None else read_weights(file, path, kind, weights, max_bytes)
    data = _from_arrays(str(path), task, x, y, names, counts)
    if data.weights is not None:
        notes.extend(note_on_zeros(data.weights, data.name))
    return replace(data, notes=tuple(notes))


def load_inputs(
    path: str | Path,
    layout: Layout,
    max_bytes: int = MAX_BYTES,
    how: Reading | None = None,
    notes: list[str] | None = None,
) -> tuple[Array, list[str] | None]:
    """Load samples as the network takes them, in the file's own type; and for images, their files.

    A table may hold more columns if it names them, or all columns of the table in training. Images are
    resized to the size of the training. Notes about how the file was read are added to `notes`. Rows get the
    shape of those in training, see `nnx.readers.arrays.as_rows`.

    Raises
    ------
    DataError
        If the file cannot be read, or its samples have another shape.
    ConfigurationError
        If a table lacks a column, or can be read in two ways.
    """
    path, names, how = Path(path), None, how or Reading()
    notes = [] if notes is None else notes
    if path.is_dir() or path.suffix.lower() in images.SUFFIXES:
        if layout.image is None:
            raise DataError(f"{path}: holds images, on which this network was not trained")
        files = images.everywhere(path) if path.is_dir() else [path]
        found = images.survey(files, layout.image[:2], notes, layout.image[2])
        found = replace(found, deep=not layout.scaled_bytes)
        x = images.read_images(found, layout.background, notes, max_bytes)
        return x.reshape(-1, *layout.row_shape), [str(file) for file in files]
    with reading(path) as file:
        kind = kind_of(file, path)
        if layout.table is not None:
            if kind != "csv":
                raise DataError(f"{path}: the network was trained on columns of several kinds: give a table")
            from nnx.experiments.train import from_columns  # which needs scikit-learn

            x = from_columns.inputs_of_columns(file, str(path), layout, how, notes, max_bytes)
        elif kind == "csv":
            x = inputs_of_table(file, str(path), layout, how, notes, max_bytes)
        else:
            x = _arrays(file, path, kind, (), how, notes, max_bytes)[0]
    if x.ndim > 2 and layout.shape is None and layout.image is not None:
        x = as_rows(x, layout.image, str(path))  # version 0.1 flattened images, but stored their size
    elif x.ndim > 2 and layout.shape is None:
        notes.append(
            f"{path}: rows of shape {x.shape[1:]} are read as rows of {math.prod(x.shape[1:])} numbers, as "
            "the network takes them"
        )
    return as_rows(x, layout.row_shape, str(path)), names


def _refuse(given: object, text: str) -> None:
    if given:
        raise ConfigurationError(text)


def _arrays(
    file: BinaryIO, path: Path, kind: str, target: Sequence[str], how: Reading, notes: list[str],
    max_bytes: int,
) -> tuple[Array, Array | None, tuple[str, ...]]:  # fmt: skip
    """Return samples and targets as they are in the files, and the targets' names."""
    size = file.seek(0, 2)
    file.seek(0)
    if kind == "npz":
        _refuse(target, f"{path}: its array y holds the targets: there is no other target to name")
        with npy.open_npz(file, str(path), max_bytes) as archive:
            names = {"x", "y"} <= set(archive.members)
            y = archive.read("y", npy.NUMBERS + npy.TEXTS) if names else None
            return archive.read(archive.inputs()), y, ()
    x = npy.map_npy(file, size, str(path)) if kind == "npy" else read_any(file, path, max_bytes)
    if not target:
        return x, None, ()
    if len(target) > 1:
        raise ConfigurationError(f"{path}: its targets are one file, but target names {len(target)}")
    place = Path(target[0])
    with reading(place) as other:
        if kind_of(other, place) == "csv":
            return x, *targets_of_table(other, str(place), len(x), how, notes, max_bytes)
        return x, read_any(other, place, max_bytes, npy.NUMBERS + npy.TEXTS), ()


def _image_of(x: Array) -> tuple[int, int, int] | None:
    """Return height, width and channels if the rows are bytes of an image."""
    if x.dtype != np.uint8 or x.ndim not in (3, 4) or (x.ndim == 4 and x.shape[3] not in (1, 3)):
        return None
    return (int(x.shape[1]), int(x.shape[2]), int(x.shape[3]) if x.ndim == 4 else 1)


def _from_arrays(
    name: str, task: str, x: Array, y: Array | None, names: tuple[str, ...], weights: Array | None
) -> Labelled:
    check_axes(x, name)
    shape = x.shape[1:]
    layout = Layout(
        math.prod(shape), image=_image_of(x), scaled_bytes=x.dtype == np.uint8,
        shape=shape if len(shape) > 1 else None,
    )  # fmt: skip
    counts = None if weights is None else check_weights(weights, len(x), name)
    if y is None or task == "autoencoding":
        if task not in ("auto", "autoencoding"):
            raise ConfigurationError(f"{name}: {task} needs targets: an array y, or a file named by target")
        return Labelled(name, "autoencoding", x, None, (), (), layout, counts)
    if y.ndim == 0 or len(y) != len(x):
        raise DataError(f"{name}: holds {len(x):,} samples, but {y.shape[0] if y.ndim else 1:,} targets")
    if counts is None:
        found = targets_of(y, task, name, names=names)
        return Labelled(name, found.task, x, found.y, found.classes, found.called(names), layout)
    rows = np.flatnonzero(counts)  # the targets of the others may be anything
    found = targets_of(y[rows], task, name, names=names, rows=rows)
    targets = np.zeros((len(y), *found.y.shape[1:]), found.y.dtype)
    targets[rows] = found.y
    return Labelled(name, found.task, x, targets, found.classes, found.called(names), layout, counts)


def identities(
    file: BinaryIO, name: str, column: str, layout: Layout | None, reading: Reading, max_bytes: int
) -> tuple[str, list[str]]:
    """Return the name of a table's column, and its cells in the rows that are samples.

    Raises
    ------
    ConfigurationError
        If there is no such column; the text names the nearest.
    """
    wanted = (layout and layout.columns) or ()
    several = layout is not None and from_tables.has_several(layout)
    form = find_form(file, name, reading, [column], wanted, several)
    reader = TableReader(file, name, form)
    (place,) = reader.places([column])
    if layout is None:
        table = read_table(file, name, form, max_bytes=max_bytes)
    elif layout.table is None:
        table, _ = from_tables.table_for(file, name, layout, reading, max_bytes)
    else:
        from nnx.experiments.train import from_columns  # which needs scikit-learn

        table = from_columns.table_for(file, name, layout, reading, max_bytes)[0]
    samples = set(table.lines.tolist())
    reader = TableReader(file, name, form)
    cells = [row[place].strip() for row in reader if reader.line in samples]
    return reader.columns[place] if reader.columns else "id", cells
