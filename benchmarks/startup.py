"""Measure the cost of starting: imports, ``nnx --help``, and the deep autoencoder's first step.

Run by hand:  python benchmarks/startup.py [--json PATH]

Each is timed in fresh processes, interleaved; the benchmark prints medians. A first step is timed from before
the first import (also NumPy's) to after the step. Numba compiles at its first use and stores the result, so
there are two cases: with an empty cache, and with a full one.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import common
import tables

AFTER_NUMPY = """
import numpy, time
began = time.perf_counter()
import nnx
print(time.perf_counter() - began)
"""
IMPORT = """
import time
began = time.perf_counter()
import {}
print(time.perf_counter() - began)
"""
FIRST_STEP = """
import time
began = time.perf_counter()
import nnx
from nnx.experiments import autoencoder
import numpy as np
x = np.random.default_rng(0).random((256, 784), dtype=np.float32)
network = autoencoder.build(autoencoder.Config(device={!r}))
network.fit(x, x, loss=nnx.BinaryCrossEntropy(), optimizer=nnx.Adam(1e-3), batch_size=256)
print(time.perf_counter() - began)
"""


def inside(threads: int, code: str, **variables: str) -> float:
    """Return the seconds that a fresh process prints last."""
    return float(common.output(code, common.environment(threads, variables)).split()[-1])


def wall(*arguments: str) -> float:
    """Return the seconds of a process from start to end."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], capture_output=True, check=True, env=common.ENVIRONMENT)
    return time.perf_counter() - began


def compiling(threads: int) -> float:
    """Return the seconds of the first step with an empty cache."""
    with tempfile.TemporaryDirectory() as folder:
        return inside(threads, FIRST_STEP.format("numba"), NUMBA_CACHE_DIR=folder)


def cases(kept: str, threads: int) -> dict[str, Callable[[], float]]:
    """Return what is timed, by name; Numba's compiled code is stored in a folder."""
    found: dict[str, Callable[[], float]] = {
        "python -c pass": lambda: wall("-c", "pass"),
        "nnx --help": lambda: wall("-m", "nnx", "--help"),
        "import numpy": lambda: inside(threads, IMPORT.format("numpy")),
        "import nnx, after numpy": lambda: inside(threads, AFTER_NUMPY),
        "first step, numpy": lambda: inside(threads, FIRST_STEP.format("numpy")),
    }
    if common.usable("numba"):
        found["first step, numba, compiling"] = lambda: compiling(threads)
        found["first step, numba, compiled before"] = lambda: inside(
            threads, FIRST_STEP.format("numba"), NUMBA_CACHE_DIR=kept
        )
    for name in ("torch", "tensorflow", "keras", "jax"):
        if common.installed(name):
            found[f"import {name}"] = lambda name=name: inside(threads, IMPORT.format(name))
        else:
            click.echo(f"left out: import {name}: not installed")
    return found


@click.command()
@click.option("--only", default="", help="Only cases with this text in their name.")
@common.options(rounds=15)
def main(only: str, rounds: int, threads: int, json_path: Path | None) -> None:
    """Print a table of medians, in seconds."""
    common.headline(threads)
    with tempfile.TemporaryDirectory() as kept:
        chosen = {name: call for name, call in cases(kept, threads).items() if only in name}
        for name, call in chosen.items():  # first call: bytecode is compiled, files enter the page cache
            if name != "first step, numba, compiling":
                call()
        samples: dict[str, list[float]] = {name: [] for name in chosen}
        for _ in range(rounds):
            for name, call in chosen.items():
                samples[name].append(call())
    medians = {name: statistics.median(values) for name, values in samples.items()}
    if {"nnx --help", "python -c pass"} <= set(medians):
        medians["nnx --help, above bare Python"] = medians["nnx --help"] - medians["python -c pass"]
    lines = []
    for name, median in medians.items():
        quartiles = statistics.quantiles(samples[name], n=4) if len(samples.get(name, [])) > 1 else None
        spread = f"{quartiles[0]:.3f} … {quartiles[2]:.3f}" if quartiles else ""
        lines.append([name, f"{median:.3f}", spread])
    click.echo(tables.table(["", "seconds", "quartiles"], lines))
    common.write_json(json_path, "startup", threads, {"medians": medians, "samples": samples})


if __name__ == "__main__":
    main()
