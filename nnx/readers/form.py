"""Find how a text file writes its table: encoding, delimiter, decimal mark, lines before the first row.

The first lines of the file show all of it. The user can set each part instead.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, BinaryIO

from nnx.errors import ConfigurationError, DataError, shown
from nnx.readers.cells import decimal_mark, looks_number, number, one_column, value
from nnx.readers.headers import COMMENTS, Head, find_head

MAX_LINE = 2**22  # characters in a line, also in the line of names
MAX_COLUMNS = 2**18
OPEN_QUOTE = "a quote opens here or in a later line and never closes"
MISSING = ("error", "drop", "mean", "median")
HEADERS = ("auto", "yes", "no")
CATEGORIES = ("error", "onehot")
BACKGROUNDS = ("white", "black")
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "space": " "}
_SAMPLE_LINES, _SAMPLE_CHARACTERS = 200, 2**20
_LONG, _CELLS = 2**17, 2000  # characters of each line, and cells, that are used to choose a delimiter
_CHUNK = 2**20
_BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16: its mark begins with the mark of UTF-16
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_WESTERN = "cp1252"  # Latin-1 with the characters that Windows adds
_SAID = {"utf-8-sig": "UTF-8", "utf-8": "UTF-8", _WESTERN: "Windows-1252 (Western European)"}
_EXCEL = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # a first line in which Excel gives the delimiter


@dataclass(frozen=True)
class Reading:
    """How the user wants files to be read; None where the file itself shall show it.

    Attributes
    ----------
    delimiter : str, optional
        Delimiter of a table: a character, or a name in `DELIMITERS`.
    decimal : {".", ","}, optional
        Decimal mark.
    encoding : str, optional
        Python's name of the encoding.
    header : one of `HEADERS`
        Whether a line with the names of the columns comes before the first row.
    missing : one of `MISSING`
        How to treat missing values.
    categories : one of `CATEGORIES`
        How to treat columns of text.
    background : one of `BACKGROUNDS`
        Colour seen through the transparent parts of images.
    """

    delimiter: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    header: str = "auto"
    missing: str = "error"
    categories: str = "error"
    background: str = "white"


@dataclass(frozen=True)
class Form:
    """How a table is written; the decimal mark is empty if no number in the first lines shows it."""

    encoding: str
    delimiter: str
    decimal: str
    head: Head

    def described(self) -> str:
        """Return what differs from most tables, in one line; empty if nothing does."""
        said = []
        if self.encoding not in ("utf-8", "utf-8-sig"):
            said.append(f"encoding {_SAID.get(self.encoding, self.encoding)}")
        if self.delimiter != "," and self.head.width > 1:
            named = {mark: name for name, mark in DELIMITERS.items()}
            said.append(f"delimiter {named.get(self.delimiter, self.delimiter)}")
        if self.decimal == ",":
            said.append("decimal comma")
        return "; ".join([*said, *self.head.notes])


def find_form(
    file: BinaryIO,
    name: str,
    asked: Reading | None = None,
    named: Sequence[str] = (),
    wanted: Sequence[str] = (),
    several: bool = False,
) -> Form:
    """Find the form of a table from its first lines.

    Parameters
    ----------
    file : binary file
    name : str
        The file's name in errors.
    asked : Reading, optional
        Settings of the user.
    named, wanted : sequence of str
        Columns that the user named, and names of the columns that a model needs; see `find_head`.
    several : bool
        Whether the table is known to have several columns.
    """
    asked = asked or Reading()
    encoding = checked_encoding(asked.encoding) if asked.encoding else _encoding(file, name)
    sample = _sample(file, name, encoding)
    excel = _EXCEL.fullmatch(sample[0]) if sample else None
    delimiter = _delimiter(sample[1:] if excel else sample, asked, excel, name)
    notes: tuple[str, ...] = ()
    if delimiter == "," and not (several or excel or asked.delimiter):
        delimiter, notes = _comma(sample, asked.decimal, name)
    most = max((line.count(delimiter) + 1 for line in sample), default=0)
    if most > MAX_COLUMNS:
        raise DataError(f"{name}: has {most:,} columns, more than the {MAX_COLUMNS:,} accepted")
    rows = parsed(sample, delimiter)
    if excel and len(rows) == 1:
        raise DataError(f"{name}: holds no rows, only {sample[0].strip()!r}")
    if not rows and any(map(str.strip, sample)):
        raise DataError(f"{name}: line 1: {OPEN_QUOTE}")
    if not rows:
        raise DataError(f"{name}: holds no rows")
    head = find_head(rows[bool(excel) :], name, {"yes": True, "no": False}.get(asked.header), named, wanted)
    body = (cell for line, row in rows if line > head.lines for cell in row)
    decimal = asked.decimal or decimal_mark(body, delimiter, name)
    if excel and not head.lines:
        head = replace(head, lines=1)
    return Form(encoding, delimiter, decimal, replace(head, notes=(*head.notes, *notes)))


def parsed(lines: Sequence[str], delimiter: str) -> list[tuple[int, list[str]]]:
    """Return the rows that are not empty, each with the number of its last line, from 1; stop at an error."""
    reader, rows = _reader(iter(lines), delimiter, strict=True), []
    with suppress(csv.Error):  # reported later, when the file is read
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                rows.append((reader.line_num, cells))
    return rows


def _reader(lines: Iterator[str], delimiter: str, strict: bool = False) -> Any:
    if delimiter == " ":  # any number of spaces separates two columns
        lines = (line.strip(" ") for line in lines)
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=strict)


def reader_of(file: BinaryIO, name: str, form: Form) -> Any:
    """Return a reader of the rows after the head; a quote that never closes is an error."""
    lines = islice(text_lines(file, name, form.encoding), form.head.lines, None)
    return _reader(lines, form.delimiter, strict=True)


def text_lines(file: BinaryIO, name: str, encoding: str) -> Generator[str]:
    """Yield the lines of a file from its beginning; refuse other encodings and lines that are too long."""
    file.seek(0)
    text = io.TextIOWrapper(file, encoding=encoding, newline="")
    number = 0
    try:
        while line := text.readline(MAX_LINE):
            number += 1
            if len(line) == MAX_LINE:
                raise DataError(f"{name}: line {number} has more than the {MAX_LINE:,} characters accepted")
            if "\0" in line:
                raise DataError(f"{name}: line {number} holds a null byte, so it is not text: save it again")
            yield line
    except UnicodeError as error:
        reason = getattr(error, "reason", None) or error
        raise DataError(
            f"{name}: is not {encoding} text (after line {number}: {reason}): save it as UTF-8, or give "
            "its encoding with --encoding"
        ) from error
    finally:
        with suppress(ValueError):  # the file was closed already, which closed this text too
            text.detach()


def checked_encoding(encoding: str) -> str:
    """Return Python's name of a text encoding, with a byte order mark allowed in UTF-8."""
    try:
        found = codecs.lookup(encoding)
        if not found._is_text_encoding:
            raise LookupError
    except (LookupError, ValueError):
        raise ConfigurationError(
            f"--encoding {encoding[:40]!r} is unknown: choose utf-8, utf-16, cp1252, latin-1 or another "
            "encoding of Python"
        ) from None
    return "utf-8-sig" if found.name == "utf-8" else found.name


