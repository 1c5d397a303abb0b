"""``nnx report``: the page of one run, or of several side by side."""

from __future__ import annotations

from pathlib import Path

import click

from nnx.cli import options
from nnx.cli.console import open_page


@click.command(short_help="Write the page of one run, or of several side by side.")
@click.argument("runs", metavar="RUN…", nargs=-1, required=True, type=options.Existing())
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), default=None, metavar="FILE",
    help="Default: report.html, in the run's folder; for several runs, in the current folder.",
)  # fmt: skip
@options.open_report
def report(runs: tuple[Path, ...], out: Path | None, open_: bool) -> None:
    """Write one HTML page of a run, or of several side by side; prints where it is.

    RUN is the folder of a finished run. The page needs no network and no other file: it can be sent by mail.

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
