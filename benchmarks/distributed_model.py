"""Fit a model of a step's time to what ``distributed.py`` measured: compute, bandwidth and latency.

    python benchmarks/distributed_model.py scaling.json --figure docs/images/scaling.png

A step of N ranks with m rows each and gradients of G bytes takes

T(N, m) = a + b m + 2 (N − 1)/N · G/β + 2 ⌈log₂ N⌉ · α

a + b m is the work of a rank, fitted to four batch sizes. The rest is an all-reduce by halving and doubling
(Thakur, Rabenseifner and Gropp, 2005). β and α are fitted for this machine's shared memory, and assumed for
the networks below.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np

# bytes per second on one rank's link, seconds per message: reported values of a tuned MPI or NCCL
NETWORKS = {
    "10 Gb/s Ethernet": (10e9 / 8 * 0.9, 30e-6),
    "100 Gb/s": (100e9 / 8 * 0.9, 3e-6),
    "400 Gb/s": (400e9 / 8 * 0.9, 2e-6),
    "NVLink": (300e9, 5e-6),
}
RANKS = (8, 16, 32, 64, 128, 256, 512, 1024)
GPU_SPEEDUP = 50.0  # assumed speed-up of a rank's work on a GPU over one thread; NVLink connects only GPUs


def line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return (intercept, slope) with the smallest relative error, neither below 0."""
    from scipy.optimize import nnls

    found, _ = nnls(np.stack([1.0 / y, x / y], axis=1), np.ones(len(y)))
    return float(found[0]), float(found[1])


def exchange(ranks: int, size: float, bandwidth: float, latency: float) -> float:
    """Return the seconds of an all-reduce of `size` bytes."""
    return 2 * (ranks - 1) / ranks * size / bandwidth + 2 * np.ceil(np.log2(ranks)) * latency


def fitted(result: dict[str, Any]) -> dict[str, float]:
    """Return a, b, α and β of the machine, and the time that the model does not explain."""
    seconds = {name: float(np.median(values)) for name, values in result["seconds"].items()}
    rows = np.array([32.0, 64.0, 128.0, 256.0])
    a, b = line(
        rows, np.array([seconds["alone 32"], seconds["alone 64"], seconds["alone 128"], seconds["alone"]])
    )
    sums = {int(n): float(np.median(v)) for n, v in result["exchanges"].items() if int(n) <= 2**20}
    per_byte = (result["ranks"] - 1) / result["ranks"] * 2
    start, slope = line(np.array(list(sums)) * 4.0 * per_byte, np.array(list(sums.values())))
    latency = start / (2 * np.ceil(np.log2(result["ranks"])))
    return {
        "a": a, "b": b, "alpha": float(latency), "beta": 1.0 / slope, "bytes": result["parameters"] * 4.0,
        "crowding": seconds["separate"] / seconds["alone"],
        "weak": seconds["weak"], "strong": seconds["strong"],
    }  # fmt: skip


def efficiency(own: float, network: tuple[float, float], ranks: int, size: float) -> float:
    """Return the weak-scaling efficiency."""
    return own / (own + exchange(ranks, size, *network))


def draw(fit: dict[str, float], rows: int, path: str) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    ranks = 2 ** np.arange(1, 11)
    for name, network in NETWORKS.items():
        own = fit["a"] + fit["b"] * rows
        own /= GPU_SPEEDUP if name == "NVLink" else 1.0
        label = f"{name}, a GPU a rank" if name == "NVLink" else f"{name}, a thread a rank"
        axes.plot(ranks, [efficiency(own, network, int(n), fit["bytes"]) for n in ranks], "o-", label=label)
    axes.set(xscale="log", xlabel="ranks", ylabel="weak-scaling efficiency (model)", ylim=(0, 1.02))
    axes.set_xticks(ranks, [f"{n:,}" for n in ranks])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110)


@click.command(help=__doc__)
@click.argument("results", type=click.Path(exists=True))
@click.option("--figure", type=click.Path(), default=None)
def main(results: str, figure: str | None) -> None:
    result = json.loads(Path(results).read_text())
    fit, ranks, rows = fitted(result), result["ranks"], result["rows"]
    own = fit["a"] + fit["b"] * rows
    print(f"a = {fit['a'] * 1e3:.2f} ms   b = {fit['b'] * 1e6:.1f} us a row")
    print(f"alpha = {fit['alpha'] * 1e6:.1f} us   beta = {fit['beta'] / 1e9:.1f} GB/s, in shared memory")
    print(f"gradients {fit['bytes'] / 1e6:.2f} MB")
    shared = exchange(ranks, fit["bytes"], fit["beta"], fit["alpha"])
    for name, each in (("weak", rows), ("strong", rows // ranks)):
        said = (fit["a"] + fit["b"] * each) * fit["crowding"] + shared
        print(f"{name:7} model {said * 1e3:6.2f} ms   measured {fit[name] * 1e3:6.2f} ms")
    print(f"\nweak-scaling efficiency, {rows} rows a rank, own work {own * 1e3:.2f} ms "
          f"({own / GPU_SPEEDUP * 1e3:.2f} ms a GPU, assumed)")  # fmt: skip
    print(f"{'ranks':>18}", *(f"{n:>6,}" for n in RANKS))
    for name, network in NETWORKS.items():
        work = own / GPU_SPEEDUP if name == "NVLink" else own
        print(f"{name:>18}", *(f"{efficiency(work, network, n, fit['bytes']):6.2f}" for n in RANKS))
    print("\nstrong scaling: ranks beyond which 4,096 rows a step get no faster, and the speed-up there")
    for name, network in NETWORKS.items():
        faster = GPU_SPEEDUP if name == "NVLink" else 1.0

        def step(n: int, network: Any = network, faster: float = faster) -> float:
            return (fit["a"] + fit["b"] * 4096 / n) / faster + exchange(n, fit["bytes"], *network)

        best = min(2 ** np.arange(0, 13), key=step)
        print(f"{name:>18} {best:6,} ranks: {step(1) / step(int(best)):5.1f} times one")
    print("\nrows a rank at which the exchange among 64 ranks takes a fifth of a step")
    for name, network in NETWORKS.items():
        faster = GPU_SPEEDUP if name == "NVLink" else 1.0
        share = exchange(64, fit["bytes"], *network)
        print(f"{name:>18} {max(0, 4 * share * faster - fit['a']) / fit['b']:6,.0f}")
    if figure:
        draw(fit, rows, figure)


if __name__ == "__main__":
    main()
