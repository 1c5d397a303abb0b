"""Print tables of results, and warn if losses differ."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

import click
from common import Result
from jobs import Job

# Allowed differences of losses: of the mean of the first few steps, and of the last turn, as a share of the
# first loss; if every turn starts again, as a share of the last loss itself.
# The first is the real check. The second only finds a framework that has not trained; if a loss ends near 0,
# like the classifier's, it finds little.
EARLY, FINAL = 1e-3, 5e-2


def report(job: Job, results: list[Result], unit: str = "ms") -> None:
    """Print the results of a job as a table, warnings if losses differ, and what each process ran."""
    scale = {"ms": 1e3, "µs": 1e6}[unit]
    products = [one.median for one in results if one.kind == "products"]  # NumPy's first
    columns = {"NumPy's products": products[0], "best products": min(products)} if products else {}
    peers = [one for one in results if one.kind == "peer"]
    if peers:
        fastest = min(peers, key=lambda one: one.median)
        columns[fastest.name] = fastest.median
    trained = job.task == "turns"
    last = job.steps if job.restart else job.check + job.steps * (1 + max(one.rounds for one in results))
    flops = unit == "ms" and trained
    head = [f"{unit} a step" if trained else unit, "quartiles", *(f"÷ {name}" for name in columns)]
    head += [*(["GFLOP/s"] if flops else []), *([] if job.restart else [f"loss, {job.check} steps"])]
    head += [f"loss, {last} steps" if trained else "mean |code|"]
    lines = []
    for one in results:
        line = [one.name, f"{one.median * scale:.2f}", f"{one.lower * scale:.2f} … {one.upper * scale:.2f}"]
        line += [f"{one.median / base:.2f}" for base in columns.values()]
        line += [f"{job.operations() / one.median / 1e9:.0f}"] if flops else []
        line += [] if job.restart else [decimals(one.early)]
        lines.append([*line, decimals(one.final)])
    click.echo(table([job.name, *head], lines))
    compare(results, job.restart)
    for one in results:
        about = ", ".join(f"{name} {value}" for name, value in one.about.items())
        click.echo(f"  {one.name}: ready after {one.start:.1f} s; {about}")


def decimals(value: float | None) -> str:
    """Format a loss."""
    return "-" if value is None else f"{value:.5f}"


def compare(results: Iterable[Result], restart: bool) -> None:
    """Print a warning for each row whose loss differs from the median."""
    trained = [one for one in results if one.final is not None and one.early is not None]
    if not trained:
        return
    scale = abs(statistics.median(one.final if restart else one.early for one in trained))
    for name, tolerance in (("final", FINAL),) if restart else (("early", EARLY), ("final", FINAL)):
        losses = {one.name: getattr(one, name) for one in trained}
        middle = statistics.median(losses.values())
        for row, loss in losses.items():
            if not abs(loss - middle) <= tolerance * scale:
                click.echo(f"WARNING: {row} has another {name} loss: {loss:.6g}, the median is {middle:.6g}")


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Format columns, the first one aligned left, the others right."""
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    rows = [
        "  ".join(cell.rjust(width) if i else cell.ljust(width) for i, (cell, width) in enumerate(cells))
        for cells in (list(zip(line, widths, strict=True)) for line in [head, *lines])
    ]
    return "\n".join([rows[0], "-" * len(rows[0]), *rows[1:]])
