"""Pretrain an autoencoder so that most of its code does not depend on how a digit is drawn.

Half of a batch holds images, the other half distorted versions of the same images. Between encoder and
decoder, the two versions of an image exchange the shared part of their codes and keep the rest. The exchange
costs nothing only if the shared part describes what both have in common, and the rest how each is drawn. No
label is needed. Training without the exchange then starts from these weights.

The exchange follows Hu, Szabó, Portenier, Zwicker and Favaro (2018), Disentangling factors of variation by
mixing them (arXiv:1711.07410); the distorted versions replace their pairs of images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nnx.backends import Array
from nnx.callbacks import History
from nnx.data.rows import HostArray
from nnx.errors import ConfigurationError
from nnx.experiments.distortion import Affine
from nnx.layers import Layer, Workspace
from nnx.losses import Loss
from nnx.network import Network
from nnx.optimizers import Optimizer

OWN_SHARE = 8  # one number of the code in eight is not shared


@dataclass(frozen=True)
class Pretraining:
    """How to pretrain. Half of a batch holds images (shuffled every epoch), half their distorted versions."""

    epochs: int
    batch_size: int
    distortion: Affine


class SwapHalves(Layer):
    """In training, rows k and k + rows // 2 exchange their first features; otherwise y = x.

    The exchange is its own inverse, so backward applies it to dy.

    Parameters
    ----------
    shared : int > 0
        How many features are exchanged.
    """

    def __init__(self, shared: int) -> None:
        super().__init__()
        if shared < 1:
            raise ConfigurationError(f"SwapHalves: shared must be positive, not {shared!r}")
        self.shared = int(shared)

    def forward_into(self, x: Array, y: Array, workspace: Workspace) -> None:
        """Exchange in training."""
        self._exchange(x, y, workspace)

    def backward_into(self, dy: Array, dx: Array | None, workspace: Workspace) -> None:
        """Exchange back."""
        if dx is not None:
            self._exchange(dy, dx, workspace)

    def _exchange(self, source: Array, target: Array, workspace: Workspace) -> None:
        target[...] = source
        if not workspace.training:
            return
        if workspace.shard.communicator.size > 1:
            self._exchange_with_others(source, target, workspace)
            return
        half = source.shape[0] // 2
        if half:
            target[:half, : self.shared] = source[half : 2 * half, : self.shared]
            target[half : 2 * half, : self.shared] = source[:half, : self.shared]

    def _exchange_with_others(self, source: Array, target: Array, workspace: Workspace) -> None:
        """Exchange the rows of the global batch; every rank contributes its rows."""
        shard = workspace.shard
        own = slice(shard.start, shard.start + shard.rows)
        shared = workspace.buffer("all ranks' rows", (shard.total, self.shared))
        shared[...] = 0.0
        shared[own] = source[: shard.rows, : self.shared]
        shard.communicator.sum(shared, f"the exchange of {self.name}")
        numbers = np.arange(shard.total)
        half = shard.total // 2
        numbers[: 2 * half] = np.roll(numbers[: 2 * half], half)
        rows = workspace.backend.asarray(numbers[own])
        target[: shard.rows, : self.shared] = shared[rows]

    def config(self) -> dict[str, Any]:
        """Return the number of features exchanged."""
        return {"shared": self.shared}


def pretrain(
    network: Network,
    x: HostArray,
    image_shape: tuple[int, int],
    how: Pretraining,
    loss: Loss,
    optimizer: Optimizer,
    **options: Any,
) -> History:
    """Train a twin of an autoencoder with `SwapHalves` after its code, and give its weights to `network`.

    More options are those of `Network.fit`.
    """
    config = network.config()
    encoder_length = network.encoder_length
    assert encoder_length is not None
    width = network[encoder_length - 1].outputs
    assert width is not None
    swap = {"kind": "SwapHalves", "config": {"shared": width - width // OWN_SHARE}, "trainable": True}
    config["layers"].insert(encoder_length, swap)
    twin = Network.from_config(config, device=network.backend)
    twin.set_weights(network.weights())

    def pairs(generator: np.random.Generator, rows: HostArray, _: HostArray) -> tuple[HostArray, HostArray]:
        half = len(rows) // 2
        if half:
            rows[half : 2 * half] = how.distortion(generator, rows[:half], image_shape)
        return rows, rows

    history = twin.fit(
        x, x, loss=loss, optimizer=optimizer, epochs=how.epochs, batch_size=how.batch_size, augment=pairs,
        **options,
    )  # fmt: skip
    network.set_weights(twin.weights())
    return history
