"""The user's own samples with what is to be learnt of them: from arrays, tables and folders of images."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from nnx.datasets import npy, pictures
from nnx.datasets.base import Array
from nnx.datasets.files import check_size, kind_of, read_any
from nnx.datasets.idx import MAX_BYTES
from nnx.datasets.opening import reading
from nnx.datasets.row_weights import check_weights, read_weights
from nnx.datasets.tables import MAX_LABELS, NotANumberError, TableReader, is_number, position, read_table
from nnx.errors import ConfigurationError, DataError

TASKS = ("classification", "regression", "autoencoding")
MAX_NAME = 200  # characters of a class's name: it is kept in every model and written in every figure


@dataclass(frozen=True)
class Layout:
    """How a sample is laid out in its file, so that another file can be read the same way.

    Attributes
    ----------
    features : int
        Numbers in a sample.
    columns : tuple of str or None
        Of a table whose first line named them: the features' names, in order.
    chosen : tuple of int or None
        Of a table: which of its columns the features were, from 0.
    width : int or None
        Of a table: how many columns it had.
    image : (int, int, int) or None
        Height, width and channels (1 or 3), where a sample is an image.
    scaled_bytes : bool
        Whether the numbers were bytes, 0 to 255.
    """

    features: int
    columns: tuple[str, ...] | None = None
    chosen: tuple[int, ...] | None = None
    width: int | None = None
    image: tuple[int, int, int] | None = None
    scaled_bytes: bool = False


@dataclass(frozen=True, eq=False)
class Labelled:
    """Samples and what is to be learnt of them.

    Attributes
    ----------
    name : str
        Of the file or folder.
    task : {"classification", "regression", "autoencoding"}
    x : array of shape (rows, features)
        Of the file's own type; a .npy file is mapped and not read.
    y : array or None
        Labels from 0, shape (rows,), int64; or values, shape (rows, targets), float64. None for
        autoencoding.
    classes : tuple of str
        Of labels: their names.
    targets : tuple of str
        The names of what is learnt, where the file has them.
    layout : Layout
    weights : array of shape (rows,) or None
        How much each row counts, float64: a row of weight 2 counts as two rows.
    """

    name: str
    task: str
    x: Array
    y: Array | None
    classes: tuple[str, ...]
    targets: tuple[str, ...]
    layout: Layout
    weights: Array | None = None


def load_labelled(
    path: str | Path,
    task: str = "auto",
    target: Sequence[str] = (),
    ignore: Sequence[str] = (),
    image_size: tuple[int, int] | None = None,
    max_bytes: int = MAX_BYTES,
    weights: str | None = None,
) -> Labelled:
    """Load samples and what is to be learnt of them.

    ================  ===================================================  =================================
    what              samples                                              targets
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
        Auto: without targets autoencoding; with texts or integers classification; with other numbers
        regression. What numbers in a table's column are must be said.
    target, ignore : sequence of str
        Columns of a table, by name or number (from 1, or from -1 backwards).
    image_size : (int, int), optional
        Height and width that images are brought to; without it all must be of one size.
    max_bytes : int, default 2**30
        Most bytes that are read into memory.
    weights : str, optional
        A column of a table, an array of an archive, or a file, that holds the weight of each row.

    Raises
    ------
    DataError
        If the data cannot be read, is damaged, or does not fit the task.
    ConfigurationError
        If task, columns and data make no sense together; the text says what does.
    """
    path = Path(path)
    if path.is_dir():
        _refuse(target, f"{path}: the names of its subfolders are the classes, so there is no target")
        _refuse(ignore, f"{path}: is a folder of images, of which no column can be left out")
        _refuse(weights, f"{path}: is a folder of images, which has no column of weights")
        return _from_folder(path, task, image_size, max_bytes)
    _refuse(image_size, f"{path}: is no folder of images, so there is no image_size")
    with reading(path) as file:
        kind = kind_of(file, path)
        if kind == "csv":
            return _from_table(file, str(path), task, target, ignore, max_bytes, weights)
        _refuse(ignore, f"{path}: has no columns to ignore: only a .csv file has")
        x, y = _arrays(file, path, kind, target, max_bytes)
        counts = None if weights is None else read_weights(file, path, kind, weights, max_bytes)
    return _from_arrays(str(path), task, x, y, counts)


def load_inputs(
    path: str | Path, layout: Layout, max_bytes: int = MAX_BYTES
) -> tuple[Array, list[str] | None]:
    """Samples laid out as those a network was trained on, in the file's own type; of images, their files.

    A table may hold more columns where it names them, or all that the first had; a folder holds images, in
    subfolders or not, whose size is changed where it must be.

    Raises
    ------
    DataError
        If the file cannot be read, or its samples are not laid out so.
    """
    path, names = Path(path), None
    if path.is_dir() or path.suffix.lower() in pictures.SUFFIXES:
        if layout.image is None:
            raise DataError(f"{path}: holds images, on which this network was not trained")
        files = pictures.everywhere(path) if path.is_dir() else [path]
        x = pictures.read_images(files, layout.image, max_bytes)
        names = [str(file) for file in files]
    else:
        with reading(path) as file:
            kind = kind_of(file, path)
            if kind == "csv":
                x = _columns(file, str(path), layout, max_bytes)
            else:
                x = _flat(_arrays(file, path, kind, (), max_bytes)[0], str(path))
    if x.shape[1] != layout.features:
        raise DataError(
            f"{path}: has {x.shape[1]} numbers in a row, but the network was trained on {layout.features}"
        )
    return x, names


def _refuse(given: object, text: str) -> None:
    if given:
        raise ConfigurationError(text)


def _arrays(
    file: BinaryIO, path: Path, kind: str, target: Sequence[str], max_bytes: int
) -> tuple[Array, Array | None]:
    """Samples and targets as they are in the files."""
    size = file.seek(0, 2)
    file.seek(0)
    if kind == "npz":
        _refuse(target, f"{path}: its array y holds the targets: there is no other target to name")
        with npy.open_npz(file, str(path), max_bytes) as archive:
            names = {"x", "y"} <= set(archive.members)
            y = archive.read("y", npy.NUMBERS + npy.TEXTS) if names else None
            return archive.read(archive.inputs()), y
    x = npy.map_npy(file, size, str(path)) if kind == "npy" else read_any(file, path, max_bytes)
    if not target:
        return x, None
    if len(target) > 1:
        raise ConfigurationError(f"{path}: its targets are one file, but target names {len(target)}")
    with reading(target[0]) as other:
        return x, read_any(other, Path(target[0]), max_bytes, npy.NUMBERS + npy.TEXTS)


def _flat(x: Array, name: str) -> Array:
    """(samples, features), without reading what is mapped."""
    if x.ndim < 2:
        raise DataError(f"{name}: has shape {x.shape}, expected at least two dimensions: (samples, features)")
    return x.reshape(len(x), -1)


def _image_of(x: Array) -> tuple[int, int, int] | None:
    """The shape of an image, where the rows of bytes have one."""
    if x.dtype != np.uint8 or x.ndim not in (3, 4) or (x.ndim == 4 and x.shape[3] not in (1, 3)):
        return None
    return (int(x.shape[1]), int(x.shape[2]), int(x.shape[3]) if x.ndim == 4 else 1)


def _from_arrays(name: str, task: str, x: Array, y: Array | None, weights: Array | None = None) -> Labelled:
    rows = _flat(x, name)
    layout = Layout(rows.shape[1], image=_image_of(x), scaled_bytes=x.dtype == np.uint8)
    counts = None if weights is None else check_weights(weights, len(rows), name)
    if y is None or task == "autoencoding":
        if task not in ("auto", "autoencoding"):
            raise ConfigurationError(f"{name}: {task} needs targets: an array y, or a file named by target")
        return Labelled(name, "autoencoding", rows, None, (), (), layout, counts)
    if len(y) != len(rows):
        raise DataError(f"{name}: holds {len(rows):,} samples, but {len(y):,} targets")
    if task == "auto":
        task = "regression" if y.dtype.kind == "f" else "classification"
    if task == "classification":
        labels, classes = _labels(y, name)
        return Labelled(name, task, rows, labels, classes, (), layout, counts)
    values = _values(y.reshape(len(y), -1), name)
    return Labelled(name, task, rows, values, (), (), layout, counts)


def _labels(y: Array, name: str) -> tuple[Array, tuple[str, ...]]:
    """Labels from 0, and the names they stand for, of an array of integers or texts."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y.reshape(-1)
    if y.ndim != 1:
        raise DataError(f"{name}: labels have the shape (rows,), not {y.shape}")
    values, labels = np.unique(y, return_inverse=True)
    if y.dtype.kind == "f" and not (np.isfinite(values).all() and (values == np.floor(values)).all()):
        raise DataError(f"{name}: labels are integers or texts, but it holds values: is it regression?")
    if len(values) > MAX_LABELS:
        raise DataError(f"{name}: more than {MAX_LABELS:,} different labels: is it regression?")
    texts = _texts(values, name) if y.dtype.kind in npy.TEXTS else [str(int(value)) for value in values]
    return labels.astype(np.int64), _checked_names(texts, name)


