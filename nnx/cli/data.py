"""``nnx data``: fetch, list, verify."""

from __future__ import annotations

from pathlib import Path

import click

from nnx.cli.console import print_table, say

_directory = click.option(
    "--directory", type=click.Path(path_type=Path), default=None,
    help="Where the files are, or shall be; default: NNX_DATA_DIR, else the cache.",
)  # fmt: skip


@click.group()
def data() -> None:
    """Data sets on this machine."""


@data.command()
@_directory
def fetch(directory: Path | None) -> None:
    """Fetch MNIST from a mirror, check it, keep it.

    \b
    Example:
      nnx data fetch
    """
    from nnx import datasets

    say("looking for MNIST …")
    for path in datasets.fetch_mnist(directory):
        click.echo(path)


@data.command(name="list")
def list_() -> None:
    """What there is, and where.

    \b
    Example:
      nnx data list
    """
    from nnx import datasets

    rows = [
        (s.name, "yes" if s.available else "no", f"{s.size / 1e6:.1f} MB" if s.size else "", s.where, s.note)
        for s in datasets.list_datasets()
    ]
    print_table("Data sets", ("name", "here", "size", "where", "note"), rows)


@data.command()
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
