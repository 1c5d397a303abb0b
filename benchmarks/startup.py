"""Measure the cost of starting: imports, ``nnx --help``, and the first step of each job.

Run by hand:  python benchmarks/startup.py [--only TEXT] [--json PATH]

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
import numpy as np
def network(*layers):
    return nnx.Network([*layers], device={device!r}, seed=0)
Adam, SGD, D, R = nnx.Adam(1e-3), nnx.SGD(0.05), nnx.Dense, nnx.ReLU
rng = np.random.default_rng(0)
{job}
network.fit(x, y, loss=loss, optimizer=optimizer, batch_size=len(x))
print(time.perf_counter() - began)
"""
JOBS = {
    "deep": """
from nnx.experiments import autoencoder
network = autoencoder.build(autoencoder.Config(device={device!r}))
loss, optimizer = nnx.BinaryCrossEntropy(), Adam
x = y = rng.random((256, 784), dtype=np.float32)
""",
    "shallow": """
network = network(D(784, 128), R(), D(64), D(128), R(), D(784), nnx.Sigmoid())
loss, optimizer = nnx.MeanSquaredError(reduction="sum_over_features"), SGD
x = y = rng.random((256, 784), dtype=np.float32)
""",
    "classifier": """
network = network(D(784, 256), R(), D(128), R(), D(10), nnx.Softmax())
loss, optimizer = nnx.CategoricalCrossEntropy(), Adam
x, y = rng.random((128, 784), dtype=np.float32), rng.integers(0, 10, 128)
""",
    "xor": """
network, loss, optimizer = network(D(2, 4), nnx.Tanh(), D(1), nnx.Sigmoid()), nnx.MeanSquaredError(), SGD
x, y = np.float32([[0, 0], [0, 1], [1, 0], [1, 1]]), np.float32([[0], [1], [1], [0]])
""",
}


def first_step(job: str, device: str) -> str:
    """Return the code of a first step; the jobs are those of `jobs.py`, whose imports are not timed."""
    return FIRST_STEP.format(device=device, job=JOBS[job].format(device=device))


def inside(threads: int, code: str, **variables: str) -> float:
    """Return the seconds that a fresh process prints last."""
    return float(common.output(code, common.environment(threads, variables)).split()[-1])


def wall(*arguments: str) -> float:
    """Return the seconds of a process from start to end."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], capture_output=True, check=True, env=common.ENVIRONMENT)
    return time.perf_counter() - began


def compiling(job: str, threads: int) -> float:
    """Return the seconds of the first step with an empty cache."""
    with tempfile.TemporaryDirectory() as folder:
        return inside(threads, first_step(job, "numba"), NUMBA_CACHE_DIR=folder)


def cases(kept: str, threads: int) -> dict[str, Callable[[], float]]:
    """Return what is timed, by name; Numba's compiled code is stored in a folder."""
    found: dict[str, Callable[[], float]] = {
        "python -c pass": lambda: wall("-c", "pass"),
        "nnx --help": lambda: wall("-m", "nnx", "--help"),
        "import numpy": lambda: inside(threads, IMPORT.format("numpy")),
        "import nnx, after numpy": lambda: inside(threads, AFTER_NUMPY),
        "first step, numpy": lambda: inside(threads, first_step("deep", "numpy")),
    }
    for job in JOBS if common.usable("numba") else ():
        found[f"first step, {job}, numba, compiling"] = lambda job=job: compiling(job, threads)
        found[f"first step, {job}, numba, compiled before"] = lambda job=job: inside(
            threads, first_step(job, "numba"), NUMBA_CACHE_DIR=kept
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
            if not name.endswith("compiling"):
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
