"""Define ``nnx report``: write the page of one run, or of several next to each other."""

from __future__ import annotations

from pathlib import Path

import click

from nnx.cli import options
from nnx.cli.console import open_page


@click.command(short_help="Write a page about one run or several.")
@click.argument("runs", metavar="RUN…", nargs=-1, required=True, type=options.Existing())
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), default=None, metavar="FILE",
    help="Default: report.html in the run's folder; for several runs, in the current folder.",
)  # fmt: skip
@options.open_report
def report(runs: tuple[Path, ...], out: Path | None, open_: bool) -> None:
    """Write one HTML page about a run, or about several next to each other, and print its path.

    RUN is the folder of a finished run. The page needs no network and no other file: you can send it by mail.

    \b
    Examples:
      nnx report runs/best
      nnx report runs/deep runs/shallow --out both.html
    """
    from nnx import reports

    written = reports.write_report(list(runs), out)
    click.echo(written)
    if open_:
        open_page(written)
