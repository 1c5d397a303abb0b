"""Run a declared experiment and print its result."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from nnx.cli import show
from nnx.cli.console import open_page, print_json, say
from nnx.cli.execute import Options, already_finished, execute, run_folder
from nnx.distributed import ALONE, TIMEOUT, connect
from nnx.experiments import Experiment


def run_declared(
    experiment: Experiment,
    config: Any,
    out: Path | None,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    open_: bool,
    tf32: bool,
    checkpoint_every: str | None = None,
    resume: bool | None = None,
    logs: tuple[str, ...] = (),
    statistics: bool = False,
    distributed: str | None = None,
    rank_timeout: float = TIMEOUT,
) -> int:
    """Run a declared experiment with the options of its command, and print its result.

    Returns
    -------
    int
        The exit status.
    """
    if note := experiment.check(config, by_user()):
        say(f"note: {note}", quiet)
    if experiment.trains is None or not experiment.trains(config):
        resume = None  # this run trains nothing, so there is nothing to resume
    ranks = connect(distributed, rank_timeout) if distributed else ALONE
    config = replace(config, device=ranks.place(config.device))
    how = Options.of(config.device, config, quiet, verbose, tf32, checkpoint_every, resume, logs, statistics)
    together = {"communicator": ranks} if experiment.distributed else {}
    finished = already_finished(ranks, out, bool(resume))
    if ranks.rank:  # the first rank prints and writes
        if finished:
            return 0
        logging.disable()
        # only the first rank writes checkpoints, but with one, every rank holds signals back
        experiment.run(config, checkpoint=how.checkpoint(out or Path()), **together)
        return 0

    def job(callbacks: list[Any], **kept: Any) -> Any:
        return experiment.run(config, callbacks, **kept, **together)

    folder = run_folder(experiment.name, out, bool(resume))
    result = execute(experiment.name, job, folder, how)
    if as_json:
        print_json(result.to_json())
    else:
        show.result(result, folder)
    if open_:
        open_page(show.page(folder))
    return int(experiment.failed(result))


def by_user() -> set[str]:
    """Return the names of the options that the user gave on the command line."""
    ctx = click.get_current_context()
    source = click.core.ParameterSource.COMMANDLINE
    return {name for name in ctx.params if ctx.get_parameter_source(name) is source}
