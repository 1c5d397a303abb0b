"""Compare a training step of convolutional networks with other frameworks: its time and its memory.

Run by hand:  NNX_DATA_DIR=… python benchmarks/convolution.py [--only NAME] [--row TEXT] [--memory]

As in step.py, each framework trains in a separate process, with the same initial weights, batches, order,
float32 and threads, and the processes take turns. PyTorch pads both sides of an image where Keras and nnx pad
only the end, so its losses of the autoencoders are not compared.

``--memory`` shows how many megabytes the arrays of a step need instead: a seventh of what the largest size of
a process grows by if a batch has eight times as many rows. So libraries and weights do not count.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import common
import jobs
import numpy as np
import tables
from common import Row

import nnx
from nnx.experiments.compare.jobs import describe, save_weights

CHANGED = "it pads both sides"
ROWS = [
    Row("nnx, numba", "nnx", "numba", "nnx"),
    Row("nnx, numpy", "nnx", "numpy", "nnx"),
    Row("PyTorch", "torch_images", "default", other_loss=CHANGED),
    Row("PyTorch, channels last", "torch_images", "channels_last", other_loss=CHANGED),
    Row("PyTorch, compiled, channels last", "torch_images", "compiled", other_loss=CHANGED),
    Row("JAX", "jax_images", "step"),
    Row("Keras", "keras_images", "graph"),
    Row("Keras, XLA", "keras_images", "xla"),
]


@dataclass(frozen=True)
class ImageJob(jobs.Job):
    """A job on images of MNIST, of shape (28, 28, 1); `layers` returns its layers."""

    layers: Any = field(default=None, repr=False)

    def network(self) -> nnx.Network:
        """Return nnx's network."""
        return nnx.Network(self.layers(), device="numpy", seed=self.seed).build((28, 28, 1))

    def operations(self) -> int:
        """Return the floating-point operations of a step's matrix products."""
        products = [multiplications(layer) for layer in self.network().layers if layer.parameter_count()]
        return 2 * self.batch * (3 * sum(products) - products[0])


def multiplications(layer: nnx.Layer) -> int:
    """Return the multiplications of a forward pass of one row."""
    grid = layer.input_shape if isinstance(layer, nnx.Conv2DTranspose) else layer.output_shape
    assert grid is not None
    return int(layer.W.size) * int(np.prod(grid[:-1]))


def lenet() -> list[nnx.Layer]:
    """Return a network like LeNet-5 (LeCun and others, 1998), with ReLU and maxima."""
    return [
        nnx.Conv2D(6, 5, padding="same", activation="relu"), nnx.MaxPool2D(),
        nnx.Conv2D(16, 5, activation="relu"), nnx.MaxPool2D(), nnx.Flatten(),
        nnx.Dense(120, activation="relu"), nnx.Dense(84, activation="relu"), nnx.Dense(10), nnx.Softmax(),
    ]  # fmt: skip


def autoencoder(activation: str) -> list[nnx.Layer]:
    """Return an autoencoder with a code of 64; with SiLU, that of ``nnx run autoencoder --preset conv``."""
    how = {"strides": 2, "padding": "same"}
    return [
        nnx.Conv2D(32, 3, activation=activation, **how), nnx.Conv2D(64, 3, activation=activation, **how),
        nnx.Flatten(), nnx.Dense(64), nnx.Dense(3136, activation=activation), nnx.Reshape((7, 7, 64)),
        nnx.Conv2DTranspose(32, 3, activation=activation, **how), nnx.Conv2DTranspose(1, 3, **how),
        nnx.Sigmoid(),
    ]  # fmt: skip


SHARED: dict[str, Any] = {
    "widths": (784,), "activations": (), "optimizer": "adam", "rate": 1e-3, "batch": 128, "steps": 20,
}  # fmt: skip
JOBS = {
    "lenet": ImageJob("LeNet", loss="categorical_cross_entropy", target="labels", layers=lenet, **SHARED),
    "relu": ImageJob(
        "autoencoder, ReLU", loss="binary_cross_entropy", layers=partial(autoencoder, "relu"), **SHARED
    ),
    "silu": ImageJob(
        "autoencoder, SiLU", loss="binary_cross_entropy", layers=partial(autoencoder, "silu"), **SHARED
    ),
}


