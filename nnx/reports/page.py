"""Write the report of one or several runs as one HTML file that needs no network and no other file."""

from __future__ import annotations

import os
from pathlib import Path

from nnx.errors import ConfigurationError
from nnx.experiments import Result
from nnx.experiments.result import read_run
from nnx.reports import evidence, facts
from nnx.reports.sections import Run, curves, shown
from nnx.web_pages import page_path, rendered, source, templates, write_page

FILE = "report.html"


def report(result: Result, folder: Path) -> dict[str, str]:
    """Write ``report.npz`` and ``report.html`` in a run's folder and add them to the result's artifacts.

    Returns
    -------
    dict of str to str
        Paths in the folder, by name.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    kept = evidence.gather(result)
    written = {}
    if kept:
        evidence.write(kept, folder / evidence.FILE)
        written["evidence"] = evidence.FILE
    write_page(html([Run(folder.resolve().name, result, kept)]), folder / FILE)
    written["report"] = FILE
    result.artifacts.update(written)
    return written


def write_report(runs: list[str | os.PathLike[str]], path: str | os.PathLike[str] | None = None) -> Path:
    """Write one page about finished runs; it shows several runs next to each other.

    Parameters
    ----------
    runs : list of path-like
        The folders of the runs.
    path : path-like, optional
        The file. Without it, ``report.html`` in the run's folder, or in the current folder for several runs.

    Returns
    -------
    pathlib.Path
        The file that was written.

    Raises
    ------
    ConfigurationError
        If there is no run, or the name of the file does not end in .html.
    FileFormatError
        If a folder has no finished run, or a damaged one.
    OutputError
        If the file cannot be written.
    """
    folders = [Path(run) for run in runs]
    if not folders:
        raise ConfigurationError("no run was given: name the folder of at least one run")
    usual = folders[0] / FILE if len(folders) == 1 else FILE
    target = page_path(usual if path is None else path, "a report")
    called = facts.names([str(folder.resolve()) for folder in folders])
    found = [
        Run(name, read_run(folder), evidence.read(folder / evidence.FILE))
        for name, folder in zip(called, folders, strict=True)
    ]
    return write_page(html(found), target)


def html(runs: list[Run]) -> str:
    """Return the text of the page."""
    environment = templates("nnx.reports", "templates")
    environment.filters["zip"] = zip
    results = [run.result for run in runs]
    return rendered(
        environment,
        "page.html",
        style="style.css",
        script=source(environment, "script.js"),
        runs=[shown(run) for run in runs],
        charts=curves(runs),
        metrics=[facts.metrics(result) for result in results],
        verdicts=[facts.verdict(result) for result in results],
        different_data=facts.different_data(results),
        tables={
            "Configuration": facts.table([facts.config(result) for result in results]),
            "Where it ran": facts.table([facts.machine(result) for result in results]),
        },
        timing=facts.table([facts.timing(result) for result in results], last=facts.TIMING["total_seconds"]),
        compared=facts.table([facts.metrics(result) for result in results]),
    )
