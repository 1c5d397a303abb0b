"""Pretraining of an autoencoder so that most of its code does not depend on how a digit happens to be drawn.

A batch holds images and, in its other half, distorted versions of the same images. Between encoder and
decoder the two versions of an image exchange the shared part of their codes and keep the rest: the exchange
costs nothing only if the shared part says what both have in common, and the rest how each is drawn. No label
is needed. Training to reconstruct then goes on without the exchange, from weights that know the difference.

The exchange follows Hu, Szabó, Portenier, Zwicker and Favaro (2018), Disentangling factors of variation by
mixing them (arXiv:1711.07410); the distorted versions stand in for their pairs of images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnx.backends import Array
from nnx.callbacks import Callback, History
from nnx.checkpoints import Checkpoint
from nnx.data.rows import HostArray
from nnx.distributed import ALONE, Communicator, Shard
from nnx.errors import ConfigurationError
from nnx.experiments.distortion import Affine
from nnx.layers import Layer, Workspace
from nnx.losses import Loss
from nnx.network import Network
from nnx.optimizers import Optimizer

OWN_SHARE = 8  # one number of the code in eight is an image's own


@dataclass(frozen=True)
class Pretraining:
    """How long, in which batches, and with which distortion.

    Attributes
    ----------
    epochs, batch_size : int
        Half of a batch's images are used (and drawn anew every epoch), the other half are their versions.
    distortion : Affine
    """

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

    Raises
    ------
    ConfigurationError
        If it is not positive.
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
        if workspace.part is not None:
            self._exchange_with_others(source, target, workspace, workspace.part)
            return
        half = source.shape[0] // 2
        if half:
            target[:half, : self.shared] = source[half : 2 * half, : self.shared]
            target[half : 2 * half, : self.shared] = source[:half, : self.shared]

    def _exchange_with_others(self, source: Array, target: Array, workspace: Workspace, part: Shard) -> None:
        """The same with the rows of the global batch, of which each rank lays down its own."""
        own = slice(part.start, part.start + part.rows)
        shared = workspace.buffer("all ranks' rows", (part.total, self.shared))
        shared[...] = 0.0
        shared[own] = source[: part.rows, : self.shared]
        part.communicator.sum(shared, f"the exchange of {self.name}")
        numbers = np.arange(part.total)
        half = part.total // 2
        numbers[: 2 * half] = np.roll(numbers[: 2 * half], half)
        rows = workspace.backend.asarray(numbers[own])
        target[: part.rows, : self.shared] = shared[rows]

    def config(self) -> dict[str, Any]:
        """The number of features exchanged."""
        return {"shared": self.shared}


def pretrain(
    network: Network,
    x: HostArray,
    image_shape: tuple[int, int],
    how: Pretraining,
    loss: Loss,
    optimizer: Optimizer,
    callbacks: Sequence[Callback] = (),
    on_nonfinite: str = "stop",
    communicator: Communicator = ALONE,
    checkpoint: Checkpoint | None = None,
) -> History:
    """Train a twin of an autoencoder with `SwapHalves` behind its code, and give its weights to `network`."""
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
        x, x, loss=loss, optimizer=optimizer, epochs=how.epochs, batch_size=how.batch_size,
        callbacks=callbacks, checkpoint=checkpoint, augment=pairs, on_nonfinite=on_nonfinite,
        communicator=communicator,
    )  # fmt: skip
    network.set_weights(twin.weights())
    return history
