"""Define ``nnx data``: fetch, list, verify."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from nnx.cli import options
from nnx.cli.apply import with_form
from nnx.cli.console import print_json, print_table, say

_directory = click.option(
    "--directory", type=options.Folder(), default=None,
    metavar="FOLDER",
    help="Folder of the four files.  [default: NNX_DATA_DIR, or the user's cache]",
)  # fmt: skip


@click.group(short_help="Fetch, list and verify data sets; show the columns of a table.")
def data() -> None:
    """Fetch, list and verify data sets; show the columns of a table.

    \b
    Examples:
      nnx data list
      nnx data fetch
      nnx data columns houses.csv
    """


@data.command(short_help="Download MNIST from a mirror and check it.")
@_directory
def fetch(directory: Path | None) -> None:
    """Download MNIST from a mirror, check it, and print where the files are.

    \b
    Examples:
      nnx data fetch
      nnx data fetch --directory data/mnist
    """
    from nnx import datasets

    announced: set[str] = set()

    def announce(file: str, received: int, size: int | None) -> None:
        if file not in announced:
            announced.add(file)
            say(f"fetching {file}" + (f" ({size / 1e6:.1f} MB)" if size else ""))

    for path in datasets.fetch_mnist(directory, progress=announce):
        click.echo(path)


@data.command(name="list", short_help="List data sets and where they are.")
@options.json_flag
def list_(as_json: bool) -> None:
    """List data sets and where they are.

    \b
    Example:
      nnx data list
    """
    from nnx import datasets

    found = datasets.list_datasets()
    if as_json:
        print_json({"datasets": [asdict(status) for status in found]})
        return
    rows = [
        (s.name, "yes" if s.available else "no", f"{s.size / 1e6:.1f} MB" if s.size else "", s.where, s.note)
        for s in found
    ]
    print_table("Data sets", ("name", "here", "size", "where", "note"), rows)


@data.command(short_help="Check the MNIST files byte by byte.")
@_directory
def verify(directory: Path | None) -> int:
    """Check the MNIST files byte by byte. The exit status is 1 unless all four are right.

    \b
    missing     there is no such file
    unreadable  the system does not open it
    damaged     it is cut short, or its content is broken
    differs     it is intact, but not a file of MNIST

    \b
    Example:
      nnx data verify --directory data/mnist
    """
    from nnx import datasets

    if directory is not None and not directory.is_dir():
        raise click.UsageError(f"--directory {directory} is not a folder: name the folder of the four files")
    found = datasets.verify_mnist(directory)
    rows = [(s.file, s.state, s.problem or str(s.path)) for s in found]
    print_table("MNIST", ("file", "state", "where, or what is wrong"), rows)
    states = {status.state for status in found} - {"ok"}
    if "missing" in states:
        say("to fetch what is missing: nnx data fetch")
    if states & {"damaged", "differs"}:
        say("to replace a file: remove it, then run nnx data fetch")
    return 1 if states else 0


@data.command(short_help="Show the columns of a table and their kinds.")
@click.argument("table", type=options.Existing(dir_okay=False))
@click.option("--kinds", multiple=True, metavar="COLUMN=KIND[,…]",
              help="The kind of some columns, where the guess is wrong: see nnx train.")  # fmt: skip
@with_form
@options.json_flag
def columns(table: Path, kinds: tuple[str, ...], as_json: bool, **form: Any) -> None:
    """Show the columns of TABLE and their kinds, as nnx train --preset tabular would guess them.

    nnx train learns from a part of the rows only, so it may leave out columns that are shown here.

    \b
    Examples:
      nnx data columns houses.csv
      nnx data columns houses.csv --kinds zip=category,built=date:dmy
    """
    import warnings

    from nnx.tables import TableEncoder, read_table
    from nnx.tables.encoder import HEADINGS
    from nnx.tables.frame import CATEGORY
    from nnx.tables.kinds import pair_of

    given = dict(pair_of(text) for text in ",".join(kinds).split(",") if text.strip())
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always", UserWarning)
        frame = read_table(table, texts=[name for name, kind in given.items() if kind == CATEGORY], **form)
    for note in notes:
        say(f"note: {note.message}")
    rows = TableEncoder(kinds=given).fit(frame).rows_of_columns()
    if as_json:
        names = ("name", "kind", "by", "holds")
        print_json({"columns": [dict(zip(names, row, strict=True)) for row in rows]})
        return
    print_table(f"{len(rows):,} columns", HEADINGS, rows)
