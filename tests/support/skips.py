"""Summarize skipped tests by reason at the end of pytest's output."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import pytest

FILES = 3  # named for a reason; the rest is counted


def summed_up(skipped: Iterable[Any]) -> list[str]:
    """A line for each reason, the commonest first: how often, why, and in which files."""
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for report in skipped:
        reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
        file = report.nodeid.partition("::")[0].removeprefix("tests/")
        found[" ".join(reason.removeprefix("Skipped: ").split())][file] += 1
    lines = []
    for reason, files in sorted(found.items(), key=lambda item: (-item[1].total(), item[0])):
        named = sorted(files.items(), key=lambda item: (-item[1], item[0]))[:FILES]
        where = [f"{file} {count}" for file, count in named]
        if len(files) > FILES:
            rest = files.total() - sum(count for _, count in named)
            where.append(f"{len(files) - FILES} more files {rest}")
        lines.append(f"{files.total():5} {reason}  ({', '.join(where)})")
    return lines


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print them; ``pytest -rs`` names every place."""
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped:
        terminalreporter.section("skipped, by reason (-rs names every place)")
        for line in summed_up(skipped):
            terminalreporter.line(line)
