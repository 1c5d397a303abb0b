"""Train each job for 1,000 steps, and see whether CuPy's memory pool grows after the first twenty.

Run it:  PYTHONPATH=.:benchmarks:benchmarks/gpu python benchmarks/gpu/pool.py [--steps 1000]
"""

from __future__ import annotations

import sys
from typing import Any

import click
import found
import jobs

import nnx

JOBS = {"deep": jobs.DEEP, "shallow": jobs.SHALLOW, "classifier": jobs.CLASSIFIER, "wide": jobs.WIDE}
EPOCH = 10  # steps between two looks
WARM = 20  # steps after which nothing may grow


class Pool(nnx.Callback):
    """What the pool has used and reserved after each epoch."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def on_epoch_end(self, run: nnx.callbacks.Run) -> None:
        """Ask CuPy."""
        memory = run.network.backend.memory()
        self.seen.append((memory["pool_used"], memory["pool_total"]))


def looked_at(name: str, steps: int) -> dict[str, Any]:
    """Return the bytes that a training of so many steps used."""
    pool = Pool()
    jobs.train(JOBS[name], "gpu", EPOCH, steps // EPOCH, pool)
    warm = pool.seen[min(WARM // EPOCH, len(pool.seen)) - 1]
    most = [max(one) for one in zip(*pool.seen, strict=True)]
    return {"job": name, "steps": steps, "warm": warm, "most": most, "grows": list(warm) != most}


def line(one: dict[str, Any]) -> str:
    """Return what is said about a job."""
    warm, most = (
        "{:.1f} MiB used, {:.1f} reserved".format(*(n / 2**20 for n in one[k])) for k in ("warm", "most")
    )
    later = f"MORE LATER: {most}" if one["grows"] else "no more later"
    return f"{one['job']}, {one['steps']} steps: {warm} after {WARM} steps, {later}"


@click.command()
@click.option("--steps", type=click.IntRange(WARM), default=1000, show_default=True)
@click.option("--job", "names", type=click.Choice(list(JOBS)), multiple=True, help="Default: all.")
def main(steps: int, names: tuple[str, ...]) -> None:
    """Print the memory of each job; status 1 if it grows."""
    seen = []
    for name in names or JOBS:
        seen.append(looked_at(name, steps))
        click.echo(line(seen[-1]))
        found.save({"jobs": seen, "summary": [line(one) for one in seen]})
    sys.exit(any(one["grows"] for one in seen))


if __name__ == "__main__":
    main()
