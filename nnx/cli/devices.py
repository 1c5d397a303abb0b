"""``nnx devices`` and ``nnx gradcheck``."""

from __future__ import annotations

from dataclasses import asdict

import click

from nnx import backends
from nnx.cli.console import print_json, print_table


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def devices(as_json: bool) -> None:
    """What can run here, and why the rest cannot.

    \b
    Example:
      nnx devices
    """
    found = list(backends.available())
    if as_json:
        print_json({"default": backends.default_device(), "devices": [asdict(status) for status in found]})
        return
    rows = [(s.name, s.device, "yes" if s.usable else "no", s.detail) for s in found]
    print_table("Devices", ("backend", "device", "usable", "detail"), rows)


@click.command()
@click.option("--device", default=None, help="auto, cpu, gpu, gpu:N, numpy or cupy.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def gradcheck(device: str | None, as_json: bool) -> int:
    """Check every layer's and loss's backward pass against finite differences, in float64.

    \b
    Example:
      nnx gradcheck --device cpu
    """
    from nnx.gradcheck import run_all

    reports = run_all(device)
    failed = [report for report in reports if not report.passed]
    if as_json:
        print_json(
            {
                "passed": not failed,
                "reports": [{"name": r.name, "passed": r.passed, "error": r.error} for r in reports],
            }
        )
    else:
        rows = [(r.name, f"{r.error:.1e}", "ok" if r.passed else "WRONG") for r in reports]
        print_table(f"{len(reports) - len(failed)} of {len(reports)} right",
                    ("backward pass of", "worst relative error", ""), rows)  # fmt: skip
    return 1 if failed else 0
