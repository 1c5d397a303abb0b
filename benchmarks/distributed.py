"""Measure weak and strong scaling of the deep autoencoder with ranks of one thread, and the exchange's cost.

    python benchmarks/distributed.py --ranks 2 --out scaling.json

This starts one job with mpiexec. In every round, each way of working takes a turn in this job, while ranks
that do not take part sleep. So other work on the machine affects all ways alike, and ratios are taken within
a round.

alone     rank 0 by itself, 256 rows for each step
separate  every rank by itself, at the same time: the cost of shared caches and memory, without any exchange
weak      all ranks together, 256 rows for each rank
strong    all ranks together, 256 rows in total
N parts   like weak, in a loop of this file: the exchange has N parts, and each starts as soon as the
          gradients of its layers are ready; "one part" starts after the backward pass
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

import nnx
from nnx.distributed import ALONE, Communicator
from nnx.experiments import autoencoder

ROWS, STEPS, SIZES = 256, 16, (16, 1024, 16384, 131072, 524288, 1048576, 4194304)
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
PARTS = (2, 4, 8)


def trained(network: nnx.Network, x: np.ndarray, rows: int, communicator: Communicator) -> float:
    """Return the seconds of a step."""
    history = network.fit(
        x, x, loss=nnx.BinaryCrossEntropy(), optimizer=nnx.Adam(1e-3), batch_size=rows, shuffle=False,
        communicator=communicator,
    )  # fmt: skip
    return (history.training_seconds - history.first_step_seconds) / (history.steps - 1)


def overlapped(network: nnx.Network, x: np.ndarray, world: Any, parts: int) -> float:
    """Return the seconds of a step by hand, with the exchange in `parts` parts during the backward pass."""
    from mpi4py import MPI

    plan, kind = network.training_plan(loss := nnx.BinaryCrossEntropy())
    arena, optimizer = network.arena, nnx.Adam(1e-3)
    value, dy = np.zeros(1, arena.dtype), np.empty_like(x)
    ends = np.linspace(0, arena.gradients.size, parts + 1).astype(int)[::-1]

    def step() -> None:
        y_pred = plan.forward(x, True)
        loss.evaluate(arena.backend, x, y_pred, value, dy, None, kind)
        steps, gradient, high, waiting = plan._current, dy * (1.0 / world.Get_size()), 0, []
        for index in range(len(steps) - 1, -1, -1):
            layer, cache = steps[index]
            dx = cache.dx if index else None
            layer.backward_into(gradient, dx, cache)
            gradient = dx
            first = arena._offsets[layer.index]
            while high < parts and ends[high + 1] >= first:  # all gradients of this part are ready
                part = arena.gradients[ends[high + 1] : ends[high]]
                waiting.append(world.Iallreduce(MPI.IN_PLACE, part))
                high += 1
            for request in waiting:
                request.Test()
        for request in waiting:
            while not request.Test():
                os.sched_yield()
        optimizer.step(network)

    step()
    began = time.perf_counter()
    for _ in range(STEPS):
        step()
    return (time.perf_counter() - began) / STEPS


def exchanges(communicator: Communicator, size: int) -> float:
    """Return the seconds of one sum of `size` float32 numbers."""
    buffer = np.ones(size, np.float32)
    count = max(3, min(200, 2**22 // size))
    communicator.gather("")
    began = time.perf_counter()
    for _ in range(count):
        communicator.sum(buffer)
        buffer *= 0.5
    return (time.perf_counter() - began) / count


def job(rounds: int, out: str) -> None:
    """Run the job of every rank."""
    with nnx.distributed.connect("mpi", 300.0) as communicator:
        from mpi4py import MPI

        size = communicator.size
        x = np.random.default_rng(0).random((ROWS * size * STEPS, 784), np.float32)
        network = autoencoder.build(autoencoder.Config("deep", device="cpu"))
        own = x[: ROWS * STEPS]
        first = communicator.rank == 0

        def one(rows: int) -> float:
            return trained(network, own[: rows * STEPS], rows, ALONE) if first else 0.0

        spent = [0.0]
        summing = communicator.sum

        def timed(array: Any, what: str = "") -> Any:
            began = time.perf_counter()
            result = summing(array, what)
            spent[0] += time.perf_counter() - began
            return result

        def weak() -> float:
            spent[0] = 0.0
            communicator.sum = timed  # type: ignore[method-assign]
            try:
                return trained(network, x, ROWS * size, communicator)
            finally:
                communicator.sum = summing  # type: ignore[method-assign]

        ways = {
            "alone": lambda: one(ROWS),
            "separate": lambda: trained(network, own, ROWS, ALONE),
            "weak": weak,
            "strong": lambda: trained(network, own, ROWS, communicator),
            "one part": lambda: overlapped(network, own[:ROWS], MPI.COMM_WORLD, 1),
            **{
                f"{parts} parts": lambda parts=parts: overlapped(network, own[:ROWS], MPI.COMM_WORLD, parts)
                for parts in PARTS
            },
            **{f"alone {rows}": lambda rows=rows: one(rows) for rows in (32, 64, 128)},
        }
        found: dict[str, list[float]] = {name: [] for name in [*ways, "exchange"]}
        sums: dict[int, list[float]] = {count: [] for count in SIZES}
        start = network.weights()
        for number in range(rounds + 1):  # the first round warms up
            for name in [*list(ways)[number % len(ways) :], *list(ways)[: number % len(ways)]]:
                network.set_weights(start)  # ranks that trained alone have different weights
                network.arena.step = 0
                communicator.gather("")
                seconds = ways[name]()
                slowest = max(map(float, communicator.gather(repr(seconds))))
                if number:
                    found[name].append(slowest)
                    if name == "weak":
                        found["exchange"].append(spent[0] / STEPS)
            for count in SIZES:
                seconds = exchanges(communicator, count)
                if number:
                    sums[count].append(seconds)
        if first:
            result = {
                "ranks": size, "backend": network.backend.name, "parameters": network.arena.exchange.size,
                "rows": ROWS, "seconds": found, "exchanges": sums,
            }  # fmt: skip
            Path(out).write_text(json.dumps(result))


def print_result(result: dict[str, Any]) -> None:
    """Print medians, and ratios within rounds."""
    seconds = result["seconds"]

    def line(name: str, values: list[float], unit: str = "ms", scale: float = 1e3) -> None:
        low, middle, high = (np.quantile(values, q) * scale for q in (0.25, 0.5, 0.75))
        print(f"{name:44}{middle:9.3f} {unit:4} (quartiles {low:.3f} to {high:.3f})")

    ranks = result["ranks"]
    print(
        f"deep autoencoder, {ranks} ranks of one thread ({result['backend']}), {result['rows']} rows a rank"
    )
    for name, values in seconds.items():
        line(f"a step, {name}" if name != "exchange" else "of a weak step in sums (waits included)", values)
    for count, values in result["exchanges"].items():
        line(f"a sum of {int(count):,} numbers", values, "us", 1e6)

    def ratio(name: str, over: str, under: str, factor: float = 1.0) -> None:
        values = [factor * a / b for a, b in zip(seconds[over], seconds[under], strict=True)]
        line(name, values, "", 1.0)

    ratio("weak-scaling efficiency, alone / weak", "alone", "weak")
    ratio("  of it the machine's, alone / separate", "alone", "separate")
    ratio("  of it the exchange's, separate / weak", "separate", "weak")
    ratio("strong-scaling speed-up, alone / strong", "alone", "strong")
    ratio("strong-scaling efficiency", "alone", "strong", 1 / ranks)
    ratio("exchange / weak step", "exchange", "weak")
    for parts in PARTS:
        ratio(f"{parts} parts during backward / one after it", f"{parts} parts", "one part")


@click.command(help=__doc__)
@click.option("--ranks", default=2, show_default=True)
@click.option("--rounds", default=9, show_default=True)
@click.option("--out", default="scaling.json", show_default=True, type=click.Path())
def main(ranks: int, rounds: int, out: str) -> None:
    mpiexec = Path(sys.executable).parent / "mpiexec"
    launcher = str(mpiexec) if mpiexec.is_file() else "mpiexec"
    environment = os.environ | dict.fromkeys(THREADS, "1")
    command = [launcher, "-n", str(ranks), sys.executable, __file__, "job", str(rounds), out]
    subprocess.run(command, env=environment, check=True)
    print_result(json.loads(Path(out).read_text()))


if __name__ == "__main__":
    job(int(sys.argv[2]), sys.argv[3]) if sys.argv[1:2] == ["job"] else main()
