"""Compare a training step of two copies of nnx, such as this one and the version before, in turns.

Run by hand:

    git worktree add ../before COMMIT
    NNX_DATA_DIR=… python benchmarks/versions.py ../before [--only NAME] [--device numba]

Each copy trains in a separate process by the same program (``workers/version_worker.py``), so both may have
other benchmarks. The two take turns. The ratio of the new time to the old one is computed for each pair of
turns, because other programs make a whole minute slow; the table has its median and quartiles.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

import click
import common
import tables

NEW = Path(__file__).parents[1]
WORKER = common.WORKERS / "version_worker.py"
JOBS = ("deep", "shallow", "classifier", "wide", "xor")


class Copy:
    """A process that trains with a copy of nnx."""

    def __init__(self, folder: Path, job: str, device: str, threads: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(WORKER), job, device], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, env=common.environment(threads, {"PYTHONPATH": str(folder)}),
        )  # fmt: skip
        if self.answer() != str(folder / "nnx"):
            raise click.ClickException(f"{folder} is no copy of nnx")

    def answer(self) -> str:
        """Return the next line that it prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def turn(self) -> float:
        """Return the milliseconds of a step in its next turn."""
        assert self.process.stdin is not None
        time.sleep(common.SETTLE)
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.answer())


def compare(old: Path, job: str, device: str, rounds: int, threads: int) -> list[str]:
    """Return a line of the table."""
    copies = [Copy(folder, job, device, threads) for folder in (old, NEW)]
    pairs = []
    for number in range(rounds):
        order = copies if number % 2 else copies[::-1]
        times = {copy: copy.turn() for copy in order}
        pairs.append([times[copy] for copy in copies])
    for copy in copies:
        copy.process.kill()
        copy.process.wait()
    before, now = (statistics.median(times) for times in zip(*pairs, strict=True))
    lower, ratio, upper = statistics.quantiles([new / old for old, new in pairs], n=4)
    return [f"{job}, {device}", f"{before:.4g}", f"{now:.4g}", f"{ratio:.3f}", f"{lower:.3f} … {upper:.3f}"]


@click.command()
@click.argument("old", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--only", type=click.Choice(JOBS), multiple=True, help="One job, or several.")
@click.option("--device", "devices", type=click.Choice(["numba", "numpy"]), multiple=True, help="Or both.")
@common.options(rounds=30)
def main(
    old: Path,
    only: tuple[str, ...],
    devices: tuple[str, ...],
    rounds: int,
    threads: int,
    json_path: Path | None,
) -> None:
    """Print a table: milliseconds a step before (the copy OLD) and now, and their ratio."""
    common.headline(threads)
    lines = [
        compare(old.resolve(), job, device, rounds, threads)
        for job in only or JOBS
        for device in devices or ("numba", "numpy")
    ]
    click.echo(tables.table(["ms a step", "before", "now", "ratio", "quartiles"], lines))
    common.write_json(json_path, "versions", threads, lines)


if __name__ == "__main__":
    main()
