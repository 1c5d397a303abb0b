"""Write the report of one or several runs as one HTML file that needs no network and no other file."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from nnx.errors import ConfigurationError
from nnx.experiments import Result
from nnx.experiments.result import read_run
from nnx.files import make_folder, replacing
from nnx.reports import evidence, facts
from nnx.reports.sections import Run, curves, shown

if TYPE_CHECKING:
    from jinja2 import Environment

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
    _write([Run(folder.resolve().name, result, kept)], folder / FILE)
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
    target = Path(path) if path is not None else (folders[0] / FILE if len(folders) == 1 else Path(FILE))
    if target.suffix.lower() not in (".html", ".htm"):
        raise ConfigurationError(f"{target}: a report is a web page, so its name must end in .html")
    called = facts.names([str(folder.resolve()) for folder in folders])
    found = [
        Run(name, read_run(folder), evidence.read(folder / evidence.FILE))
        for name, folder in zip(called, folders, strict=True)
    ]
    make_folder(target.parent)
    return _write(found, target)


def _write(runs: list[Run], target: Path) -> Path:
    text = html(runs)
    with replacing(target) as file:
        file.write(text.encode("utf-8", "backslashreplace"))  # a file name may hold bytes that are not text
    return target


def html(runs: list[Run]) -> str:
    """Return the text of the page."""
    templates = _templates()
    script = templates.get_template("script.js").render()
    results = [run.result for run in runs]
    return templates.get_template("page.html").render(
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
        style=templates.get_template("style.css").render(),
        script=script,
        # The browser runs this script only, even if another one gets into the page.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("nnx.reports"), undefined=StrictUndefined,
        autoescape=True, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["zip"] = zip
    return environment