def _encoding(file: BinaryIO, name: str) -> str:
    """Find the encoding: from a byte order mark, from the zeros of UTF-16, else UTF-8, else Windows-1252."""
    file.seek(0)
    start = file.read(_CHUNK)
    for mark, encoding in _BOMS.items():
        if start.startswith(mark):
            return encoding
    pairs = start[: len(start) // 2 * 2][:1000]
    if len(pairs) > 3 and pairs.count(0) * 3 > len(pairs):  # in Western text, half of the bytes
        for encoding, zeros, others in (("utf-16-le", 1, 0), ("utf-16-be", 0, 1)):
            if pairs[zeros::2].count(0) > 0 == pairs[others::2].count(0):
                return encoding
    decoder = codecs.getincrementaldecoder("utf-8")()
    beyond = False
    try:
        while start:
            beyond |= not decoder.decode(start).isascii()
            start = file.read(_CHUNK)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        if beyond or not before.isascii():
            raise DataError(
                f"{name}: is UTF-8 text with a damaged character ({error.reason}): save it again, or give "
                "its encoding with --encoding"
            ) from error
        return _WESTERN
    return "utf-8"


def _sample(file: BinaryIO, name: str, encoding: str) -> list[str]:
    lines: list[str] = []
    size = 0
    with closing(text_lines(file, name, encoding)) as every:
        for line in every:
            lines.append(line)
            size += len(line)
            if len(lines) == _SAMPLE_LINES or size > _SAMPLE_CHARACTERS:
                break
    return lines


def _delimiter(sample: Sequence[str], asked: Reading, excel: re.Match[str] | None, name: str) -> str:
    """Return the character that splits most lines into equally many cells, best of numbers; else a comma."""
    if asked.delimiter is not None:
        mark = DELIMITERS.get(asked.delimiter, asked.delimiter.replace("\\t", "\t"))
        if len(mark) != 1 or mark in '"\r\n':
            raise ConfigurationError(
                f"--delimiter {asked.delimiter[:20]!r}: give one character, or {', '.join(DELIMITERS)}"
            )
        return mark
    if excel:
        return excel[1]
    scores = {mark: _fit(sample, mark) for mark in DELIMITERS.values()}
    best = max(scores, key=lambda mark: scores[mark])
    if best == "," and asked.decimal != ".":
        for mark in ";|":
            if _commas_fit_better(sample, mark) and _decimal_commas(_split(sample, mark)[1:]):
                if asked.decimal:
                    return mark
                raise ConfigurationError(
                    f"{name}: do commas separate the columns, or does {mark} (with decimal commas, below a "
                    f"title)? Use --delimiter comma or --delimiter {mark!r}"
                )
    return best if scores[best] > 0.0 else ","


def _comma(sample: Sequence[str], decimal: str | None, name: str) -> tuple[str, tuple[str, ...]]:
    """Decide whether a comma separates columns or marks decimals; return the delimiter, and a note."""
    found = one_column(sample) if decimal != "." else ""
    if found and decimal:
        return ";", ()
    if found == "likely":
        first = shown(next(line.strip() for line in sample if "," in line))
        raise ConfigurationError(
            f"{name}: is {first} one number with a decimal comma, or two columns? "
            "Use --decimal , (one number) or --delimiter comma (two columns)"
        )
    note = "the comma separates two columns; if it is a decimal comma, use --decimal ,"
    return ",", (note,) if found else ()


def _fit(sample: Sequence[str], mark: str) -> float:
    """Score a delimiter: the share of rows that have the same width, more if their cells are numbers."""
    rows = [row for _, row in parsed([line[:_LONG] for line in sample], mark)]
    widths = Counter(len(row) for row in rows if len(row) > 1)
    if not widths:
        return 0.0
    width = max(widths, key=lambda width: (widths[width], width))
    cells = [cell for row in rows if len(row) == width for cell in row][-_CELLS:]
    known = sum(value(cell, ".") is not None or looks_number(cell) for cell in cells) / len(cells)
    if mark == " " and known < 0.5:
        return 0.0  # words of running text
    if mark not in ",\t" and _commas_fit_better(sample, mark):
        return 0.0
    return round(widths[width] / len(rows) * (0.2 + known), 3)


def _commas_fit_better(sample: Sequence[str], mark: str) -> bool:
    """Return whether commas split all lines into equally many cells, but the mark not the first, of names.

    An example is a line with the names ``day,price`` above ``13 Jan 2020,5``: the comma marks no decimals. It
    does in ``2;3,5`` below a title with a comma and a line with the names ``day;temperature, °C``.
    """
    by_comma, by_mark = _split(sample, ","), _split(sample, mark)
    if not by_comma or not by_mark or len(by_mark[0]) > 1:
        return False
    if len(by_comma[0]) == 1 or len(set(map(len, by_comma))) > 1:
        return False
    named = len(by_mark) > 1 and len(by_mark[1]) > 1 and not any(map(looks_number, by_mark[1]))
    return not (named and _decimal_commas(by_mark[2:]))


def _split(sample: Sequence[str], mark: str) -> list[list[str]]:
    lines = [line[:_LONG] for line in sample if not line.startswith(COMMENTS)]
    return [row for _, row in parsed(lines, mark)]


def _decimal_commas(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether rows have equally many cells, and commas in numbers only."""
    commas = [cell for row in rows for cell in row if "," in cell]
    alike = len(set(map(len, rows))) == 1 and len(rows[0]) > 1
    return alike and bool(commas) and all(number(cell, ",") is not None for cell in commas)