def _texts(values: Array, name: str) -> list[str]:
    """Texts of a NumPy array, whose bytes may be anything."""
    if values.dtype.kind == "U":
        characters = np.ascontiguousarray(values).view(f"{values.dtype.byteorder}u4")
        if characters.max(initial=0) > sys.maxunicode:
            raise DataError(f"{name}: its labels hold characters that there are not")
        return [str(value) for value in values.tolist()]
    try:
        return [value.decode() for value in values.tolist()]
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: its labels are not UTF-8 texts") from error


def _checked_names(names: Sequence[str], where: str) -> tuple[str, ...]:
    if len(names) < 2:
        raise DataError(f"{where}: classification needs at least two classes, found {len(names)}")
    longest = max(names, key=len)
    if len(longest) > MAX_NAME:
        raise DataError(
            f"{where}: a class's name has {len(longest):,} characters, of which {MAX_NAME} are accepted"
        )
    return tuple(names)


def _values(y: Array, name: str) -> Array:
    if y.dtype.kind in npy.TEXTS:
        raise DataError(f"{name}: its targets are texts, which are classes: is it classification?")
    values = y.astype(np.float64)
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values).all(axis=1)))
        raise DataError(f"{name}: its targets hold a value that is not finite, first in row {row}")
    return values


# ------------------------------------------------------------------------------------------------ tables


