"""Define ``nnx play``: write the playground, and open it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import click

from nnx.cli import options
from nnx.cli.apply import with_form
from nnx.cli.console import open_page, say
from nnx.errors import printable


@click.command(short_help="Train a small network in your browser, and watch it.")
@click.argument("data", type=options.Existing(dir_okay=False), required=False)
@click.option(
    "--target", metavar="COLUMN",
    help="The column of DATA to predict, by name or by number from 1.  [default: the last]",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), default=Path("playground.html"),
    metavar="FILE", show_default=True, help="The page to write.",
)  # fmt: skip
@click.option("--no-open", is_flag=True, help="Only write the page, and do not open it in a browser.")
@with_form
def play(data: Path | None, target: str | None, out: Path, no_open: bool, **form: Any) -> None:
    """Write the playground, one HTML page that trains a small network, and open it in your browser.

    The page works offline and needs no server. It includes data sets (XOR, circles, spirals, moons, digits).
    DATA is your table (.csv, .tsv, …) or array (.npy, .npz) with 2 to 64 columns; you can also drop a csv
    file into the page.

    \b
    Examples:
      nnx play
      nnx play flowers.csv --target species
      nnx play --out class/playground.html --no-open
    """
    from nnx.pages import write_playground

    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always", UserWarning)
        written = write_playground(out, data, target, **form)
    for note in notes:
        say(f"note: {printable(str(note.message))}")
    click.echo(written)
    if not no_open:
        open_page(written)
