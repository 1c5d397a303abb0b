"""Print results as tables on standard output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nnx import experiments
from nnx.cli.console import print_table


def result(outcome: Any, folder: Path) -> None:
    """Print the result of one experiment."""
    for table in experiments.get(outcome.experiment).tables(outcome):
        if isinstance(table, str):
            click.echo(table)
        else:
            print_table(table.title, table.header, table.rows)
    _footer(outcome, folder)


def summary(outcomes: list[Any], folder: Path) -> None:
    """Print several experiments in one table."""
    rows = []
    for outcome in outcomes:
        named = {name: value for name, value in outcome.metrics.items() if isinstance(value, float)}
        values = ", ".join(f"{name} {value:.5g}" for name, value in named.items())
        rows.append((outcome.experiment, outcome.dataset, values, f"{outcome.timing['total_seconds']:.1f} s"))
    print_table("Summary", ("experiment", "data", "figures", "time"), rows)
    for outcome in outcomes:
        click.echo(f"the report of {outcome.experiment} is {page(folder / outcome.experiment)}")
    click.echo(f"everything is in {folder}")


def _footer(outcome: Any, folder: Path) -> None:
    from nnx.experiments.result import step_time

    timing = outcome.timing
    parts = [f"{outcome.device} ({outcome.backend}, {outcome.precision}), seed {outcome.seed}"]
    if timing["steps"]:
        parts.append(
            f"{timing['steps']:,.0f} steps in {timing['train_seconds']:.2f} s "
            f"({step_time(timing['microseconds_per_step'])} each)"
        )
    parts.append(f"{timing['total_seconds']:.1f} s total")
    click.echo("; ".join(parts))
    click.echo(f"the report is {page(folder)}")
    click.echo(f"everything is in {folder}")


def page(folder: Path) -> Path:
    """Return the path of a run's report."""
    from nnx.reports.page import FILE

    return folder / FILE
