"""Dropout; its mask is computed when it is needed, and never stored."""

from __future__ import annotations

import math
from typing import Any

from nnx.ops.base import Array, OnGpu, Operations
from nnx.ops.cuda import Elementwise
from nnx.ops.steps import INPUTS, NOW, Number, PerStep, written


class Dropout(Operations):
    """Dropout in the plain form."""

    def dropout(
        self, x: Array, y: Array, rate: float, key: Number, row: int = 0, scale: float | None = None
    ) -> Array:
        """y = x ∘ mask · scale, where the mask is a hash of (key, row + i, j) and never stored.

        `scale` is 1 / (1 − rate) if it is not given.

        i and j are the first and the last index of a number. For x of shape (rows, positions, channels), all
        positions have the same mask, so whole channels are dropped. On a GPU, `key` may be a `PerStep` with
        the key's lower and its upper 32 bits. The same call with dy returns dx. The hash function is
        ``lowbias32`` by Chris Wellons (https://nullprogram.com/blog/2018/07/31/), applied to the row and then
        to the column.
        """
        xp = self.xp
        keep = hashed(xp, x, key, row) >= threshold_of(rate)
        y[...] = xp.where(keep, x * scale_of(rate, scale), 0.0)
        return y


def scale_of(rate: float, scale: float | None) -> float:
    """Return the factor of the numbers that are kept."""
    return 1.0 / (1.0 - rate) if scale is None else scale


def threshold_of(rate: float) -> int:
    """Return the least hash of the numbers that are kept."""
    return min(int(rate * 2**32), 0xFFFFFFFF)


def hashed(xp: Any, x: Array, key: int, row: int) -> Array:
    """Return a hash of 32 bits of (key, row + i, j) for each row i and column j of x."""
    rows = xp.arange(row, row + x.shape[0], dtype=xp.uint32)[:, None]
    columns = xp.arange(x.shape[-1], dtype=xp.uint32)[None, :]
    mixed = mix(rows ^ (key & 0xFFFFFFFF)) ^ (key >> 32 & 0xFFFFFFFF)
    return mix(mixed + columns * 0x9E3779B1).reshape(x.shape[0], *[1] * (x.ndim - 2), x.shape[-1])


def halves(key: int) -> tuple[int, int]:
    """Return the lower and the upper 32 bits of a key."""
    return key & 0xFFFFFFFF, key >> 32 & 0xFFFFFFFF


def mix(h: Array) -> Array:
    """Mix the bits of 32-bit integers, reversibly: every output bit depends on every input bit."""
    h = h ^ (h >> 16)
    h = h * 0x7FEB352D
    h = h ^ (h >> 15)
    h = h * 0x846CA68B
    return h ^ (h >> 16)


MIX = """
__device__ inline unsigned int nnx_mix(unsigned int h) {
    h ^= h >> 16;
    h *= 0x7FEB352Du;
    h ^= h >> 15;
    h *= 0x846CA68Bu;
    return h ^ (h >> 16);
}
"""
DROPOUT = Elementwise(
    "dropout",
    inputs=f"T x, int64 whole, uint32 columns, uint32 row, raw uint32 keys, {INPUTS},"
    " uint32 threshold, T scale",
    outputs="T y",
    body="unsigned int r = row + (unsigned int)(i / whole), c = (unsigned int)(i % columns);"
    f" const unsigned int low = keys[{NOW}], high = keys[{NOW} + 1];"
    " y = nnx_mix((nnx_mix(r ^ low) ^ high) + c * 0x9E3779B1u) >= threshold ? x * scale : T(0);",
    preamble=MIX,
)


class DropoutCuPy(OnGpu, Dropout):
    """Dropout on the GPU."""

    def dropout(
        self, x: Array, y: Array, rate: float, key: Number, row: int = 0, scale: float | None = None
    ) -> Array:
        """Use one launch, with 32-bit integers: the mask equals that of the plain form, bit for bit."""
        with self._hold:
            if not isinstance(key, PerStep):
                key = written(self, "uint32", *halves(key))
            DROPOUT.kernel(
                x, math.prod(x.shape[1:]), x.shape[-1], row & 0xFFFFFFFF, *key.arguments,
                threshold_of(rate), scale_of(rate, scale), y,
            )  # fmt: skip
        return y
