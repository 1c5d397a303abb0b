"""Find what comes before the first row of a table: a title, comments, names of columns, and their units."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from nnx.errors import ConfigurationError, DataError, shown
from nnx.readers.cells import TRUTHS, is_gap, looks_number, number

COMMENTS = ("#", "%", "//")
_MAX_TITLE = 50  # lines
_MANY = 8  # so many numbers rise from cell to cell by chance in one of 40,000 lines
_SMALL = re.compile(r"[+-]?[0-9]{1,2}|")  # or a gap
_FEW = 5  # rows below such a line, in which numbers must not rise
_MAX_UNITS = 3  # lines

Lines = Sequence[tuple[int, list[str]]]  # each row with the number of its last line


@dataclass(frozen=True)
class Head:
    """The lines before the first row.

    Attributes
    ----------
    lines : int
        Number of these lines.
    columns : tuple of str or None
        The names of the columns as in the file, empty for a column without a name; None if there are none.
    width : int
        Number of cells in a row.
    notes : tuple of str
        What these lines hold, if it is more than names in line 1.
    """

    lines: int
    columns: tuple[str, ...] | None
    width: int
    notes: tuple[str, ...] = ()


def find_head(
    rows: Lines,
    name: str,
    asked: bool | None = None,
    named: Sequence[str] = (),
    wanted: Sequence[str] = (),
) -> Head:
    """Find the names of a table's columns, and the other lines before the first row.

    Parameters
    ----------
    rows : sequence of (int, list of str)
        The first rows, stripped, each with the number of its last line.
    name : str
        The table's name in errors.
    asked : bool, optional
        Whether the user said that the first line holds names, or that it does not.
    named, wanted : sequence of str
        Columns that the user gave by name or number, and the names of the columns that a model needs.
    """
    comments, rest = _without_comments(rows)
    width = _width([row for _, row in rest])
    above = _names_above(comments, rest, width)
    if above is not None:
        line = comments[-1][0]
        return Head(line, above, width, (f"line {line} names the columns",))
    first = _first_of_table(rest, width)
    titles, rest = rest[:first], rest[first:]
    short = titles[-1] if titles and width - 1 == len(titles[-1][1]) > 1 else None
    if short is not None and _over(short[1], rest):
        return _short_names(short, rest, width, _skipped(comments, titles[:-1]))
    line, cells = rest[0]
    if len(cells) != width:
        raise DataError(f"{name}: line {line} has {len(cells)} columns, the other lines have {width}")
    body = [row for _, row in rest[1:] if len(row) == width]
    why = "said" if asked else None if asked is False else _why_names(cells, body, named, wanted)
    if why == "unclear":
        raise ConfigurationError(
            f"{name}: line {line} ({shown(', '.join(cells[:4]))}…) may hold names of columns or data: "
            "use --header yes (names) or --header no (data)"
        )
    notes = _skipped(comments, titles)
    if why is None:
        before = (titles or comments or [(0, [])])[-1][0]
        return Head(before, None, width, notes)
    if line > 1 or any(map(looks_number, cells)):
        notes = (*notes, f"line {line} names the columns")
    if units := _units(body):
        first, line = rest[1][0], rest[units][0]
        said = f"line {line} holds" if first == line else f"lines {first} to {line} hold"
        notes = (*notes, f"{said} units")
    return Head(line, tuple(cells), width, notes)


def _without_comments(rows: Lines) -> tuple[Lines, Lines]:
    """Return the comments at the top, and the other rows; if all rows look like comments, they are data."""
    count = 0
    while count < len(rows) and _is_comment(rows[count][1]):
        count += 1
    return (rows[:count], rows[count:]) if count < len(rows) else (rows[:0], rows)


def _first_of_table(rest: Lines, width: int) -> int:
    """Return how many lines of a title come before the table."""
    first = next((at for at, (_, row) in enumerate(rest) if len(row) == width and not _title(row)), 0)
    if first and not _may_skip(rest[: first + 1], rest[first + 1 :], width):
        first = 0
    if first and width == 2 and _names_second(rest[first - 1][1], rest[first][1]):
        first -= 1
    return first


def _short_names(short: tuple[int, list[str]], rest: Lines, width: int, notes: tuple[str, ...]) -> Head:
    """Return the names in a line that has one cell less than the rows below it."""
    line, names = short
    if any(row[-1] for _, row in rest):
        columns, but = ("", *names), "first, which holds names of rows"
    else:  # each row ends in a delimiter, and the line of names does not
        columns, but = (*names, ""), "last, which holds nothing"
    return Head(line, columns, width, (*notes, f"line {line} names all columns but the {but}"))


def _is_comment(row: Sequence[str]) -> bool:
    return row[0].startswith(COMMENTS)


def _width(rows: Sequence[Sequence[str]]) -> int:
    """Return the number of cells that most rows have."""
    times = Counter(map(len, rows))
    return max(times, key=lambda width: (times[width], width))


def _title(row: Sequence[str]) -> bool:
    """Return whether a line has only one cell that is not empty, and this cell is a text."""
    filled = [cell for cell in row if cell]
    if len(row) == 2 and not row[0]:  # the name of one column, after an index
        return False
    return len(filled) == 1 and not looks_number(filled[0])


def _names_second(row: Sequence[str], below: Sequence[str]) -> bool:
    """Return whether a row names only the second of two columns, as pandas writes a series with its index."""
    return len(row) == 2 and not row[0] and any(map(looks_number, below))


def _may_skip(rows: Lines, body: Lines, width: int) -> bool:
    """Return whether to skip all but the last line: they are titles, or the last line clearly holds names."""
    if len(rows) > _MAX_TITLE or width == 1:
        return False
    *before, (_, names) = rows
    if all(_title(row) for _, row in before):
        return True
    short = before[-1][1]  # names of all columns except the first?
    shorter = all(_title(row) for _, row in before[:-1]) and len(short) == width - 1 > 1
    if shorter and _over(short, [rows[-1], *body]):
        return True
    clear = not any(map(looks_number, names)) and any(looks_number(cell) for _, row in body for cell in row)
    return clear and all(len(row) < width for _, row in before)


def _skipped(comments: Lines, titles: Lines) -> tuple[str, ...]:
    """Return notes such as ``("lines 1 to 3 are a title",)``."""
    found = []
    for rows, one, many in (comments, "a comment", "comments"), (titles, "a title", "a title"):
        if rows:
            first, last = rows[0][0], rows[-1][0]
            found.append(f"line {first} is {one}" if first == last else f"lines {first} to {last} are {many}")
    return tuple(found)


def _names_above(comments: Lines, rest: Lines, width: int) -> tuple[str, ...] | None:
    """Return the names in the last comment, as `numpy.savetxt` writes them; None if it holds no names."""
    if not comments or width < 2:
        return None
    names = [comments[-1][1][0].lstrip("#%/").strip(), *comments[-1][1][1:]]
    names = names if names[0] else names[1:]
    if len(names) != width:
        return None
    return tuple(names) if all(names) and not any(map(looks_number, names)) and _over(names, rest) else None


def _over(names: Sequence[str], rest: Lines) -> bool:
    """Return whether no name is a number, and the first row below holds a number."""
    return not any(map(looks_number, names)) and any(map(looks_number, rest[0][1])) if rest else False


# --------------------------------------------------------------------------------------- names, or data


def _why_names(
    cells: Sequence[str], body: Sequence[Sequence[str]], named: Sequence[str], wanted: Sequence[str]
) -> str | None:
    """Return why a line holds names; None for data, ``"unclear"`` if it may be either."""
    here = set(cells)
    if wanted and (here.issuperset(wanted) or any(not looks_number(w) for w in here.intersection(wanted))):
        return "wanted"
    if any(not looks_number(column) for column in here.intersection(named)):
        return "named"
    numbers = [float(n) for cell in cells if (n := number(cell, ".")) is not None]
    columns = list(zip(*body, strict=True)) or [()] * len(cells)
    for cell, column in zip(cells, columns, strict=True):
        filled = [below for below in column if not is_gap(below)]
        if not filled or looks_number(cell) or not all(map(looks_number, filled)):
            continue
        if not is_gap(cell) or (cell == "" and _counts(filled)):
            return "a text above numbers"
    texts = [at for at, cell in enumerate(cells) if _is_text(cell)]
    if numbers:
        return _why_numbers(numbers, cells, body)
    if any(cell.lower() in TRUTHS for cell in cells):
        return None
    again = sum(cells[at] in columns[at] for at in texts)
    if not texts or (again == len(texts) and body):
        return None
    return "unclear" if again else "texts that do not come again"


def _is_text(cell: str) -> bool:
    return not (is_gap(cell) or looks_number(cell) or cell.lower() in TRUTHS)


def _counts(column: Sequence[str]) -> bool:
    """Return whether a column holds 0, 1, 2, … or 1, 2, 3, …."""
    numbers = [number(cell, ".") for cell in column]
    first = numbers[0]
    return first in (0.0, 1.0) and numbers == [first + at for at in range(len(numbers))]


def _why_numbers(numbers: Sequence[float], cells: Sequence[str], body: Sequence[Sequence[str]]) -> str | None:
    """Return why a line with numbers holds names (wavelengths, years, 0, 1, 2, …); see `_why_names`."""
    if not body:
        return None
    others = [[n for cell in row if (n := number(cell, ".")) is not None] for row in body]
    after = int(not cells[0])  # an index has no name
    if list(cells[after:]) == [str(at) for at in range(len(cells) - after)] and len(cells) > 1:
        if after and _are_whole([row[0] for row in body]):
            return "counted"
        if numbers in others:
            return None
        if len(numbers) > 2 and _mostly_others(body):
            return "counted"
        if len(numbers) < _MANY:
            return "unclear"
    if len(numbers) >= _MANY and _rises(numbers):
        return None if any(map(_rises, others)) else "rising" if len(body) >= _FEW else "unclear"
    whole = all("." not in cell and "," not in cell for cell in cells)
    if len(numbers) > 2 and whole and _even(numbers) and not any(map(_even, others)):
        return "unclear"
    return "unclear" if _far_off(cells, body) else None


def _mostly_others(body: Sequence[Sequence[str]]) -> bool:
    """Return whether most columns hold no small whole number; then 0, 1, 2, … above them is not a row."""
    columns = list(zip(*body, strict=True))
    others = sum(all(_SMALL.fullmatch(cell) is None for cell in column) for column in columns)
    return 2 * others > len(columns)


def _are_whole(column: Sequence[str]) -> bool:
    """Return whether a column holds whole numbers, all different."""
    return all(cell.isdecimal() for cell in column) and len(set(column)) == len(column)


def _rises(numbers: Sequence[float]) -> bool:
    """Return whether numbers always rise, or always fall."""
    steps = {(b > a) - (b < a) for a, b in pairwise(numbers)}
    return len(numbers) > 2 and steps in ({1}, {-1})


def _even(numbers: Sequence[float]) -> bool:
    """Return whether numbers rise or fall in equal steps."""
    steps = {b - a for a, b in pairwise(numbers)}
    return len(steps) == 1 and steps != {0.0}


def _far_off(cells: Sequence[str], body: Sequence[Sequence[str]]) -> bool:
    """Return whether each number differs from all numbers below it by more than their range."""
    found = 0
    for at, cell in enumerate(cells):
        its = number(cell, ".")
        below = [n for row in body if (n := number(row[at], ".")) is not None]
        if its is None:
            continue
        if len(below) < 3:
            return False
        low, high = min(below), max(below)
        if low - (high - low) <= its <= high + (high - low):
            return False
        found += 1
    return found > 1


def _units(body: Sequence[Sequence[str]]) -> int:
    """Return how many lines below the names hold units: texts, and no number, above columns of numbers."""
    above = next((at for at, row in enumerate(body) if any(map(looks_number, row))), 0)
    others = body[above:]
    if above > _MAX_UNITS or len(others) < 2:
        return 0
    numeric = [
        at
        for at, column in enumerate(zip(*others, strict=True))
        if any(map(looks_number, column)) and all(looks_number(c) or is_gap(c) for c in column)
    ]
    return above if all(any(_is_text(row[at]) for at in numeric) for row in body[:above]) else 0