def _from_table(
    file: BinaryIO, name: str, task: str, target: Sequence[str], ignore: Sequence[str], max_bytes: int,
    weights: str | None,
) -> Labelled:  # fmt: skip
    check_size(file.seek(0, 2), name, max_bytes)
    file.seek(0)
    counted = [] if weights is None else [weights]
    task = _task_of_table(file, name, task, target, counted)
    texts = list(target) if task == "classification" else []
    values = [*(target if task == "regression" else ()), *counted]
    try:
        table = read_table(file, name, texts, ignore, named=values, max_bytes=max_bytes)
    except NotANumberError as error:
        raise DataError(f"{error}; if it is no feature: name it as target, or ignore it") from error
    at = [position(column, table.columns, table.width, name) for column in values]
    targets = set(at)
    _refuse(len(targets) < len(at), f"{name}: target names a column twice, or weights too: leave one out")
    left_out = targets - set(table.chosen)
    _refuse(left_out, f"{name}: a column is named by target and by ignore, or weights: leave one out")
    features = [index for index in table.chosen if index not in targets]
    if not features:
        raise DataError(f"{name}: no column is left for the samples")
    numbers = table.of(features)
    layout = Layout(len(features), table.apart(features), tuple(features), table.width)
    counts = check_weights(table.of([at.pop()]), len(numbers), name) if counted else None
    if task == "autoencoding":
        return Labelled(name, task, numbers, None, (), (), layout, counts)
    if task == "regression":
        return Labelled(name, task, numbers, table.of(at), (), table.apart(at) or (), layout, counts)
    place, column = next(iter(table.texts.items()))
    classes = _checked_names(_in_order(set(column)), name)
    number = {text: label for label, text in enumerate(classes)}
    labels = np.fromiter((number[text] for text in column), np.int64, len(column))
    return Labelled(name, task, numbers, labels, classes, table.apart([place]) or (), layout, counts)


