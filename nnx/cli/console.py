"""Print results to standard output, and progress and messages to standard error."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from nnx.errors import printable

PLAIN_WIDTH = 110  # width of a table in a file or a pipe
_DECIMAL = re.compile(r"[-+]?\d[\d,]*(\.\d+)?")
_NUMBER = re.compile(r"[-+]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?( ?(%|s|ms|µs|MB|×|(/|of) \d+))?|nan|[-+]?inf|[-–]|")


def say(message: str, quiet: bool = False) -> None:
    """Print a line to standard error."""
    if not quiet:
        click.echo(printable(message), err=True)


def open_page(path: Path) -> None:
    """Open a page in the user's browser; if there is no browser, only say so."""
    import webbrowser

    try:
        opened = webbrowser.open_new_tab(path.resolve().as_uri())
    except webbrowser.Error:
        opened = False
    if not opened:
        say(f"note: found no browser to open {path}")


def print_json(value: dict[str, Any]) -> None:
    """Print exactly one JSON object; a number that is not finite becomes null."""
    from nnx.experiments.result import finite

    click.echo(json.dumps(finite(value), indent=2, allow_nan=False))


def print_table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table to standard output; align columns of numbers right and columns of text left."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = [[printable(cell) for cell in row] for row in rows]
    measured = sys.stdout.isatty() or "COLUMNS" in os.environ
    console = Console(width=None if measured else PLAIN_WIDTH, highlight=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=any(header))
    columns = [list(cells) for cells in zip(*rows, strict=True)] or [[] for _ in header]
    for position, (name, cells) in enumerate(zip(header, columns, strict=True)):
        # without a header, the second column holds values; some of them may be words
        numeric = _numeric(cells, most=position > 0 and not any(header))
        if numeric:
            name, *columns[position] = _aligned(name, cells)
        table.add_column(Text(name), overflow="fold")
    for row in zip(*columns, strict=True):
        table.add_row(*map(Text, row))
    console.print(Text(printable(title), style="bold"))
    console.print(table)


def _numeric(cells: Sequence[str], most: bool = False) -> bool:
    """Return whether a column holds only numbers and gaps, or with `most`, mainly numbers."""
    numbers = sum(bool(_NUMBER.fullmatch(cell)) for cell in cells)
    return any(cells) and (2 * numbers > len(cells) if most else numbers == len(cells))


def _aligned(name: str, cells: Sequence[str]) -> list[str]:
    """Pad a heading and its cells: align plain numbers at the decimal point, and the rest to the right."""
    ends = [match[1] or "" if (match := _DECIMAL.fullmatch(cell)) else None for cell in cells]
    longest = max((len(end) for end in ends if end is not None), default=0)
    padded = [
        cell if end is None else cell + " " * (longest - len(end))
        for cell, end in zip(cells, ends, strict=True)
    ]
    width = max(map(len, [name, *padded]))
    return [text.rjust(width) for text in (name, *padded)]


class Messages(logging.Handler):
    """Print the library's log messages as notes on standard error."""

    def __init__(self) -> None:
        super().__init__()
        self.said: set[str] = set()

    def note(self, text: str) -> None:
        """Print a note that a reader of the result needs, once."""
        if text not in self.said:
            self.said.add(text)
            say(f"note: {text}")

    def emit(self, record: logging.LogRecord) -> None:
        """Print through the current `sys.stderr`: a progress bar replaces it while it runs."""
        if record.levelno >= logging.WARNING:
            self.note(record.getMessage())
        else:
            say(record.getMessage())


@contextmanager
def messages(quiet: bool, verbose: bool) -> Iterator[Messages]:
    """Show the library's log: warnings always, progress unless `quiet`, choices if `verbose`."""
    library, experiments = logging.getLogger("nnx"), logging.getLogger("nnx.experiments")
    handler = Messages()
    library.addHandler(handler)
    library.setLevel(logging.INFO if verbose else logging.WARNING)
    experiments.setLevel(logging.WARNING if quiet else logging.INFO)
    try:
        yield handler
    finally:
        library.removeHandler(handler)
        library.setLevel(logging.NOTSET)
        experiments.setLevel(logging.NOTSET)
