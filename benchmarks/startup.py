"""What ``import nnx`` and ``nnx --help`` cost, each in fresh processes, interleaved, medians.

Run by hand:  python benchmarks/startup.py
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

import click

IMPORT = """
import time
began = time.perf_counter()
import numpy
middle = time.perf_counter()
import nnx
print(middle - began, time.perf_counter() - middle)
"""


def imports() -> tuple[float, float]:
    """Seconds for NumPy, then for nnx on top of it."""
    out = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True).stdout
    numpy_seconds, nnx_seconds = map(float, out.split())
    return numpy_seconds, nnx_seconds


def wall(*arguments: str) -> float:
    """Seconds of a process from start to end."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
    return time.perf_counter() - began


@click.command()
@click.option("--rounds", default=15, show_default=True)
def main(rounds: int) -> None:
    """Print medians as JSON."""
    samples: dict[str, list[float]] = {
        "numpy": [],
        "nnx after numpy": [],
        "python -c pass": [],
        "nnx --help": [],
    }
    imports()  # bytecode is compiled once
    for _ in range(rounds):
        for name, seconds in zip(("numpy", "nnx after numpy"), imports(), strict=True):
            samples[name].append(seconds)
        samples["python -c pass"].append(wall("-c", "pass"))
        samples["nnx --help"].append(wall("-m", "nnx", "--help"))
    medians = {name: round(statistics.median(values), 4) for name, values in samples.items()}
    medians["nnx --help above bare Python"] = round(medians["nnx --help"] - medians["python -c pass"], 4)
    click.echo(json.dumps({"seconds, medians": medians, "rounds": rounds}, indent=2))


if __name__ == "__main__":
    main()
