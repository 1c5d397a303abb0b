"""Compare `fast` with NumPy alone on narrow networks, in both float types: the ratio of the times of a step.

Run by hand:  python benchmarks/narrow.py [--threads 1] [--width N] [--json PATH]

The network has two hidden layers of equal width and one output, and trains with the squared error and Adam.
Each backend has one process, and the two take turns, so that a change of the machine's speed meets both. A
ratio above 1.05 is marked: `fast` is slower than NumPy alone.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
import common
import numpy as np
import tables

import nnx

DEVICES = ("numpy", "numba")
WIDTHS = (8, 16, 32, 64, 128, 256)
BATCHES = (16, 64, 256)
TYPES = ("float32", "float64")
ACTIVATIONS = {"relu": nnx.ReLU, "tanh": nnx.Tanh, "sigmoid": nnx.Sigmoid}
SECONDS = 0.2  # of a turn: long, because processors are slow at its start
SLOWER = 1.05  # ratios above this are marked
_ready: dict[Any, Any] = {}


def turn(device: str, width: int, batch: int, dtype: str, activation: str) -> float:
    """Return the seconds of a step; the first call for a network compiles, and chooses how many steps."""
    key = (device, width, batch, dtype, activation)
    if key not in _ready:
        _ready.clear()
        layers = [nnx.Dense(width, width), ACTIVATIONS[activation](), nnx.Dense(width)]
        layers += [ACTIVATIONS[activation](), nnx.Dense(1)]
        network = nnx.Network(layers, device=device, dtype=dtype, seed=0)
        _ready[key] = network, nnx.Adam(1e-4), 8
        _timed(key, batch)
        _ready[key] = *_ready[key][:2], max(8, min(4096, int(SECONDS / _timed(key, batch))))
    return _timed(key, batch)


def _timed(key: Any, batch: int) -> float:
    network, optimizer, steps = _ready[key]
    generator = np.random.default_rng(0)
    x = generator.random((steps * batch, *network.input_shape)).astype(network.dtype)
    y = x[:, :1].copy()
    began = time.perf_counter()
    network.fit(x, y, loss=nnx.MeanSquaredError(), optimizer=optimizer, batch_size=batch)
    return (time.perf_counter() - began) / steps


def cells(widths: tuple[int, ...], dtypes: tuple[str, ...]) -> Iterator[tuple[int, int, str, str]]:
    """Return what is measured: width, batch, type and activation."""
    for dtype in dtypes:
        for activation in ACTIVATIONS:
            for width in widths:
                for batch in BATCHES:
                    yield width, batch, dtype, activation


def measured(
    widths: tuple[int, ...], dtypes: tuple[str, ...], rounds: int, threads: int
) -> list[dict[str, Any]]:
    """Return for each cell the medians in microseconds for each step, and that of the ratios of a round."""
    os.environ.update(common.environment(threads))  # the processes start with it
    found = []
    with ExitStack() as stack:
        method = multiprocessing.get_context("spawn")
        pools = {name: ProcessPoolExecutor(1, mp_context=method) for name in DEVICES}
        for pool in pools.values():
            stack.enter_context(pool)
        for cell in cells(widths, dtypes):
            times: dict[str, list[float]] = {name: [] for name in DEVICES}
            for number in range(rounds):
                for name in DEVICES if number % 2 else reversed(DEVICES):
                    time.sleep(common.SETTLE if threads > 1 else 0.0)  # before both, or one starts colder
                    times[name].append(pools[name].submit(turn, name, *cell).result() * 1e6)
            medians = {name: statistics.median(values) for name, values in times.items()}
            about = dict(zip(("width", "batch", "dtype", "activation"), cell, strict=True))
            ratio = statistics.median(fast / plain for plain, fast in zip(*times.values(), strict=True))
            found.append(about | medians | {"ratio": ratio})
    return found


@click.command()
@click.option("--width", "widths", type=int, multiple=True, help="One width, or several.")
@click.option("--dtype", "dtypes", type=click.Choice(TYPES), multiple=True, help="Default: both types.")
@common.options(rounds=9)
def main(
    widths: tuple[int, ...], dtypes: tuple[str, ...], rounds: int, threads: int, json_path: Path | None
) -> None:
    """Print the ratios for each type and activation."""
    common.headline(threads)
    dtypes = dtypes or TYPES
    found = measured(widths or WIDTHS, dtypes, rounds, threads)
    for dtype in dtypes:
        for activation in ACTIVATIONS:
            some = [one for one in found if (one["dtype"], one["activation"]) == (dtype, activation)]
            lines = [
                [str(width), *(f"{one['ratio']:.2f}{' !' * (one['ratio'] > SLOWER)}" for one in some
                               if one["width"] == width)]
                for width in dict.fromkeys(one["width"] for one in some)
            ]  # fmt: skip
            head = ["width", *(f"batch {batch}" for batch in BATCHES)]
            click.echo(
                f"\n{dtype}, {activation}: time of `fast` ÷ time of NumPy alone\n{tables.table(head, lines)}"
            )
    worst = max(found, key=lambda one: one["ratio"])
    click.echo(f"\nthe largest ratio: {worst}")
    common.write_json(json_path, "narrow", threads, found)


if __name__ == "__main__":
    main()
