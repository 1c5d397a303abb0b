"""Time whole programs, from the start to a saved model: the deep autoencoder, five epochs of MNIST.

Run by hand:  NNX_DATA_DIR=… python benchmarks/end_to_end.py [--json PATH]

The programs in ``programs/`` are written as users of each framework write them: read the files, train, print
the test error, save. Of the whole process, the benchmark measures wall time, CPU time of all cores, and peak
memory. It also prints the test error, because each framework uses its own initial weights and order.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import common
import tables

from nnx.experiments.compare import processes

PROGRAMS = Path(__file__).with_name("programs")
RUNS = {
    "nnx, numpy": ("nnx", "numpy"),
    "nnx, numba": ("nnx", "numba"),
    "PyTorch, DataLoader": ("torch", "loader"),
    "PyTorch, indexing": ("torch", "index"),
    "Keras": ("keras", "graph"),
    "Keras, XLA": ("keras", "xla"),
}


def run(program: str, variant: str, epochs: int, threads: int) -> dict[str, float]:
    """Run one process; return its seconds, CPU seconds, megabytes and test error."""
    with tempfile.TemporaryDirectory() as folder:
        script = str(PROGRAMS / f"{program}_program.py")
        command = [sys.executable, script, f"{folder}/model", str(epochs), variant]
        with (
            tempfile.TemporaryFile("w+") as out,
            tempfile.TemporaryFile("w+") as errors,
            processes.confined(threads),
        ):
            began = time.perf_counter()
            process = subprocess.Popen(command, stdout=out, stderr=errors, env=common.environment(threads))
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - began
            process.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            errors.seek(0)
            printed, complaints = out.read().split(), errors.read().strip().splitlines()
    if process.returncode:
        raise common.MissingError((complaints or ["no message"])[-1].split(": ", 1)[-1])
    kilobytes = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    cpu = usage.ru_utime + usage.ru_stime
    return {"wall": seconds, "cpu": cpu, "megabytes": kilobytes / 1024, "test_mse": float(printed[-1])}


@click.command()
@click.option("--row", default="", help="Only rows with this text in their name.")
@click.option("--epochs", type=click.IntRange(1), default=5, show_default=True)
@common.options(rounds=3)
def main(row: str, epochs: int, rounds: int, threads: int, json_path: Path | None) -> None:
    """Print a table of medians."""
    if not os.environ.get("NNX_DATA_DIR"):
        raise click.UsageError("name the folder of the MNIST files in NNX_DATA_DIR")
    common.headline(threads)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in RUNS if row.lower() in name.lower()}
    for _ in range(rounds):
        for name in list(found):
            click.echo(f"running {name} …", err=True)
            try:
                found[name].append(run(*RUNS[name], epochs, threads))
            except common.MissingError as error:
                click.echo(f"left out: {name}: {error}")
                del found[name]
    lines = []
    for name, samples in found.items():
        middle = {key: statistics.median(one[key] for one in samples) for key in samples[0]}
        walls = [one["wall"] for one in samples]
        spread = f"{min(walls):.1f} … {max(walls):.1f}"
        line = [name, f"{middle['wall']:.1f}", spread, f"{middle['cpu']:.1f}"]
        lines.append([*line, f"{middle['megabytes']:.0f}", f"{middle['test_mse']:.5f}"])
    click.echo(tables.table(["", "wall s", "least … most", "CPU s", "peak MB", "test MSE"], lines))
    common.write_json(json_path, "end_to_end", threads, found)


if __name__ == "__main__":
    main()
