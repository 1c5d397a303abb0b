"""A plugin for pytest: write how many tests passed, and which failed and why, while they run."""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import Any

import found

SHOWN = 40  # failed tests whose text is kept
counts: Counter[str] = Counter()
failures: list[dict[str, str]] = []
slowest: dict[str, float] = {}
last = [0.0]


def pytest_runtest_logreport(report: Any) -> None:
    """Count a test, and write at most once a second."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return  # the process that started this one counts
    if report.when == "call" or report.outcome != "passed":
        counts[report.outcome] += 1
    if report.failed and len(failures) < SHOWN:
        failures.append({"test": report.nodeid, "text": str(report.longrepr)[-3000:]})
    slowest[report.nodeid] = slowest.get(report.nodeid, 0.0) + report.duration
    if report.failed or time.monotonic() - last[0] > 1.0:
        save()


def pytest_sessionfinish() -> None:
    """Write the last numbers."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        save()


def save() -> None:
    """Write all that is known."""
    last[0] = time.monotonic()
    slow = sorted(slowest.items(), key=lambda item: -item[1])[:10]
    lines = [", ".join(f"{number} {outcome}" for outcome, number in sorted(counts.items())) or "no test yet"]
    for one in failures:
        reason = [line for line in one["text"].splitlines() if line.startswith("E ")]
        lines.append(f"FAILED {one['test']}: {(reason or [''])[0].removeprefix('E').strip()[:200]}")
    found.save({"summary": lines, "counts": dict(counts), "failures": failures, "slowest": slow})
