"""Learn how the columns of a table become numbers and codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from nnx.backends.foreign import refuse_masked
from nnx.errors import ConfigurationError, DataError, flag, nearest, shown, whole
from nnx.readers.types import Array
from nnx.tables import record
from nnx.tables.fitted import Categories, Dates, Fitted, Numbers, is_category
from nnx.tables.frame import DATE, Column, Frame
from nnx.tables.frames import frame_of
from nnx.tables.kinds import IGNORED, Kind, given_kind, kind_of

HEADINGS = ("column", "kind", "", "in training")


@dataclass(frozen=True)
class ColumnInfo:
    """What a column of the training table is.

    Attributes
    ----------
    name : str
    kind : {"number", "category", "boolean", "date", "ignore"}
    given : bool
        Whether the user gave the kind; if not, it was guessed.
    why : str
        Why a column is left out; empty for others.
    """

    name: str
    kind: str
    given: bool
    why: str = ""


class TableEncoder(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Turn a table into numbers and codes: numbers, categories, booleans, dates and missing cells.

    The kind of each column is guessed from the rows to train on, see `nnx.tables.kinds.kind_of`, and can be
    given. Numbers and the parts of dates are scaled (`nnx.tables.scaling`); a missing one is the median, and
    an indicator (0 or 1) is added if cells of its column were missing in training. Categories and booleans
    have codes from 1 in the order of their texts. A missing cell is a category too. The code 0 is for all
    others: categories with too few rows, and those that are new after training. `encode` returns numbers and
    codes as two arrays, and `transform` as one.

    Parameters
    ----------
    kinds : mapping, optional
        The kind of some columns, by name, or by number from 0 if the table has no names: ``"number"``,
        ``"category"``, ``"boolean"``, ``"date"`` (for texts also ``"date:dmy"``, ``"date:mdy"`` or
        ``"date:ymd"``: the order of day, month and year) or ``"ignore"``.
    min_rows : int, default 2
        Categories with fewer rows in training have the code 0, so that the network learns from them what an
        unknown category means.
    max_categories : int, default 1000
        Most categories of a column with codes of their own: those with the most rows.
    clip : bool, default True
        Whether to limit scaled numbers smoothly to ±3.

    Attributes
    ----------
    columns_ : tuple of ColumnInfo
        Name and kind of each column, and whether the kind was guessed or given.
    cardinalities_ : tuple of int
        The number of codes of each column of codes, with the code 0.
    number_names_, code_names_ : tuple of str
        Names of the numbers and of the codes.
    number_kinds_ : tuple of str
        Of each number: ``"number"``, ``"date"`` (a part of a date) or ``"indicator"`` (0 or 1).
    n_features_in_ : int
    feature_names_in_ : array of str
        The columns of the training table, if it has names.

    Examples
    --------
    >>> from nnx.tables import TableEncoder
    >>> table = {"size": [1.0, 2.0, None, 4.0], "colour": ["red", "blue", "red", "blue"]}
    >>> encoder = TableEncoder().fit(table)
    >>> numbers, codes = encoder.encode({"size": [2.0, None], "colour": ["blue", "green"]})
    >>> numbers.shape, codes.tolist(), encoder.cardinalities_
    ((2, 2), [[1], [0]], (3,))
    """

    def __init__(
        self,
        *,
        kinds: Mapping[Any, str] | None = None,
        min_rows: int = 2,
        max_categories: int = 1000,
        clip: bool = True,
    ) -> None:
        self.kinds = kinds
        self.min_rows = min_rows
        self.max_categories = max_categories
        self.clip = clip

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> TableEncoder:
        """Guess the kinds of the columns, and learn scales and categories.

        Parameters
        ----------
        X : table
            A DataFrame of pandas or polars, an Arrow table, a mapping of names to columns, an array or a list
            of rows.
        y : ignored
        sample_weight : array of shape (rows,), optional
            A row of weight w counts as w rows in the scales of numbers and dates; one of weight 0 is not
            looked at. `min_rows` and `max_categories` count rows without their weights.

        Raises
        ------
        DataError
            If a cell cannot be used; the text names its row and column.
        ConfigurationError
            If a parameter is invalid, or a column can be read in two ways.
        """
        least, most = whole("min_rows", self.min_rows), whole("max_categories", self.max_categories)
        flag("clip", self.clip)
        frame = frame_of(X)
        if frame.rows == 0:
            raise _without_rows(frame)
        weights = None
        if sample_weight is not None:
            refuse_masked(sample_weight, "sample_weight")
            weights = _check_sample_weight(sample_weight, np.empty((frame.rows, 1)), ensure_non_negative=True)
            frame, weights = _of_weight(frame, weights)
        given = self._given(frame)
        kinds = [kind_of(frame, column, given.get(column.name)) for column in frame.columns]
        fitted: dict[str, Fitted] = {}
        for column, kind in zip(frame.columns, kinds, strict=True):
            if is_category(kind):
                fitted[column.name] = Categories.fit(frame, column, kind, least, most)
            elif kind.name != IGNORED:
                made = Dates if kind.name == DATE else Numbers
                fitted[column.name] = made.fit(frame, column, kind, weights)
        infos = [_info(column, kind) for column, kind in zip(frame.columns, kinds, strict=True)]
        self._keep(infos, fitted, frame.named)
        return self

    def _given(self, frame: Frame) -> dict[str, str]:
        """Return the kinds that the user gave, by name."""
        names = [column.name for column in frame.columns]
        found = {}
        if self.kinds is not None and not isinstance(self.kinds, Mapping):
            raise ConfigurationError(
                f"kinds must be a dict such as {{'zip': 'category'}}, not {self.kinds!r:.60}"
            )
        for key, kind in (self.kinds or {}).items():
            by_number = not frame.named and isinstance(key, (int, np.integer)) and 0 <= key < len(names)
            name = names[key] if by_number else str(key)
            if name not in names:
                raise ConfigurationError(f"kinds: there is no column {shown(name)!r}{nearest(name, names)}")
            found[name] = given_kind(kind, name)
        return found

    def _keep(self, infos: Sequence[ColumnInfo], fitted: dict[str, Fitted], named: bool) -> None:
        self.columns_ = tuple(infos)
        self._fitted = fitted
        self.n_features_in_ = len(infos)
        if named:
            self.feature_names_in_ = np.array([info.name for info in infos], object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        numbers = [pair for name, each in fitted.items() for pair in each.names(name)]
        self.number_names_ = tuple(name for name, _ in numbers)
        self.number_kinds_ = tuple(kind for _, kind in numbers)
        codes = {name: each for name, each in fitted.items() if isinstance(each, Categories)}
        self.code_names_ = tuple(codes)
        self.cardinalities_ = tuple(each.cardinality for each in codes.values())

    def transform(self, X: Any) -> Array:
        """Return the numbers and then the codes of a table as one float32 array; see `encode`.

        Codes are exact in float32: there are fewer than 2²⁴ of them.
        """
        return np.concatenate(self.encode(X), axis=1, dtype=np.float32, casting="unsafe")

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """Return the names of the numbers and of the codes."""
        check_is_fitted(self)
        names: Array = np.array([*self.number_names_, *self.code_names_], object)
        return names

    def encode(self, X: Any) -> tuple[Array, Array]:
        """Return (numbers, codes) of a table.

        Columns are found by their names, in any order, and others are ignored; without names, the table must
        have as many columns as in training. A category that is new has the code 0.

        Parameters
        ----------
        X : table
            As for `fit`.

        Returns
        -------
        numbers : array of shape (rows, numbers), float32
        codes : array of shape (rows, columns of codes), int64
            0 ≤ code < cardinality of the column.

        Raises
        ------
        DataError
            If a column is missing, or a cell is not what its column held in training.
        """
        check_is_fitted(self)
        frame = frame_of(X)
        if frame.rows == 0:
            raise _without_rows(frame)
        columns = self._columns_in(frame)
        numbers = np.empty((frame.rows, len(self.number_names_)), np.float32)
        codes = np.empty((frame.rows, len(self.code_names_)), np.int64)
        places = {0: 0, 1: 0}
        for name, fitted in self._fitted.items():
            into = codes if fitted.codes else numbers
            for cells in fitted.apply(frame, columns[name], bool(self.clip)):
                into[:, places[fitted.codes]] = cells
                places[fitted.codes] += 1
        return numbers, codes

    def to_record(self) -> dict[str, Any]:
        """Return what was learnt, as values that JSON can store.

        `min_rows` and `max_categories` are not in it: only `fit` needs them.
        """
        check_is_fitted(self)
        columns = [
            record.described(info.name, info.kind, info.given, info.why, self._fitted.get(info.name))
            for info in self.columns_
        ]
        return record.written(columns, hasattr(self, "feature_names_in_"), bool(self.clip))

    @classmethod
    def from_record(cls, kept: Any) -> TableEncoder:
        """Return the fitted encoder that `to_record` described.

        Raises
        ------
        FileFormatError
            If the record is damaged.
        """
        columns, named, clip = record.read(kept)
        encoder = cls(kinds={name: kind for name, kind, given, *_ in columns if given} or None, clip=clip)
        infos = [ColumnInfo(name, kind, given, why) for name, kind, given, why, _ in columns]
        encoder._keep(infos, {name: learnt for name, *_, learnt in columns if learnt is not None}, named)
        return encoder

    def notes(self, X: Any) -> list[str]:
        """Return what a user should know of a new table, a line for each column with something unusual.

        These are categories that are unknown, empty cells where training had none, and numbers far outside
        of their range in training.
        """
        check_is_fitted(self)
        frame = frame_of(X)
        columns = self._columns_in(frame)
        found = [(name, fitted.odd(frame, columns[name])) for name, fitted in self._fitted.items()]
        return [f"{frame.where}: {frame.called(columns[name])}: {text}" for name, text in found if text]

    def rows_of_columns(self) -> list[tuple[str, str, str, str]]:
        """Return (name, kind, guessed or given, what it holds) of each column, as `show` prints them."""
        check_is_fitted(self)
        return [
            (
                shown(info.name),
                info.kind,
                "given" if info.given else "guessed",
                self._fitted[info.name].holds() if info.name in self._fitted else info.why,
            )
            for info in self.columns_
        ]

    def show(self) -> None:
        """Print the columns of the training table: name, kind, guessed or given, and what they hold."""
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(title=f"{len(self.columns_):,} columns")
        for heading in HEADINGS:
            table.add_column(heading)
        for row in self.rows_of_columns():
            table.add_row(*map(Text, row))  # as they are: a name may look like markup
        Console().print(table)

    def _columns_in(self, frame: Frame) -> dict[str, Column]:
        """Return the columns that are needed, by their names in training."""
        infos = self.columns_
        if not (frame.named and hasattr(self, "feature_names_in_")):
            if len(frame.columns) != len(infos):
                raise DataError(
                    f"X has {len(frame.columns)} features, but TableEncoder is expecting {len(infos)} "
                    "features as input"
                )
            return {info.name: column for info, column in zip(infos, frame.columns, strict=True)}
        there = {column.name: column for column in frame.columns}
        lacking = [name for name in self._fitted if name not in there]
        if lacking:
            more = f" and {len(lacking) - 5:,} more" if len(lacking) > 5 else ""
            others = [name for name in there if name not in self._fitted]
            near = nearest(lacking[0], others) if others else ""
            raise DataError(
                f"{frame.where}: lacks {'a column' if len(lacking) == 1 else 'columns'} of the training: "
                f"{', '.join(shown(name) for name in lacking[:5])}{more}"
                + (near if near.startswith(": did") else "")
            )
        return there

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # always float32
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags


def _without_rows(frame: Frame) -> DataError:
    """Return the error for a table without rows; scikit-learn's own tests ask for these words."""
    return DataError(
        f"Found array with 0 sample(s) (shape=(0, {len(frame.columns)})) while a minimum of 1 is required."
    )


def _info(column: Column, kind: Kind) -> ColumnInfo:
    return ColumnInfo(column.name, kind.name, kind.given, kind.why)


def _of_weight(frame: Frame, weights: Array) -> tuple[Frame, Array]:
    """Return the rows of weight above 0, and their weights."""
    rows = np.flatnonzero(weights > 0.0)
    if len(rows) == 0:
        raise DataError("sample_weight: all weights are 0: give some rows a weight above 0")
    if len(rows) == frame.rows:
        return frame, weights
    return frame.take(rows), weights[rows]
