"""``nnx devices`` and ``nnx gradcheck``."""

from __future__ import annotations

from dataclasses import asdict

import click

from nnx import backends
from nnx.cli import options
from nnx.cli.console import print_json, print_table, say


@click.command(short_help="What can run here, and why the rest cannot.")
@options.json_flag
def devices(as_json: bool) -> None:
    """What can run here, and why the rest cannot.

    \b
    Examples:
      nnx devices
      nnx devices --json
    """
    found = list(backends.available())
    if as_json:
        print_json({"default": backends.default_device(), "devices": [asdict(status) for status in found]})
        return
    rows = [(s.name, s.device, "yes" if s.usable else "no", s.detail) for s in found]
    print_table("Devices", ("backend", "device", "usable", "detail"), rows)


@click.command(short_help="Check every backward pass against finite differences.")
@options.device
@options.json_flag
def gradcheck(device: str | None, as_json: bool) -> int:
    """Check every layer's and loss's backward pass against finite differences, in float64.

    Exit status 1 where one of them is wrong.

    \b
    Examples:
      nnx gradcheck
      nnx gradcheck --device gpu
    """
    from nnx.gradcheck import run_all

    backend = backends.resolve(device)
    reports = run_all(backend)
    passed = sum(report.passed for report in reports)
    if as_json:
        listed = [
            {"name": r.name, "passed": r.passed, "worst": r.worst, "message": r.message} for r in reports
        ]
        print_json({"device": backend.device, "backend": backend.name,
                    "passed": passed == len(reports), "reports": listed})  # fmt: skip
    else:
        rows = [(r.name, f"{r.worst:.1e}", "ok" if r.passed else "WRONG") for r in reports]
        title = f"{passed} of {len(reports)} backward passes are right on {backend.device} ({backend.name})"
        print_table(title, ("backward pass of", "worst relative error", ""), rows)
    for report in reports:
        if not report.passed:
            say(report.message)
    return 0 if passed == len(reports) else 1