def _task_of_table(
    file: BinaryIO, name: str, task: str, target: Sequence[str], others: Sequence[str] = ()
) -> str:
    """The task; where it is not said, by the first cell of the target."""
    reader = TableReader(file, name, [*target, *others])
    places = [reader.position(column) for column in target]
    first = next(iter(reader), [])
    file.seek(0)
    if task in ("auto", "autoencoding") and not target:
        return "autoencoding"
    if task == "autoencoding":
        raise ConfigurationError(f"{name}: autoencoding has no target: leave columns out by ignore")
    if not target:
        raise ConfigurationError(f"{name}: {task} needs a target: name its column")
    if task == "auto" and first and all(is_number(first[place]) for place in places):
        column = reader.called(places[0])
        raise ConfigurationError(
            f"{name}: {column} holds numbers: say whether they are classes (task classification) or values "
            "(task regression)"
        )
    if task != "regression" and len(target) > 1:
        raise ConfigurationError(f"{name}: classification has one target, but {len(target)} are named")
    return "classification" if task == "auto" else task


def _in_order(texts: set[str]) -> list[str]:
    """Classes by their names, as numbers where all are, so that 10 stands behind 9."""
    if all(is_number(text) and np.isfinite(float(text)) for text in texts):
        return sorted(texts, key=lambda text: (float(text), text))
    return sorted(texts)


def _columns(file: BinaryIO, name: str, layout: Layout, max_bytes: int) -> Array:
    """The features of a table, by their names where it has them, else by their place."""
    check_size(file.seek(0, 2), name, max_bytes)
    file.seek(0)
    wanted = layout.columns or ()
    reader = TableReader(file, name, wanted=wanted)
    if wanted and reader.columns is not None:
        at = {column: place for place, column in enumerate(reader.columns)}
        places = [at[column] if column in at else reader.position(column) for column in wanted]
    elif layout.chosen and reader.width == layout.width:
        places = list(layout.chosen)
    else:
        places = list(range(reader.width))
    file.seek(0)
    others = sorted(set(range(reader.width)) - set(places))
    table = read_table(file, name, ignore=others, wanted=wanted, max_bytes=max_bytes)
    return table.of(places)


# --------------------------------------------------------------------------------------------- pictures


def _from_folder(path: Path, task: str, size: tuple[int, int] | None, max_bytes: int) -> Labelled:
    if task == "regression":
        raise ConfigurationError(f"{path}: a folder of images is for classification or autoencoding")
    folders = pictures.subfolders(path)
    if task == "auto":
        task = "classification" if folders else "autoencoding"
    files = pictures.everywhere(path)
    if task == "classification" and files[-1].parent == path:
        raise DataError(f"{files[-1]}: lies in no subfolder, whose name would be its class")
    shape = pictures.common_shape(files, size)
    x = pictures.read_images(files, shape, max_bytes, resize=size is not None)
    layout = Layout(x.shape[1], image=shape, scaled_bytes=True)
    if task == "autoencoding":
        return Labelled(str(path), task, x, None, (), (), layout)
    classes = _checked_names([folder.name for folder in folders], str(path))
    number = {name: label for label, name in enumerate(classes)}
    labels = np.array([number[file.parent.name] for file in files], np.int64)
    return Labelled(str(path), task, x, labels, classes, (), layout)