def prepare(job: ImageJob, folder: Path) -> tuple[dict[str, Any], str]:
    """Write data and initial weights into a folder; return the job as workers read it, and whose data."""
    x, y, whose = jobs.images(job.rows or job.batch * job.steps)
    np.save(folder / "x.npy", x.reshape(-1, 28, 28, 1))
    np.save(folder / "y.npy", y)
    network = job.network()
    save_weights(folder, job.name, network)
    data = ("x", "x" if job.target == "x" else "y", "x")
    described = describe(
        job.name, network, jobs.LOSSES[job.loss], nnx.Adam(job.rate), data, len(x), job.batch
    )
    run = network.layers[:-1]  # the loss takes logits
    more = {"task": job.task, "turn": job.steps, "check": job.check, "restart": False, "shuffle": False,
            "dtype": "float32", "predict_rows": job.batch,
            "layers": [[layer.name, 0, ""] for layer in run if layer.parameter_count()],
            "images": [about(run, number) for number in range(len(run))]}  # fmt: skip
    return described | more, whose


def about(layers: list[nnx.Layer], number: int) -> dict[str, Any]:
    """Return what a peer must know of a layer: its arguments, its shapes, and the images next to it."""
    layer = layers[number]
    before = layers[number - 1].input_shape if number and layers[number - 1].is_view else None
    after = next((one for one in layers[number + 1 :] if not isinstance(one, nnx.ReLU | nnx.SiLU)), layer)
    return layer.config() | {
        "type": type(layer).__name__, "input_shape": layer.input_shape, "output_shape": layer.output_shape,
        "before": before, "after": after.output_shape if isinstance(after, nnx.Reshape) else None,
    }  # fmt: skip


def megabytes(job: ImageJob, rows: list[Row], threads: int) -> dict[str, float]:
    """Return the megabytes of a step by the name of the row; see the top of this file."""
    found: dict[str, list[float]] = {row.name: [] for row in rows}
    for times in (1, 8):
        larger = replace(job, batch=times * job.batch, rows=8 * job.batch, steps=8 // times)
        with common.started(larger.sized(larger.steps), rows, threads, prepare) as (workers, _):
            common.in_rounds(workers, 3)
            for worker in workers:
                status = Path(f"/proc/{worker.worker.process.pid}/status").read_text()
                found[worker.row.name].append(int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) / 1e3)
    return {name: (sizes[1] - sizes[0]) / 7 for name, sizes in found.items() if len(sizes) == 2}


@click.command()
@click.option("--only", type=click.Choice(list(JOBS)), multiple=True, help="One job, or several.")
@click.option("--row", multiple=True, help="Only rows with this text in their name, or one of several.")
@click.option("--memory", is_flag=True, help="Show the memory of a step instead of its time.")
@common.options(rounds=15)
def main(
    only: tuple[str, ...],
    row: tuple[str, ...],
    memory: bool,
    rounds: int,
    threads: int,
    json_path: Path | None,
) -> None:
    """Print a table for each job."""
    common.headline(threads)
    found: dict[str, Any] = {}
    for name in only or JOBS:
        job = JOBS[name].sized(None)
        rows = [one for one in ROWS if not row or any(text.lower() in one.name.lower() for text in row)]
        if name == "lenet":
            rows = [replace(one, other_loss="") for one in rows]
        if memory:
            found[name] = megabytes(job, rows, threads)
            lines = [[one, f"{size:.1f}"] for one, size in found[name].items()]
            click.echo("\n" + tables.table([job.name, "MB a step"], lines))
            continue
        results, whose = common.measure(job, rows, rounds, threads, prepare)
        click.echo(f"\n{job.name}, batch {job.batch}, {job.loss}, {whose}")
        tables.report(job, results)
        found[name] = [asdict(one) for one in results]
    common.write_json(json_path, "convolution", threads, found)


if __name__ == "__main__":
    main()
