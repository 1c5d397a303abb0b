"""Samples with their targets, and their form in a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nnx.readers.types import Array

if TYPE_CHECKING:
    from nnx.tables.frame import Frame

TASKS = ("classification", "regression", "autoencoding")
GAP = "(empty)"  # name of a feature that marks gaps


@dataclass(frozen=True)
class Layout:
    """The form of a sample in its file, so that other files can be read the same way.

    Attributes
    ----------
    features : int
        How many numbers a sample has.
    columns : tuple of str or None
        Of a table with names: those of the columns that samples are made of, in order.
    chosen : tuple of int or None
        Of a table: which of its columns these are, from 0.
    width : int or None
        Of a table: how many columns it had.
    image : (int, int, int) or None
        Height, width and channels (1 or 3) if a sample is an image.
    scaled_bytes : bool
        Whether the numbers were bytes, 0 to 255.
    fills : tuple of (float or None), or None
        Of a table: for each of these columns the number that fills gaps; None if gaps are refused.
    categories : tuple of tuple of str, or None
        Of a table: for each of these columns the texts that have a feature each, empty for a column of
        numbers. None if all hold numbers.
    background : str
        Of images: what is seen through transparent parts.
    shape : tuple of int or None
        The shape of a sample, if it has several axes; None for a row of features, and for models of version
        0.1, which flattened all samples.
    table : dict or None
        Of a table with columns of any kind: the record of its `nnx.tables.TableEncoder`, which makes the
        samples of it. `columns` and `chosen` are then those that it uses.
    """

    features: int
    columns: tuple[str, ...] | None = None
    chosen: tuple[int, ...] | None = None
    width: int | None = None
    image: tuple[int, int, int] | None = None
    scaled_bytes: bool = False
    fills: tuple[float | None, ...] | None = None
    categories: tuple[tuple[str, ...], ...] | None = None
    background: str = "white"
    shape: tuple[int, ...] | None = None
    table: dict[str, Any] | None = None

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Return the shape of a sample, as the network takes it."""
        return self.shape or (self.features,)

    def names(self) -> tuple[str, ...]:
        """Return the features' names if the columns have names; ``colour=red`` for a text."""
        if self.columns is None or self.categories is None:
            return self.columns or ()
        return tuple(
            f"{column}={text or GAP}" if texts else column
            for column, texts in zip(self.columns, self.categories, strict=True)
            for text in texts or ("",)
        )


@dataclass(frozen=True, eq=False)
class Labelled:
    """Samples and their targets.

    Attributes
    ----------
    name : str
        Of the file or folder.
    task : {"classification", "regression", "autoencoding"}
    x : array of shape (rows, features), or (rows, …) if a sample has several axes
        Of the file's own type; a .npy file is mapped and not read.
    y : array or None
        Labels from 0, shape (rows,), int64; or values, shape (rows, targets), float64. None for
        autoencoding.
    classes : tuple of str
        Of labels: their names.
    targets : tuple of str
        The names of the targets, if the file has them.
    layout : Layout
    weights : array of shape (rows,) or None
        How much each row counts, float64: a row of weight 2 counts as two rows.
    notes : tuple of str
        What a reader of the results must know of how the data were read.
    missing : str
        What a gap, which is NaN in `x`, becomes: see `nnx.experiments.train.features.learnt`.
    held_out : array of int or None
        The rows to measure on, if the data say so.
    frame : Frame or None
        Of a table with columns of any kind: its columns as they are. `x` is empty until they are encoded.
    kinds : dict of str to str
        The kinds of its columns that the user gave, by name.
    columns : tuple of (str, str, str, str)
        Name, kind, "guessed" or "given", and what they hold, of these columns.
    """

    name: str
    task: str
    x: Array
    y: Array | None
    classes: tuple[str, ...]
    targets: tuple[str, ...]
    layout: Layout
    weights: Array | None = None
    notes: tuple[str, ...] = ()
    missing: str = "error"
    held_out: Array | None = None
    frame: Frame | None = None
    kinds: dict[str, str] = field(default_factory=dict)
    columns: tuple[tuple[str, str, str, str], ...] = ()
