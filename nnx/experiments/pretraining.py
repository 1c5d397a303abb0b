"""Pretrain an autoencoder so that most of its code does not depend on how a digit is drawn.

Half of a batch holds images, the other half distorted versions of the same images. Between encoder and
decoder, the two versions of an image exchange the shared part of their codes and keep the rest. The exchange
costs nothing only if the shared part describes what both have in common, and the rest how each is drawn. No
label is needed. Training then starts from these weights, with no such pairs or with a few in each batch.

The exchange follows Hu, Szabó, Portenier, Zwicker and Favaro (2018), Disentangling factors of variation by
mixing them (arXiv:1711.07410); the distorted versions replace their pairs of images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nnx.backends import Array
from nnx.callbacks import History
from nnx.data.rows import HostArray, Rows
from nnx.data.samples import Augmentation
from nnx.errors import ConfigurationError
from nnx.experiments.distortion import Affine
from nnx.layers import Layer, Workspace
from nnx.network import Network

OWN_SHARE = 8  # one number of the code in eight is not shared


@dataclass(frozen=True)
class Pretraining:
    """How to pretrain. Half of a batch holds images (shuffled every epoch), half their distorted versions.

    Attributes
    ----------
    epochs, batch_size : int
    distortion : Affine
        Makes the distorted version of an image.
    kept : float in [0, 1)
        The share of each batch that still holds such pairs in the training after it.
    """

    epochs: int
    batch_size: int
    distortion: Affine
    kept: float = 0.0


def pairs_in(rows: int, share: float) -> int:
    """Return how many pairs a batch has if `share` of its rows are in pairs: row k and row k + pairs."""
    return int(rows * share) // 2


class SwapHalves(Layer):
    """In training, the halves of some rows exchange their first features; otherwise y = x.

    A pair is row k and row k + p, for k < p and p = ⌊⌊share · rows⌋ / 2⌋. The exchange is its own inverse, so
    backward applies it to dy.

    Parameters
    ----------
    shared : int > 0
        How many features are exchanged.
    share : float in (0, 1]
        The share of the rows that are in pairs.
    """

    replays = True

    def __init__(self, shared: int, share: float = 1.0) -> None:
        super().__init__()
        if shared < 1:
            raise ConfigurationError(f"SwapHalves: shared must be positive, not {shared!r}")
        if not 0.0 < share <= 1.0:
            raise ConfigurationError(f"SwapHalves: share must be above 0 and at most 1, not {share!r}")
        self.shared, self.share = int(shared), float(share)

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
        pairs = pairs_in(source.shape[0], self.share)
        if pairs:
            target[:pairs, : self.shared] = source[pairs : 2 * pairs, : self.shared]
            target[pairs : 2 * pairs, : self.shared] = source[:pairs, : self.shared]

    def _exchange_with_others(self, source: Array, target: Array, workspace: Workspace) -> None:
        """Exchange the rows of the global batch; every rank contributes its rows."""
        shard = workspace.shard
        own = slice(shard.start, shard.start + shard.rows)
        shared = workspace.buffer("all ranks' rows", (shard.total, self.shared))
        shared[...] = 0.0
        shared[own] = source[: shard.rows, : self.shared]
        shard.communicator.sum(shared, f"the exchange of {self.name}")
        numbers = np.arange(shard.total)
        pairs = pairs_in(shard.total, self.share)
        numbers[: 2 * pairs] = np.roll(numbers[: 2 * pairs], pairs)
        rows = workspace.backend.asarray(numbers[own])
        target[: shard.rows, : self.shared] = shared[rows]

    def config(self) -> dict[str, Any]:
        """Return the number of features exchanged, and the share of the rows; older files have no share."""
        return {"shared": self.shared} | ({"share": self.share} if self.share < 1.0 else {})


def fit_with_pairs(
    network: Network,
    x: HostArray | Rows,
    image_shape: tuple[int, int],
    distortion: Affine,
    share: float,
    others: Augmentation | None = None,
    **options: Any,
) -> History:
    """Train a twin of an autoencoder with `SwapHalves` after its code, and give its weights to `network`.

    Parameters
    ----------
    network : Network
        An autoencoder that knows its `encoder_length`.
    x : array or Rows of shape (rows, height · width)
        The images.
    image_shape : (int, int)
    distortion : Affine
        Makes the second image of a pair from the first.
    share : float in (0, 1]
        The share of each batch that is in pairs.
    others : callable, optional
        Changes the images that are in no pair, see `Network.fit`.
    **options
        Those of `Network.fit`.
    """
    twin = _twin(network, share)

    def augment(generator: np.random.Generator, rows: HostArray, _: HostArray) -> tuple[HostArray, HostArray]:
        pairs = pairs_in(len(rows), share)
        if others is not None and 2 * pairs < len(rows):
            rows[2 * pairs :], _ = others(generator, rows[2 * pairs :], rows[2 * pairs :])
        if pairs:
            rows[pairs : 2 * pairs] = distortion(generator, rows[:pairs], image_shape)
        return rows, rows

    history = twin.fit(x, x, augment=augment, **options)
    network.set_weights(twin.weights())
    return history


def _twin(network: Network, share: float) -> Network:
    """Return a network with the same weights that exchanges all but one number of eight of the codes."""
    config = network.config()
    encoder_length = network.encoder_length
    assert encoder_length is not None
    width = network[encoder_length - 1].outputs
    assert width is not None
    swap = {"shared": width - width // OWN_SHARE, "share": share}
    config["layers"].insert(encoder_length, {"kind": "SwapHalves", "config": swap, "trainable": True})
    twin = Network.from_config(config, device=network.backend)
    twin.set_weights(network.weights())
    return twin
