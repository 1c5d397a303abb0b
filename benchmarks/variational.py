"""Train a variational autoencoder on MNIST with nnx and with PyTorch, and compare their test ELBO in nats.

Run by hand:  NNX_DATA_DIR=… python benchmarks/variational.py [--epochs N] [--threads N] [--json PATH]

Both train the network 784-400-(20 means, 20 log variances)-400-784 with Adam (0.001) on batches of 128 binary
images. A pixel is drawn once, as 1 with the probability of its grey value (seed 0), as is usual for MNIST.
Both have the same initial weights, the same batches in the same order, and the same random numbers for the
codes: those of nnx's hash. So the first losses agree up to rounding; later, rounding makes them differ. (The
two also add Adam's ε at different places.) The test ELBO is computed by one function for both, with the same
drawn codes, one for each image. The times alternate epoch by epoch in one process.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
import common
import numpy as np
import tables

import nnx
from nnx import datasets
from nnx.backends import Backend
from nnx.estimators.variational import BernoulliNats

HIDDEN, CODE, BATCH, RATE, SEED = 400, 20, 128, 1e-3, 0


def images() -> tuple[np.ndarray, np.ndarray]:
    """Return binary training and test images."""
    data = datasets.load("mnist")
    random = np.random.default_rng(SEED)
    grey = (np.asarray(x, dtype=np.float32) for x in (data.x_train, data.x_test))
    train, test = ((x > random.random(x.shape, dtype=np.float32)).astype(np.float32) for x in grey)
    return train, test


def network() -> nnx.Network:
    """Return the network of nnx with its initial weights."""
    return nnx.Network(
        [
            nnx.Dense(784, HIDDEN), nnx.ReLU(), nnx.Dense(2 * CODE), nnx.GaussianCode(),
            nnx.Dense(HIDDEN), nnx.ReLU(), nnx.Dense(784), nnx.Sigmoid(),
        ],
        seed=SEED,
    ).build(784)  # fmt: skip


class Ours:
    """The side of nnx."""

    def __init__(self) -> None:
        self.network, self.optimizer, self.loss = network(), nnx.Adam(RATE), BernoulliNats()

    def epoch(self, x: np.ndarray, step: int) -> float:
        """Train on the rows in their order, and return the mean loss."""
        history = self.network.fit(
            x, x, loss=self.loss, optimizer=self.optimizer, batch_size=BATCH, shuffle=False
        )
        return history.metrics["loss"][-1]

    def encode(self, x: np.ndarray) -> np.ndarray:
        """Return means and log variances."""
        return self.network[:3].predict(x)

    def decode(self, z: np.ndarray) -> np.ndarray:
        """Return the inputs of the last sigmoid."""
        return self.network[4:7].predict(z)


class Theirs:
    """The side of PyTorch, with the weights and the random numbers of nnx."""

    def __init__(self, ours: nnx.Network, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self.torch, self.code = torch, ours.layers[3]
        dense = [layer for layer in ours.layers if isinstance(layer, nnx.Dense)]
        made = []
        for layer in dense:
            one = torch.nn.Linear(layer.inputs, layer.outputs)
            with torch.no_grad():
                one.weight.copy_(torch.tensor(np.array(layer.W).T))
                one.bias.copy_(torch.tensor(np.array(layer.b)))
            made.append(one)
        relu = torch.nn.ReLU()
        self.encoder = torch.nn.Sequential(made[0], relu, made[1])
        self.decoder = torch.nn.Sequential(made[2], relu, made[3])
        parameters = [*self.encoder.parameters(), *self.decoder.parameters()]
        self.optimizer = torch.optim.Adam(parameters, RATE)

    def epoch(self, x: np.ndarray, step: int) -> float:
        """Train on the rows in their order, and return the mean loss."""
        torch, rows, total = self.torch, torch_rows(self.torch, x), 0.0
        for number, begin in enumerate(range(0, len(x), BATCH)):
            batch = rows[begin : begin + BATCH]
            mean, log_variance = self.encoder(batch).chunk(2, dim=1)
            noise = torch.from_numpy(noise_of(self.code, step + number, len(batch)))
            output = self.decoder(mean + torch.exp(0.5 * log_variance) * noise)
            likelihood = torch.nn.functional.binary_cross_entropy_with_logits(output, batch, reduction="sum")
            kl = 0.5 * torch.sum(mean**2 + log_variance.exp() - 1.0 - log_variance)
            loss = (likelihood + kl) / len(batch)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            total += float(loss.detach()) * len(batch)
        return total / len(x)

    def encode(self, x: np.ndarray) -> np.ndarray:
        """Return means and log variances."""
        with self.torch.no_grad():
            return self.encoder(torch_rows(self.torch, x)).numpy()

    def decode(self, z: np.ndarray) -> np.ndarray:
        """Return the inputs of the last sigmoid."""
        with self.torch.no_grad():
            return self.decoder(torch_rows(self.torch, z)).numpy()


def torch_rows(torch: Any, x: np.ndarray) -> Any:
    """Return rows as a tensor, without a copy."""
    return torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))


def noise_of(code: Any, step: int, rows: int) -> np.ndarray:
    """Return the random numbers that nnx draws in a step."""
    zeros = np.zeros((rows, CODE), np.float32)
    return Backend().add_noise(zeros, zeros, 1.0, code.key(SEED, step), 0)


def elbo(side: Any, x: np.ndarray) -> dict[str, float]:
    """Return the mean ELBO of the rows and its parts, in nats."""
    random, total = np.random.default_rng(SEED), np.zeros(2)
    for begin in range(0, len(x), 1000):
        rows = x[begin : begin + 1000]
        mean, log_variance = np.split(side.encode(rows).astype(np.float64), 2, axis=1)
        z = mean + np.exp(0.5 * log_variance) * random.standard_normal(mean.shape)
        output = side.decode(z.astype(np.float32)).astype(np.float64)
        likelihood = np.sum(rows * output - np.logaddexp(0.0, output))
        total += likelihood, 0.5 * np.sum(mean**2 + np.expm1(log_variance) - log_variance)
    likelihood, kl = total / len(x)
    return {"elbo": likelihood - kl, "reconstruction": likelihood, "kl": kl}


@click.command()
@click.option("--epochs", type=click.IntRange(1), default=20, show_default=True)
@click.option("--rows", type=click.IntRange(1), default=60_000, show_default=True, help="Training rows.")
@click.option("--threads", type=click.IntRange(1), default=common.cores(), help="Default: all cores.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the results.")
def main(epochs: int, rows: int, threads: int, json_path: Path | None) -> None:
    """Print the ELBO of both after each epoch."""
    common.headline(threads)
    train, test = images()
    train = train[:rows]
    ours = Ours()
    sides: dict[str, Any] = {"nnx": ours, "PyTorch": Theirs(ours.network, threads)}
    random, steps = np.random.default_rng(SEED), -(-rows // BATCH)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    for epoch in range(epochs):
        x = train[random.permutation(rows)]
        for name, side in sides.items():
            began = time.perf_counter()
            loss = side.epoch(x, epoch * steps)
            found[name].append({"seconds": time.perf_counter() - began, "loss": loss} | elbo(side, test))
        line = ", ".join(f"{name} {one[-1]['elbo']:.3f}" for name, one in found.items())
        click.echo(f"epoch {epoch + 1}: test ELBO {line}", err=True)
    head = [f"after {epochs} epochs", "training loss", "test ELBO, nats", "ln p(x | z)", "KL", "s per epoch"]
    lines = []
    for name, one in found.items():
        last, seconds = one[-1], float(np.median([epoch["seconds"] for epoch in one]))
        parts = [f"{last[key]:.3f}" for key in ("loss", "elbo", "reconstruction", "kl")]
        lines.append([name, *parts, f"{seconds:.2f}"])
    click.echo(tables.table(head, lines))
    common.write_json(json_path, "variational", threads, found)


if __name__ == "__main__":
    main()
