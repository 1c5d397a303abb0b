"""Define ``nnx devices`` and ``nnx gradcheck``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from nnx import backends
from nnx.cli import options
from nnx.cli.console import print_json, print_table, say

if TYPE_CHECKING:
    from nnx.experiments.device_check import DeviceCheck


@click.command(short_help="List the devices that work here, and why others do not.")
@click.option("--check", is_flag=True, help="Train XOR and check gradients on every usable device.")
@options.thread_count
@options.json_flag
def devices(check: bool, as_json: bool) -> int:
    """List the devices that work here, why others do not, the NVIDIA driver, and the CuPy to install for it.

    For the CPU, also list how many threads compute, and why so many: affinity, quota, variable or option.
    For each usable device, say whether it computes with --precision bfloat16, and what is missing if not.

    The exit status is 1 if --check finds a device that computes wrong results.

    \b
    Examples:
      nnx devices
      nnx devices --check
      nnx devices --threads 1
      nnx devices --json
    """
    found = list(backends.available())
    driver = backends.driver()
    checks = _checks([status for status in found if status.usable]) if check else []
    teams = {
        status.name: backends.resolve(status.name).team()
        for status in found
        if status.usable and status.device == "cpu"
    }
    halves = {(s.name, s.device): _bfloat16(s) for s in found if s.usable}
    if as_json:
        listed = {"default": backends.default_device(), "driver": asdict(driver),
                  "devices": [asdict(s) | {"bfloat16": halves.get((s.name, s.device), {})} for s in found],
                  "threads": {name: {"count": count, "source": why} for name, (count, why) in teams.items()}
                  }  # fmt: skip
        print_json(listed | ({"checks": [asdict(one) for one in checks]} if check else {}))
    else:
        rows = [(s.name, s.device, "yes" if s.usable else "no", s.detail) for s in found]
        print_table("Devices", ("backend", "device", "usable", "detail"), rows)
        print_table(
            "Threads on the CPU",
            ("backend", "threads", "why so many"),
            [(name, str(count), why) for name, (count, why) in teams.items()],
        )
        told = [(*where, one["speed"], one["detail"]) for where, one in halves.items()]
        print_table("Precision bfloat16", ("backend", "device", "", "detail"), told)
        if driver.install:
            cuda = f"for CUDA {driver.cuda} at most" if driver.cuda else "none"
            print_table("", ("", ""), [("NVIDIA driver", cuda), ("CuPy for it", driver.install)])
        if check:
            lines = [
                (c.device, "ok" if c.passed else "WRONG", f"{c.seconds:.1f} s", c.message) for c in checks
            ]
            print_table("", ("checked", "", "", ""), lines)
    return 0 if all(one.passed for one in checks) else 1


def _bfloat16(status: backends.DeviceStatus) -> dict[str, str]:
    """Return how a usable device computes with bfloat16 factors ("no" if it does not), and why.

    It is called fast only where it was measured to be faster than float32.
    """
    backend = backends.resolve(status.name if status.device == "cpu" else status.device)
    if fault := backend.bfloat16_fault():
        return {"speed": "no", "detail": fault}
    if backend.factor_type != "uint16":
        return {"speed": "slow", "detail": "rounds factors, then multiplies in float32: to study it"}
    if backend.bfloat16_pays:
        return {"speed": "fast", "detail": "MKL, by the processor's AMX; auto chooses it"}
    if backend.name == "numba":
        return {"speed": "slow", "detail": "MKL without AMX; auto chooses float32: it was faster on AMD EPYC"}
    return {"speed": "unknown", "detail": "cuBLAS, not measured yet; auto chooses float32"}


def _checks(usable: list[backends.DeviceStatus]) -> list[DeviceCheck]:
    from nnx.experiments.device_check import check_device

    return [check_device(one.name if one.device == "cpu" else one.device) for one in usable]


@click.command(short_help="Compare every backward pass with finite differences.")
@options.device
@options.json_flag
def gradcheck(device: str | None, as_json: bool) -> int:
    """Compare every backward pass of layers and losses with finite differences, in float64.

    The exit status is 1 if one of them is wrong.

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
