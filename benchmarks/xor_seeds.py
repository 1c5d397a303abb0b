"""Train XOR with many seeds: how low the loss gets, and how often training succeeds.

Run by hand:  python benchmarks/xor_seeds.py

1. System A's training (standard normal weights, MSE, SGD 0.1, 5,000 epochs): the median loss of 50 seeds.
2. 2-4-1 tanh, Glorot weights, binary cross-entropy, SGD 0.5, 5,000 epochs: the share of 200 seeds with every
   prediction within 0.1 of its target.
"""

from __future__ import annotations

import statistics

import click
import numpy as np

import nnx
from nnx import datasets
from nnx.experiments import xor


def cross_entropy_predictions(seed: int, data: datasets.Dataset) -> np.ndarray:
    network = nnx.Network([nnx.Dense(2, 4), nnx.Tanh(), nnx.Dense(1), nnx.Sigmoid()], device="cpu", seed=seed)
    network.fit(
        data.x_train,
        data.y_train,
        loss=nnx.BinaryCrossEntropy(),
        optimizer=nnx.SGD(0.5),
        epochs=5000,
        batch_size=4,
    )
    return network.predict(data.x_train)


@click.command()
@click.option("--deep-seeds", default=50, show_default=True)
@click.option("--entropy-seeds", default=200, show_default=True)
def main(deep_seeds: int, entropy_seeds: int) -> None:
    """Print both figures."""
    results = [xor.run(xor.Config("deep", seed=seed, device="cpu")) for seed in range(deep_seeds)]
    losses = [result.metrics["loss"] for result in results]
    right = sum(result.metrics["accuracy"] == 1.0 for result in results)
    click.echo(
        f"deep preset, {deep_seeds} seeds: median loss {statistics.median(losses):.6f}, "
        f"seed 0 {losses[0]:.6f}, "
        f"worst {max(losses):.4f}, 4 of 4 right in {right}"
    )
    data = datasets.load_xor()
    errors = [
        float(np.abs(cross_entropy_predictions(seed, data) - data.y_train).max())
        for seed in range(entropy_seeds)
    ]
    good = sum(error < 0.1 for error in errors)
    click.echo(
        f"cross-entropy, {entropy_seeds} seeds: {good} ({good / entropy_seeds:.1%}) "
        f"within 0.1 of every target, "
        f"median worst error {statistics.median(errors):.4f}"
    )


if __name__ == "__main__":
    main()
