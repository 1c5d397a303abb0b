"""Time a training step of one job in one precision on the GPU: nnx, PyTorch, JAX, and Keras if it is there.

Run it:  PYTHONPATH=.:benchmarks:benchmarks/gpu python benchmarks/gpu/steps.py --job deep --precision float32

Each framework has a separate process. All take turns, start from the same weights and gather the same rows.
A turn is timed until the device has finished all its work; nnx and PyTorch are also timed by CUDA events.
float32 products have full precision everywhere; `tf32` lets all round their factors to TF32.
"""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path

import click
import common
import found
import jobs
import tables
from common import Result, Row

JOBS = {"deep": jobs.DEEP, "shallow": jobs.SHALLOW, "classifier": jobs.CLASSIFIER, "wide": jobs.WIDE}
COMPILED = "PyTorch, max-autotune"
KERAS = ("tensorflow", "torch", "jax")
PAUSE = 0.02  # seconds before a turn: on a GPU, no other worker's threads are in the way


def variables(precision: str) -> dict[str, str]:
    """Return what workers find in their environment."""
    common_ones = {
        "CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "0"),
        common.GPU: "1",
        "JAX_PLATFORMS": "cuda",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # otherwise JAX, like TensorFlow, takes most of the memory
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    }
    if precision == "tf32":
        return common_ones | {"CUPY_TF32": "1", "JAX_DEFAULT_MATMUL_PRECISION": "tensorfloat32"}
    # JAX's default is TF32, also in its own kernels, which do not read NVIDIA's variable
    return common_ones | {
        "CUPY_TF32": "0", "NVIDIA_TF32_OVERRIDE": "0", "JAX_DEFAULT_MATMUL_PRECISION": "highest",
    }  # fmt: skip


def rows(precision: str) -> list[Row]:
    """Return the rows of a table."""
    common_ones = {"variables": variables(precision)}
    every = [
        Row("nnx", "nnx", "gpu", "nnx", **common_ones),
        Row("nnx, eager", "nnx", "gpu-eager", "nnx", **common_ones),
        Row("PyTorch", "torch", "eager", **common_ones),
        Row("JAX", "jax", "step", **common_ones),
        Row(COMPILED, "torch", "max-autotune", **common_ones),
    ]
    for engine in KERAS if find_spec("keras") else ():
        more = variables(precision) | {"KERAS_BACKEND": engine}
        every.append(Row(f"Keras, {engine}", "keras", "graph", variables=more))
    return [replace(row, precision="bfloat16") for row in every] if precision == "bfloat16" else every


def lines(results: list[Result]) -> list[str]:
    """Return the table, and how nnx compares with the others."""
    body = []
    for one in results:
        events = "-" if one.device is None else f"{one.device * 1e6:.0f}"
        quartiles = f"{one.lower * 1e6:.0f} … {one.upper * 1e6:.0f}"
        body.append([one.name, f"{one.median * 1e6:.0f}", quartiles, events, f"{one.start:.1f}"])
    text = tables.table(["µs a step", "median", "quartiles", "by events", "s to start"], body).splitlines()
    medians = {one.name: one.median for one in results}
    own = medians.pop("nnx", None)
    ratios = [f"{name} {own / value:.2f}" for name, value in medians.items()] if own else []
    return [*text, *([f"nnx's time divided by that of: {', '.join(ratios)}"] if ratios else [])]


@click.command()
@click.option("--job", type=click.Choice(list(JOBS)), required=True)
@click.option("--precision", type=click.Choice(["float32", "tf32", "bfloat16"]), required=True)
@click.option("--row", default="", help="Only rows with this text in their name.")
@click.option("--steps", type=click.IntRange(1), default=None, help="Steps in a turn; default: the job's.")
@common.options(rounds=10)
def main(
    job: str, precision: str, row: str, steps: int | None, rounds: int, threads: int, json_path: Path | None
) -> None:
    """Print a table; rows that cannot run are named."""
    common.SETTLE = PAUSE
    chosen = [one for one in rows(precision) if row.lower() in one.name.lower()]
    with common.started(JOBS[job].sized(steps), chosen, threads) as (workers, whose):
        common.in_rounds(workers, rounds)
        results = [common.result(worker, JOBS[job].sized(steps).steps) for worker in workers]
    tables.compare(results, JOBS[job].restart)
    content = {"job": job, "precision": precision, "data": whose, "steps": [asdict(one) for one in results]}
    click.echo("\n".join(lines(results)))
    found.save(content | {"summary": lines(results)})
    common.write_json(json_path, "gpu steps", threads, content)


if __name__ == "__main__":
    main()
