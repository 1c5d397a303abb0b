"""``nnx data``: fetch, list, verify."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from nnx.cli import options
from nnx.cli.console import print_json, print_table, say

_directory = click.option(
    "--directory", type=click.Path(path_type=Path, file_okay=False), default=None,
    help="Where the files are, or shall be; default: NNX_DATA_DIR, else the cache.",
)  # fmt: skip


@click.group(short_help="Fetch, list and verify data sets.")
def data() -> None:
    """Data sets on this machine.

    \b
    Examples:
      nnx data list
      nnx data fetch
    """


@data.command(short_help="Fetch MNIST from a mirror, check it, keep it.")
@_directory
def fetch(directory: Path | None) -> None:
    """Fetch MNIST from a mirror, check it, keep it; prints where the files are.

    \b
    Examples:
      nnx data fetch
      nnx data fetch --directory data/mnist
    """
    from nnx import datasets

    told: set[str] = set()

    def announce(file: str, received: int, size: int | None) -> None:
        if file not in told:
            told.add(file)
            say(f"fetching {file}" + (f" ({size / 1e6:.1f} MB)" if size else ""))

    for path in datasets.fetch_mnist(directory, progress=announce):
        click.echo(path)


@data.command(name="list", short_help="What there is, and where.")
@options.json_flag
def list_(as_json: bool) -> None:
    """What there is, and where.

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
    """Check the MNIST files byte by byte; exit status 1 if one is missing or wrong.

    \b
    Example:
      nnx data verify --directory data/mnist
    """
    from nnx import datasets

    found = datasets.verify_mnist(directory)
    rows = [(s.file, "ok" if s.ok else "WRONG", s.problem or str(s.path)) for s in found]
    print_table("MNIST", ("file", "", "where, or what is wrong"), rows)
    return 0 if all(status.ok for status in found) else 1
