"""Train without `fit`: write the loop of forward, loss, backward and step by hand.

Run it:  python examples/hand_written_loop.py [EPOCHS]

There are two loops: one uses the full batch, the other shuffles the rows and cuts batches. What `fit` adds
(validation, callbacks, checks of the data, the fused loss) is convenience.
"""

from __future__ import annotations

import sys

import numpy as np

import nnx
from nnx import datasets, initializers


def full_batch(epochs: int) -> None:
    """Train XOR with standard normal initial weights, mean squared error and gradient descent."""
    network = nnx.Network(
        [
            nnx.Dense(2, 4, initializer=initializers.Normal(1.0)), nnx.Tanh(),
            nnx.Dense(4, 1, initializer=initializers.Normal(1.0)), nnx.Sigmoid(),
        ],
        seed=0,
    )  # fmt: skip
    loss, optimizer = nnx.MeanSquaredError(), nnx.SGD(0.1)

    data = datasets.load_xor()
    x, y = network.asarray(data.x_train), network.asarray(data.y_train)
    for epoch in range(epochs):
        y_pred = network.forward(x, training=True)
        value = float(loss(y, y_pred))
        network.backward(loss.gradient(y, y_pred))
        optimizer.step(network)
        if epoch % 500 == 0:
            print(f"epoch {epoch:5d}  loss {value:.6f}")

    for name, value, gradient in network.parameters():
        print(f"{name}: shape {value.shape}, largest gradient {float(abs(gradient).max()):.2e}")


def mini_batches(epochs: int) -> None:
    """Train a small autoencoder in batches, with the squared error summed over the pixels of an image."""
    images = datasets.load_digits().x_train
    encoder = [nnx.Dense(64, 32), nnx.ReLU(), nnx.Dense(16)]
    decoder = [nnx.Dense(32), nnx.ReLU(), nnx.Dense(64), nnx.Sigmoid()]
    network = nnx.Network(encoder + decoder, seed=0)
    loss, optimizer = nnx.MeanSquaredError(reduction="sum_over_features"), nnx.SGD(0.05)

    generator = np.random.default_rng(0)
    for epoch in range(epochs):
        order, losses = generator.permutation(len(images)), []
        for start in range(0, len(images), 256):
            x = network.asarray(images[order[start : start + 256]])
            x_pred = network.forward(x, training=True)
            losses.append(float(loss(x, x_pred)))
            network.backward(loss.gradient(x, x_pred))
            optimizer.step(network)
        print(f"epoch {epoch + 1:3d}  loss per image {np.mean(losses):.4f}")


def main(epochs: int = 5000) -> None:
    full_batch(epochs)
    mini_batches(max(1, epochs // 250))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
