"""Measure nnx's time for a step against batch size, width, depth and data size, on numpy and numba.

Run by hand:  python benchmarks/scaling.py [--plot scaling.png] [--json PATH]

The network is like an autoencoder, with ReLU, squared error and Adam. One quantity varies while the others
stay. "linear" is the time in proportion to the work (operations of the products), from the largest point of
the line. At the left, where the measured time is far above it, most of the time does not depend on the work.

GFLOP/s show how well the products run. Thin matrices cannot fill the vector units, and large ones do not fit
the caches. Adam moves 28 bytes for each parameter, at any batch size, which is a large share of the time for
wide networks with small batches.

"÷ memory" compares with the time in proportion to the bytes that a step must move (`moved`), at the bandwidth
that a triad reaches on as many bytes as parameters, gradients and moments have (``bandwidth.py``). It matters
for small batches, whose arithmetic is short. More data does not make a step slower: reading rows from memory
instead of a cache is a small share of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import bandwidth
import click
import common
import jobs
import tables
from common import Row
from jobs import Job

DEVICES = ("numpy", "numba")
AXES = ("batch", "width", "depth", "data")


def network(batch: int = 256, width: int = 512, depth: int = 4, rows: int | None = None) -> Job:
    """Return a job: `depth` dense layers of `width`, on `rows` rows in an order that `fit` shuffles."""
    steps = max(2, min(64, 2**14 // batch)) if rows is None else rows // batch
    return replace(
        jobs.WIDE, widths=(width,) * (depth + 1), activations=("relu",) * (depth - 1) + ("linear",),
        batch=batch, steps=steps, rows=rows, shuffle=True, rate=1e-4,
    )  # fmt: skip


def points(axis: str) -> Iterable[tuple[int, Job]]:
    """Return the values of an axis, and the job of each."""
    if axis == "batch":
        return [(n, network(batch=n)) for n in (1, 4, 16, 64, 256, 1024, 4096)]
    if axis == "width":
        return [(n, network(width=n)) for n in (16, 64, 128, 256, 512, 1024, 2048)]
    if axis == "depth":
        return [(n, network(depth=n)) for n in (1, 2, 4, 8, 16, 32)]
    return [(n, network(width=784, depth=2, rows=n)) for n in (1024, 4096, 16_384, 61_440)]


def moved(job: Job) -> int:
    """Return the bytes that a step must read and write.

    Of each parameter: the forward pass and dx read W (the first layer has no dx), dW is written, and Adam
    reads four arrays and writes three. Of each row and layer: x and y forward, and dy, y, x and dx backward.
    """
    layers = list(zip(job.widths, job.widths[1:], strict=False))
    weights = sum(a * b + b for a, b in layers)
    numbers = 10 * weights - layers[0][0] * layers[0][1] + 3 * job.batch * sum(a + b for a, b in layers)
    return 4 * numbers


def measured(axis: str, devices: list[str], rounds: int, threads: int) -> list[dict[str, Any]]:
    """Return the points of an axis, in the order of their values."""
    found = []
    for value, job in points(axis):
        job = job.sized(None)
        rows = [Row(device, "nnx", device, "nnx") for device in devices]
        held = 16 * sum(a * b + b for a, b in zip(job.widths, job.widths[1:], strict=False))
        least = moved(job) / bandwidth.measured(held, threads) if "numba" in devices else float("nan")
        for one in common.measure(job, rows, rounds, threads)[0]:
            rate = job.operations() / one.median / 1e9
            point = {"axis": axis, "value": value, "device": one.name, "milliseconds": one.median * 1e3}
            point["memory"] = one.median / least
            found.append(point | {"gflops": rate, "operations": job.operations()})
    for point in found:
        last = [one for one in found if one["device"] == point["device"]][-1]
        point["linear"] = last["milliseconds"] * point["operations"] / last["operations"]
    return found


def plot(found: list[dict[str, Any]], path: Path) -> None:
    """Draw a panel for each axis: milliseconds for each step (dashed: linear), and GFLOP/s below."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    axes = [axis for axis in AXES if any(one["axis"] == axis for one in found)]
    figure, panels = plt.subplots(
        2, len(axes), figsize=(3.6 * len(axes), 6), squeeze=False, layout="constrained"
    )
    for (above, below), axis in zip(panels.T, axes, strict=True):
        for number, device in enumerate(DEVICES):
            line = [one for one in found if one["axis"] == axis and one["device"] == device]
            if not line:
                continue
            values, color = [one["value"] for one in line], f"C{number}"
            above.plot(values, [one["milliseconds"] for one in line], "o-", color=color, label=device)
            above.plot(values, [one["linear"] for one in line], "--", color=color, alpha=0.5)
            below.plot(values, [one["gflops"] for one in line], "o-", color=color, label=device)
        above.set(xscale="log", yscale="log", title=axis, ylabel="ms a step (dashed: linear)")
        below.set(xscale="log", ylim=(0, None), xlabel=axis, ylabel="GFLOP/s")
        least, most = above.get_ylim()
        above.set_ylim(min(least, most / 10), max(most, least * 10))
        above.legend()
    figure.savefig(path, dpi=120)


@click.command()
@click.option("--only", type=click.Choice(AXES), multiple=True, help="One axis, or several.")
@click.option("--device", type=click.Choice(DEVICES), multiple=True, help="One device; default: both.")
@click.option("--plot", "plot_path", type=click.Path(path_type=Path), help="Draw the curves here.")
@common.options(rounds=5)
def main(
    only: tuple[str, ...],
    device: tuple[str, ...],
    plot_path: Path | None,
    rounds: int,
    threads: int,
    json_path: Path | None,
) -> None:
    """Print a table for each axis."""
    common.headline(threads)
    devices = [name for name in device or DEVICES if common.usable(name)]
    everything = []
    for axis in only or AXES:
        found = measured(axis, devices, rounds, threads)
        everything += found
        lines = [
            [f"{one['value']:,}", one["device"], f"{one['milliseconds']:.3f}", f"{one['linear']:.3f}",
             f"{one['milliseconds'] / one['linear']:.2f}", f"{one['memory']:.2f}", f"{one['gflops']:.1f}"]
            for one in found
        ]  # fmt: skip
        click.echo(
            "\n"
            + tables.table([axis, "device", "ms a step", "linear", "÷ linear", "÷ memory", "GFLOP/s"], lines)
        )
    if plot_path:
        plot(everything, plot_path)
        click.echo(f"drawn: {plot_path}")
    common.write_json(json_path, "scaling", threads, everything)


if __name__ == "__main__":
    main()
