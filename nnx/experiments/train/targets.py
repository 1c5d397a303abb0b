"""Decide by one rule whether targets are classes or values, and name them.

=================================================  ==============================================
targets                                            are
=================================================  ==============================================
texts; TRUE and FALSE; 0 and 1                     classes
rows of one 1 among zeros                          classes, one for each column
numbers with decimal places; several columns       values
whole numbers                                      asked for: they may be either
=================================================  ==============================================
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nnx.errors import ConfigurationError, DataError
from nnx.readers.npy import TEXTS
from nnx.readers.tables import MAX_LABELS
from nnx.readers.types import Array

MAX_NAME = 200  # characters of a class's name: every model and figure has it
_EXACT = 2.0**53  # from here on, float64 cannot tell whole numbers apart


@dataclass(frozen=True, eq=False)
class Targets:
    """The targets of the rows.

    Attributes
    ----------
    task : {"classification", "regression"}
    y : array
        Labels from 0, shape (rows,), int64; or values, shape (rows, targets), float64.
    classes : tuple of str
        Of labels: their names.
    """

    task: str
    y: Array
    classes: tuple[str, ...] = ()

    def called(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the names of the targets; no names if each column is a class."""
        return tuple(names) if self.task == "regression" or len(names) == 1 else ()


def targets_of(
    y: Array, task: str, name: str, called: str = "", names: Sequence[str] = (), rows: Array | None = None
) -> Targets:
    """Decide whether targets are classes or values.

    Parameters
    ----------
    y : array of shape (rows,) or (rows, columns)
        Texts, truths or numbers.
    task : {"auto", "classification", "regression"}
        Auto: by the rule above.
    name : str
        Of the file.
    called : str
        What errors call the targets within it: ``"column 3 (age)"``.
    names : sequence of str
        Of the columns.
    rows : array of int, optional
        The numbers of the rows in the file, for errors; 0, 1, … by default.

    Raises
    ------
    ConfigurationError
        If the targets may be classes or values and the task is not said.
    DataError
        If they do not fit the task.
    """
    where = f"{name}: {called or 'its target'}"
    columns = y.reshape(len(y), -1)
    if y.dtype.kind in TEXTS:
        if task == "regression":
            raise DataError(f"{where} holds texts, which are classes: is it classification?")
        return _of_texts(_single(columns, where), name)
    numbers = columns.astype(np.float64)
    if not np.isfinite(numbers).all():
        row = int(np.argmin(np.isfinite(numbers).all(axis=1)))
        row = row if rows is None else int(rows[row])
        raise DataError(f"{where} holds a value that is not finite, first in row {row} (counted from 0)")
    if task == "regression":
        return Targets(task, numbers)
    if _is_one_hot(numbers):
        texts = list(names) or [str(column) for column in range(columns.shape[1])]
        return Targets("classification", np.argmax(numbers, axis=1), checked_names(texts, name))
    if y.dtype.kind == "b" and columns.shape[1] == 1:
        values, labels = np.unique(columns, return_inverse=True)
        texts = [str(bool(value)) for value in values]
        return Targets("classification", labels.reshape(-1), checked_names(texts, name))
    whole = bool((numbers == np.floor(numbers)).all())
    if task == "auto" and not _are_classes(numbers, whole, where):
        return Targets("regression", numbers)
    if not whole:
        raise DataError(f"{where} holds numbers with decimal places, which are no labels: is it regression?")
    return _of_whole_numbers(_single(numbers, where), name, where)


def _are_classes(numbers: Array, whole: bool, where: str) -> bool:
    """Return True if numbers must be classes, and False if they must be values.

    Raises
    ------
    ConfigurationError
        If they may be either.
    """
    if not whole:
        return False
    different = np.unique(numbers)
    if numbers.shape[1] > 1:
        if np.isin(different, (0.0, 1.0)).all():
            raise ConfigurationError(
                f"{where} has rows of 0 and 1 with more than one 1, or none, which are no classes: choose "
                "--task regression to learn them as values"
            )
        return False
    if len(different) < 2 or different.tolist() == [0.0, 1.0]:
        return True
    raise ConfigurationError(
        f"{where} holds whole numbers ({len(different):,} different, {different[0]:.15g} to "
        f"{different[-1]:.15g}): say whether they are classes (--task classification) or values "
        "(--task regression)"
    )


def _is_one_hot(numbers: Array) -> bool:
    return (
        numbers.shape[1] > 1
        and bool(((numbers == 0.0) | (numbers == 1.0)).all())
        and bool((numbers.sum(axis=1) == 1.0).all())
    )


def _single(columns: Array, where: str) -> Array:
    if columns.shape[1] != 1:
        raise DataError(
            f"{where} has {columns.shape[1]} columns: labels are one, or rows of one 1 among zeros"
        )
    return columns[:, 0]


def _of_whole_numbers(column: Array, name: str, where: str) -> Targets:
    values, labels = np.unique(column, return_inverse=True)
    if np.abs(values).max() >= _EXACT:
        raise DataError(f"{where} holds numbers too large to be told apart as classes")
    _few(len(values), where)
    texts = checked_names([str(int(value)) for value in values], name)
    return Targets("classification", labels.reshape(-1).astype(np.int64), texts)


def _of_texts(column: Array, name: str) -> Targets:
    values, labels = np.unique(column, return_inverse=True)
    _few(len(values), name)
    texts = decoded(values, name)
    order = sorted(range(len(texts)), key=_by_number(texts))
    place = np.argsort(order)
    classes = checked_names([texts[at] for at in order], name)
    return Targets("classification", place[labels.reshape(-1)].astype(np.int64), classes)


def _by_number(texts: Sequence[str]):  # type: ignore[no-untyped-def]
    """Return a sort key for texts: by number if all are numbers, so that 10 comes after 9."""
    try:
        numbers = [float(text) for text in texts]
    except ValueError:
        return lambda at: texts[at]
    return lambda at: (numbers[at], texts[at])


def _few(count: int, where: str) -> None:
    if count > MAX_LABELS:
        raise DataError(f"{where} has more than {MAX_LABELS:,} different labels: is it regression?")


def decoded(values: Array, name: str) -> list[str]:
    """Decode the texts of a NumPy array, whose bytes may be anything.

    Raises
    ------
    DataError
        If they are no texts.
    """
    if values.dtype.kind == "U":
        characters = np.ascontiguousarray(values).view(f"{values.dtype.byteorder}u4")
        if characters.max(initial=0) > sys.maxunicode:
            raise DataError(f"{name}: its labels hold characters that there are not")
        return [str(value) for value in values.tolist()]
    try:
        return [value.decode() for value in values.tolist()]
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: its labels are not UTF-8 texts") from error


def checked_names(names: Sequence[str], where: str) -> tuple[str, ...]:
    """Check the names of classes.

    Raises
    ------
    DataError
        If they are fewer than two, or one is too long.
    """
    if len(names) < 2:
        raise DataError(f"{where}: classification needs at least two classes, found {len(names)}")
    longest = max(names, key=len)
    if len(longest) > MAX_NAME:
        raise DataError(
            f"{where}: a class's name has {len(longest):,} characters, of which {MAX_NAME} are accepted"
        )
    return tuple(names)
