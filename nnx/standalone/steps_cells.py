"""The cells of a table as numbers, for a stand-alone file whose rows may be dicts, with NumPy or without.

Nothing here may import nnx.
"""

from __future__ import annotations

from typing import Any

EMPTY = ("", "na", "n/a", "#n/a", "nan", "-nan", "null", "<na>", "?")  # texts of empty cells


def features(row: Any, columns: list[tuple[str, list[str], float | None]]) -> Any:
    """Return the numbers of a row that is a dict of cells by column; other rows are returned as they are.

    A text becomes 1 in its own number, and 0 in those of the other texts of its column. A text that the model
    has not seen is 0 in all of them. An empty cell becomes the number that the model has for its column.
    """
    if not isinstance(row, dict):
        return row
    x: list[Any] = []
    for name, texts, fill in columns:
        if name not in row:
            raise ValueError(f"a row has no column {name!r}")
        text = "" if row[name] is None else str(row[name]).strip()
        text = "" if text.lower() in EMPTY else text
        if texts:
            x += [float(text == one) for one in texts]
        elif not text and fill is None:
            raise ValueError(f"column {name!r} is empty, and the model has no number for it")
        else:
            x.append(row[name] if text else fill)
    return x
