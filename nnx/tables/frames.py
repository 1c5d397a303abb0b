"""Make a `Frame` of tables of pandas, polars and Arrow, of mappings, arrays and lists of rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from nnx.errors import DataError, shown
from nnx.readers.types import Array
from nnx.tables.frame import BOOLEAN, CATEGORY, DATE, NUMBER, Column, Frame, texts_of
from nnx.tables.values import column_of_categories, column_of_values, unmasked

_SPARSE = "Sparse data was passed, but a table is dense: use X.toarray(), or a pandas DataFrame"


def frame_of(X: Any) -> Frame:
    """Return the columns of a table.

    Parameters
    ----------
    X : DataFrame of pandas or polars, Arrow Table, mapping of names to columns, array or list of rows

    Raises
    ------
    DataError
        If it is no table, is empty, or has cells that are no numbers, texts, dates or booleans.
    """
    if isinstance(X, Frame):
        return X
    library = type(X).__module__.partition(".")[0]
    if library == "polars":
        return _of_polars(X)
    if library == "pyarrow":
        return _of_arrow(X)
    if hasattr(X, "iloc") and hasattr(X, "columns"):
        return _of_pandas(X)
    if hasattr(X, "tocsr"):  # one of SciPy's formats is also a mapping
        raise TypeError(_SPARSE)
    if isinstance(X, Mapping):
        for name, values in X.items():
            if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
                raise DataError(f"X: column {shown(str(name))} is {values!r:.60}: give a list of its cells")
        return _framed([str(name) for name in X], list(X.values()), column_of_values)
    return _of_array(X)


def _framed(names: Sequence[str], columns: Sequence[Any], made: Any, named: bool = True) -> Frame:
    if not names:
        raise DataError("X has no columns: a table needs at least one")
    twice = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
    if twice:
        raise DataError(f"X: several columns are called {shown(min(twice))!r}: rename one of them")
    found = tuple(made(name, column) for name, column in zip(names, columns, strict=True))
    rows = len(found[0].cells)
    other = next((column for column in found if len(column.cells) != rows), None)
    if other is not None:
        raise DataError(
            f"X: column {shown(names[0])} has {rows:,} cells, but {shown(other.name)} has "
            f"{len(other.cells):,}: all columns must be equally long"
        )
    return Frame(found, rows, named)


# --------------------------------------------------------------------------------------------- libraries


def _of_pandas(X: Any) -> Frame:
    return _framed([str(name) for name in X.columns], [X.iloc[:, at] for at in range(X.shape[1])], _pandas)


def _pandas(name: str, series: Any) -> Column:
    """Convert a column of pandas; dates with a time zone keep the time that clocks there show."""
    dtype = series.dtype
    kind = getattr(dtype, "kind", "O")
    if dtype.name == "category":
        values = series.astype(object).tolist()
        if not all(isinstance(value, (bool, np.bool_)) for value in dtype.categories):
            return column_of_categories(name, values)
        return column_of_values(name, values)
    if kind == "c":
        raise DataError(f"Complex data not supported: column {shown(name)} of X")
    if kind in "iufb":
        cells = series.to_numpy(np.float64, na_value=np.nan)
        return Column(name, BOOLEAN if kind == "b" else NUMBER, cells)
    if kind == "M":
        there = series.dt.tz_localize(None) if getattr(series.dt, "tz", None) is not None else series
        return Column(name, DATE, there.to_numpy("datetime64[us]"))
    if kind == "m":
        return Column(name, NUMBER, series.dt.total_seconds().to_numpy(np.float64, na_value=np.nan))
    return column_of_values(name, series.tolist())


def _of_polars(X: Any) -> Frame:
    if not hasattr(X, "get_columns"):
        raise DataError(f"X is a {type(X).__name__} of polars: use a DataFrame (X.collect(), X.to_frame())")
    return _framed(list(X.columns), X.get_columns(), _polars)


def _polars(name: str, series: Any) -> Column:
    import polars

    dtype = series.dtype
    if dtype == polars.Boolean or dtype.is_numeric():
        cells = series.cast(polars.Float64).to_numpy()
        return Column(name, BOOLEAN if dtype == polars.Boolean else NUMBER, cells)
    if dtype == polars.Date or dtype == polars.Datetime:
        there = series.dt.replace_time_zone(None) if getattr(dtype, "time_zone", None) else series
        return Column(name, DATE, there.cast(polars.Datetime("us")).to_numpy().astype("datetime64[us]"))
    if dtype == polars.Duration:
        return Column(name, NUMBER, series.dt.total_microseconds().cast(polars.Float64).to_numpy() / 1e6)
    if dtype in (polars.Categorical, polars.Enum):
        return column_of_categories(name, series.cast(polars.String).to_list())
    return column_of_values(name, series.to_list())


def _of_arrow(X: Any) -> Frame:
    if not hasattr(X, "column_names"):
        X = getattr(X, "to_table", lambda: None)()  # a data set
    if not hasattr(X, "column_names"):
        raise DataError("X is no table of Arrow: use a Table or a RecordBatch")
    return _framed(list(X.column_names), [X.column(at) for at in range(X.num_columns)], _arrow)


def _arrow(name: str, column: Any) -> Column:
    import pyarrow
    from pyarrow import types

    kind = column.type
    if types.is_dictionary(kind):
        if types.is_integer(kind.value_type) or types.is_decimal(kind.value_type):
            return column_of_categories(name, column.to_pylist())
        made = _arrow(name, column.cast(kind.value_type))
        return Column(name, CATEGORY, texts_of(made))
    if types.is_boolean(kind):
        cells = column.cast(pyarrow.int8()).cast(pyarrow.float64())
        return Column(name, BOOLEAN, _floats(cells))
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return Column(name, NUMBER, _floats(column.cast(pyarrow.float64(), safe=False)))
    return column_of_values(name, column.to_pylist())


def _floats(column: Any) -> Array:
    """Return an Arrow column of floats; a null is NaN."""
    cells = column.to_numpy(zero_copy_only=False) if hasattr(column, "offset") else column.to_numpy()
    found: Array = np.asarray(cells, np.float64)
    return found


# ------------------------------------------------------------------------------------- arrays and lists


def _of_array(X: Any) -> Frame:
    """Make a frame of an array or of rows in lists; the columns are called by their numbers, from 1."""
    try:
        array = np.asarray(unmasked(X))
    except ValueError:  # rows of different lengths
        raise DataError("X has rows of different lengths: each needs one cell for each column") from None
    if isinstance(X, (list, tuple)) and array.dtype.kind in "US":
        array = np.array(X, object)  # numbers among texts stay numbers
    if array.dtype.kind == "c":
        raise DataError("Complex data not supported: X holds complex numbers")
    if array.ndim != 2:
        raise DataError(
            f"Expected 2D array, got {('scalar', '1D')[array.ndim] if array.ndim < 2 else f'{array.ndim}D'} "
            "array instead. Reshape your data: X.reshape(-1, 1) if it is one column, X.reshape(1, -1) if it "
            "is one row"
        )
    if array.shape[1] == 0:
        raise DataError(
            f"Found array with 0 feature(s) (shape={array.shape}) while a minimum of 1 is required."
        )
    names = [f"column {at + 1}" for at in range(array.shape[1])]
    return _framed(names, list(array.T), _of_array_column, named=False)


def _of_array_column(name: str, cells: Array) -> Column:
    if cells.dtype.kind in "iuf":
        return Column(name, NUMBER, cells.astype(np.float64))
    if cells.dtype.kind == "b":
        return Column(name, BOOLEAN, cells.astype(np.float64))
    return column_of_values(name, cells.tolist() if cells.dtype.kind != "M" else list(cells))
