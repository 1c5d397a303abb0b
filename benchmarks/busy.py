"""Time a training step next to other programs: the deep autoencoder while other processes use the cores.

Run by hand:  python benchmarks/busy.py [--busy 2]

Each backend and number of threads trains in a separate process, in turns, alone and next to the busy
processes. The benchmark prints medians over the rounds, and their ratio. Unset ``OPENBLAS_CORETYPE`` first.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from tables import table

from nnx.backends.threads import VARIABLES, cores
from nnx.experiments.environment import processor

ROWS = 256
STEPS_OF_AN_EPOCH = 235  # 60,000 images of MNIST in batches of 256

DEVICES = ("numpy", "numba")

STEP = """
import sys, time, numpy as np, nnx

from nnx.training import contention
contention.Contention.reported = True
steps, rows = int(sys.argv[1]), 256
widths = (512, 256, 128, 64, 128, 256, 512)
layers = [nnx.Dense(784, 512), nnx.ReLU()]
for width in widths[1:]:
    layers += [nnx.Dense(width), nnx.ReLU()]
network = nnx.Network([*layers, nnx.Dense(784), nnx.Sigmoid()], seed=0)
x = np.random.default_rng(0).random((steps * rows, 784), dtype=np.float32)
how = {"loss": nnx.BinaryCrossEntropy(), "optimizer": nnx.Adam(), "batch_size": rows}
network.fit(x[: 4 * rows], x[: 4 * rows], **how)
began = time.perf_counter()
network.fit(x, x, **how)
print((time.perf_counter() - began) / steps)
"""


@contextmanager
def others(count: int) -> Iterator[None]:
    """Run processes that only use processor time."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def seconds(device: str, threads: int | None, steps: int) -> float:
    """Return the seconds of a step, measured in a new process."""
    variables = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    variables |= {"NNX_DEVICE": device} | ({} if threads is None else dict.fromkeys(VARIABLES, str(threads)))
    done = subprocess.run(
        [sys.executable, "-c", STEP, str(steps)], env=variables, text=True, capture_output=True, check=True
    )
    return float(done.stdout)


@click.command()
@click.option("--busy", default=2, show_default=True, help="Processes that keep the cores busy.")
@click.option("--steps", default=40, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--threads", default=1, show_default=True, help="Tried next to nnx's own choice.")
def main(busy: int, steps: int, rounds: int, threads: int) -> None:
    """Print the seconds of two epochs, alone and next to busy processes."""
    ways = [(device, count) for device in DEVICES for count in (None, threads)]
    click.echo(f"{processor()}, {cores()} cores, load average before {os.getloadavg()[0]:.1f}")
    found: dict[tuple[str, int | None, int], list[float]] = {}
    for _ in range(rounds):
        for count in sorted({0, busy}):
            with others(count):
                for way in ways:
                    found.setdefault((*way, count), []).append(seconds(*way, steps))
    lines = []
    for device, number in ways:
        alone, busy_median = (statistics.median(found[device, number, count]) for count in (0, busy))
        setting = "nnx's choice" if number is None else str(number)
        two = 2 * STEPS_OF_AN_EPOCH
        lines.append(
            [device, setting, f"{alone * two:.1f}", f"{busy_median * two:.1f}", f"{busy_median / alone:.1f}"]
        )
    head = ["device", "threads", "alone, s for two epochs", f"next to {busy} busy processes, s", "ratio"]
    click.echo(table(head, lines))


if __name__ == "__main__":
    main()
