"""Distort images by small random affine maps: handwriting changes in this way, but the digit does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nnx.data.rows import HostArray
from nnx.data.samples import Augmentation


@dataclass(frozen=True)
class Affine:
    """A random linear map about the centre, and a shift, for each image, with bilinear interpolation.

    Each quantity is drawn uniformly on ± its value.

    Attributes
    ----------
    rotation : float
        Degrees.
    scale : float
        Of the logarithms of the height's and the width's scale, which are drawn separately.
    shear : float
    shift : float
        Pixels, vertical and horizontal.
    share : float in [0, 1]
        The share of images that are distorted at all.
    """

    rotation: float
    scale: float
    shear: float
    shift: float
    share: float = 1.0

    def __call__(self, generator: np.random.Generator, x: HostArray, shape: tuple[int, int]) -> HostArray:
        """Distort images x of shape (rows, height · width); pixels outside the image are 0."""
        rows, columns = self._sources(generator, len(x), shape, x.dtype)
        return sample_bilinear(x, rows, columns, shape)

    def augmentation(self, shape: tuple[int, int]) -> Augmentation:
        """Return an augmentation for `Network.fit`: y is distorted as x if it is x, else it stays."""

        def augment(
            generator: np.random.Generator, x: HostArray, y: HostArray
        ) -> tuple[HostArray, HostArray]:
            distorted = self(generator, x, shape)
            return distorted, distorted if y is x else y

        return augment

    def _sources(
        self, generator: np.random.Generator, count: int, shape: tuple[int, int], dtype: np.dtype[Any]
    ) -> tuple[HostArray, HostArray]:
        """Return for each image and pixel the row and column to read: (count, height · width) each."""
        chosen = generator.random(count) < self.share

        def draw(limit: float) -> HostArray:
            return generator.uniform(-limit, limit, count) * chosen

        angle = np.deg2rad(draw(self.rotation))
        tall, wide, shear = np.exp(draw(self.scale)), np.exp(draw(self.scale)), draw(self.shear)
        down, right = draw(self.shift), draw(self.shift)
        height, width = shape
        u, v = np.meshgrid(
            np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2, indexing="ij"
        )
        grid = np.stack([u.ravel(), v.ravel()]).astype(dtype)  # relative to the centre
        cos, sin = np.cos(angle), np.sin(angle)
        # rotation times [[tall, 0], [shear, wide]]
        to_row = np.stack([cos * tall - sin * shear, -sin * wide], axis=1).astype(dtype)
        to_column = np.stack([sin * tall + cos * shear, cos * wide], axis=1).astype(dtype)
        rows = to_row @ grid + (down + (height - 1) / 2).astype(dtype)[:, None]
        columns = to_column @ grid + (right + (width - 1) / 2).astype(dtype)[:, None]
        return rows, columns


def sample_bilinear(x: HostArray, rows: HostArray, columns: HostArray, shape: tuple[int, int]) -> HostArray:
    """Read images between their pixels; two rings of zeros around them represent everything outside."""
    height, width = shape
    padded_width = width + 4
    padded = np.zeros((len(x), height + 4, padded_width), x.dtype)
    padded[:, 2:-2, 2:-2] = x.reshape(-1, height, width)
    flat = padded.reshape(len(x), -1)
    rows = np.clip(rows, -1.0, height) + 2.0
    columns = np.clip(columns, -1.0, width) + 2.0
    top, left = np.floor(rows), np.floor(columns)
    down, right = rows - top, columns - left
    corner = top.astype(np.int32) * padded_width + left.astype(np.int32)
    corner += (np.arange(len(x), dtype=np.int32) * flat.shape[1])[:, None]

    def at(offset: int) -> HostArray:
        return np.take(flat, corner + offset, mode="clip")

    upper = at(0) * (1.0 - right) + at(1) * right
    lower = at(padded_width) * (1.0 - right) + at(padded_width + 1) * right
    result: HostArray = upper * (1.0 - down) + lower * down
    return result
