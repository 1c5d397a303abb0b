"""What is printed where: results to standard output, progress and messages to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from nnx.callbacks import Callback, Progress, Run

PLAIN_LINES = 20  # at most about as many progress lines where there is no terminal


def say(message: str, quiet: bool = False) -> None:
    """A line to standard error."""
    if not quiet:
        click.echo(message, err=True)


def print_json(value: dict[str, Any]) -> None:
    """Exactly one JSON object."""
    click.echo(json.dumps(value, indent=2))


def print_table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table to standard output; the first column is aligned left, the others right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else 110, highlight=False)
    table = Table(title=Text(title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for position, name in enumerate(header):
        table.add_column(Text(name), justify="left" if position == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


@contextmanager
def progress(label: str, quiet: bool) -> Iterator[list[Callback]]:
    """Callbacks that show training: a bar on a terminal, plain lines elsewhere, nothing when quiet."""
    if quiet:
        yield []
    elif not sys.stderr.isatty():
        yield [_Lines()]
    else:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[values]}"),
                   TimeElapsedColumn(), TimeRemainingColumn())  # fmt: skip
        with Progress(*columns, console=Console(stderr=True)) as bar:
            yield [_Bar(bar, label)]


class _Lines(Progress):
    """Some twenty lines a run, however many epochs it has."""

    def __init__(self) -> None:
        super().__init__(say)

    def on_train_begin(self, run: Run) -> None:
        """Choose how often."""
        self.every = max(1, run.epochs // PLAIN_LINES)


class _Bar(Callback):
    """A rich progress bar over epochs."""

    def __init__(self, bar: Any, label: str) -> None:
        self.bar, self.label = bar, label

    def on_train_begin(self, run: Run) -> None:
        """Show the bar."""
        self.task = self.bar.add_task(self.label, total=run.epochs, values="")
        self.every = max(1, run.epochs // 1000)

    def on_epoch_end(self, run: Run) -> None:
        """Move it."""
        if run.epoch % self.every == 0 or run.epoch == run.epochs:
            values = "  ".join(f"{name} {value:.5g}" for name, value in run.history.last().items())
            self.bar.update(self.task, completed=run.epoch, values=values)
