"""Measure what a GPU can show: whether nnx is right on it, and its speed next to PyTorch, JAX and Keras.

Run by hand, on a machine with a GPU: NNX_DATA_DIR=… benchmarks/gpu.sh [--json PATH]

First nnx is checked: XOR and all gradients, then the tests marked `gpu`, which compare it with the CPU. Then
come training steps of the deep autoencoder, in interleaved turns as in `step.py`. A framework that is not
installed is named and left out. TF32 is off for all. Each turn is timed until the device has finished all its
work; nnx and PyTorch are also timed by CUDA events, which JAX and Keras do not offer.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import common
import jobs
import tables
from common import Row

import nnx

ROOT = Path(__file__).resolve().parents[1]
VARIABLES = {
    "CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "0"),
    common.GPU: "1",
    "JAX_PLATFORMS": "cuda",
    "NVIDIA_TF32_OVERRIDE": "0",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # otherwise JAX, like TensorFlow, takes most of the memory
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
}
ROWS = [
    Row("nnx", "nnx", "gpu", "nnx", VARIABLES),
    Row("PyTorch", "torch", "eager", variables=VARIABLES),
    Row("PyTorch, compiled", "torch", "compiled", variables=VARIABLES),
    Row("JAX", "jax", "step", variables=VARIABLES),
    *(
        Row(f"Keras, {engine}", "keras", "graph", variables=VARIABLES | {"KERAS_BACKEND": engine})
        for engine in ("tensorflow", "torch", "jax")
    ),
]
CHECKS = {
    "XOR and gradients": ["-m", "nnx", "devices", "--check"],
    "tests marked gpu": ["-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "tests"],
}


def check(name: str, command: list[str]) -> dict[str, Any]:
    """Run a check, and show its output if it fails."""
    click.echo(f"{name} …", err=True)
    began = time.perf_counter()
    variables = os.environ | {"NNX_REQUIRE_GPU": "1", "NNX_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=variables, capture_output=True, text=True, check=False
    )
    if done.returncode:
        click.echo(done.stdout + done.stderr, err=True)
    tests = re.findall(r"\d+ (?:passed|failed|skipped)", done.stdout)
    return {"check": name, "passed": done.returncode == 0, "seconds": time.perf_counter() - began,
            "said": ", ".join(tests) if "pytest" in command else "on every usable device"}  # fmt: skip


def show(about: str, checks: list[dict[str, Any]], results: list[common.Result]) -> None:
    """Print the table."""
    lines = [
        [one["check"], "passed" if one["passed"] else "FAILED", f"{one['seconds']:.0f} s", one["said"]]
        for one in checks
    ]
    fastest = min((one.median for one in results), default=0.0)
    for one in results:
        events = "-" if one.device is None else f"{one.device * 1e6:.0f} µs by events"
        step = f"{one.median * 1e6:.0f} µs a step"
        lines.append([one.name, step, events, f"{one.median / fastest:.2f} × the fastest"])
    click.echo(tables.table([about, "", "", ""], lines))


@click.command()
@click.option("--row", default="", help="Only rows with this text in their name.")
@click.option("--steps", type=click.IntRange(1), default=None, help="Steps in a turn; default: the job's.")
@click.option("--check/--no-check", "checked", default=True, help="Check nnx first.")
@common.options(rounds=15)
def main(
    row: str, steps: int | None, checked: bool, rounds: int, threads: int, json_path: Path | None
) -> None:
    """Check nnx on the GPU, time a step and print a table; status 1 without a GPU, or if a check fails."""
    try:
        backend = nnx.resolve("gpu")
    except nnx.DeviceError as error:
        raise click.ClickException(f"no GPU to measure: {error}") from None
    checks = [check(name, command) for name, command in CHECKS.items()] if checked else []
    job = jobs.DEEP.sized(steps)
    chosen = [one for one in ROWS if row.lower() in one.name.lower()]
    results, whose = common.measure(job, chosen, rounds, threads)
    show(f"{time.strftime('%Y-%m-%d')}, {backend.describe()}, {whose}", checks, results)
    tables.compare(results, job.restart)
    found = {"device": backend.hardware(), "software": backend.versions(), "data": whose,
             "checks": checks, "steps": [asdict(one) for one in results]}  # fmt: skip
    common.write_json(json_path, "gpu", threads, found)
    if not all(one["passed"] for one in checks):
        raise click.ClickException("a check failed: see its output above")


if __name__ == "__main__":
    main()
