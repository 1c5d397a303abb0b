"""Time one training step of the deep autoencoder part by part, and its matrix products alone.

Run by hand:  python benchmarks/step_parts.py [--device numba]

The batch has 256 rows in float32; all threads of the machine work. The parts and the bare products (23 calls
of ``matmul`` with ``out=``) are measured one after the other. The benchmark prints medians.

For the compiled kernels that are no products, it also prints the megabytes that they must read and write, and
their time divided by that of a triad (`bandwidth`) with as many bytes: on arrays that are in a cache, and on
arrays that are in none.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import bandwidth
import click
import numpy as np

import nnx
from nnx.experiments import autoencoder

ROWS = 256


def bare_products(network: nnx.Network) -> Callable[[], None]:
    """Return a function that computes the products of a step: forward, dW, dx (not for the first layer)."""
    generator = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray[Any, Any]:
        return generator.standard_normal(shape).astype(np.float32)

    products = []
    dense = [layer for layer in network.layers if isinstance(layer, nnx.Dense)]
    for position, layer in enumerate(dense):
        x, W, y = draw(ROWS, layer.inputs), draw(layer.inputs, layer.units), draw(ROWS, layer.units)
        products += [(x, W, draw(*y.shape)), (x.T, y, draw(*W.shape))]
        if position:
            products.append((y, W.T, draw(*x.shape)))

    def run() -> None:
        for a, b, out in products:
            np.matmul(a, b, out=out)

    return run


def parts(network: nnx.Network) -> dict[str, Callable[[], Any]]:
    """Return what `fit` does for a batch, in the same order."""
    loss, optimizer = nnx.BinaryCrossEntropy(), nnx.Adam(1e-3)
    data = np.random.default_rng(1).random((40 * ROWS, 784), dtype=np.float32)
    rows = np.random.default_rng(2).permutation(len(data))[:ROWS]
    backend, arena = network.backend, network.arena
    plan, kind = network.training_plan(loss)
    x, dy = backend.empty((ROWS, 784), network.dtype), backend.empty((ROWS, 784), network.dtype)
    value, output = backend.zeros(1, network.dtype), [None]

    def forward() -> None:
        output[0] = plan.forward(x, True)

    return {
        "gather": lambda: backend.gather(data, rows, x),
        "forward": forward,
        "loss": lambda: loss.evaluate(backend, x, output[0], value, dy, None, kind),
        "backward": lambda: plan.backward(dy),
        "look for faults": lambda: backend.flag_nonfinite(value, arena.gradients, arena.fault, 1),
        "Adam": lambda: optimizer.step(network),
    }


def traffic(network: nnx.Network) -> dict[str, int]:
    """Return the bytes that each part must read and write, if it reads and writes each number once."""
    item, parameters, numbers = 4, network.arena.values.size, ROWS * 784
    return {
        "gather": 2 * item * numbers,  # read rows, write the batch
        "loss": 3 * item * numbers,  # read outputs and targets, write the gradient
        "look for faults": item * parameters,  # read gradients
        "Adam": 7 * item * parameters,  # read w, g, m, v; write w, m, v
    }


def bandwidths(network: nnx.Network, medians: dict[str, float], rounds: int) -> dict[str, dict[str, float]]:
    """Return for each part its megabytes, the machine's GB/s for as many, and the part's time by theirs."""
    found = {}
    for part, nbytes in traffic(network).items():
        places = {"in a cache": True, "in no cache": False}
        times = measured({name: bandwidth.triad(nbytes, cached) for name, cached in places.items()}, rounds)
        found[part] = {"MB": round(nbytes / 1e6, 2)}
        for place, milliseconds in times.items():
            found[part][f"GB/s {place}"] = round(nbytes / 1e6 / milliseconds, 1)
            found[part][f"time ÷ {place}"] = round(medians[part] / milliseconds, 2)
    return found


def measured(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Return medians in milliseconds of calls that take turns."""
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            samples[name].append(time.perf_counter() - began)
    return {name: round(statistics.median(values[5:]) * 1e3, 4) for name, values in samples.items()}


@click.command()
@click.option("--device", default="cpu", show_default=True, help="cpu, numpy or numba.")
@click.option("--rounds", default=100, show_default=True)
def main(device: str, rounds: int) -> None:
    """Print medians in milliseconds as JSON."""
    network = autoencoder.build(autoencoder.Config(device=device))
    # One after the other, not in turns: after each product, the threads of NumPy's BLAS spin for a while on
    # the cores that the compiled kernels use.
    medians = measured(parts(network), rounds)
    time.sleep(1.0)
    medians |= measured({"bare products": bare_products(network)}, rounds)
    step = sum(value for name, value in medians.items() if name != "bare products")
    ratio = step / medians["bare products"]
    about = {"backend": network.backend.name, "milliseconds": medians}
    if network.backend.name == "numba":
        about["bandwidth"] = bandwidths(network, medians, rounds)
    click.echo(json.dumps(about | {"step": round(step, 2), "ratio": round(ratio, 2)}, indent=2))


if __name__ == "__main__":
    main()
