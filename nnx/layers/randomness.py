"""Random numbers of layers: each layer's key of a step, from which all numbers are computed by a hash."""

from __future__ import annotations

from typing import Any

from nnx.layers.workspace import Workspace

MASK64 = 0xFFFFFFFFFFFFFFFF


class Draws:
    """Mixin of the layers that draw random numbers in training, by a hash of a key, the row and the column.

    Nothing random is stored. The numbers depend on (seed, step, layer, number of the pass), so they are the
    same on every device and in a resumed run, and the backward pass can draw them again.
    """

    index: int

    def key(self, seed: int, step: int, draw: int = 0) -> int:
        """Return the key of a step."""
        return _key(seed, step, self.index, draw)

    def drawn_key(self, workspace: Workspace) -> Any:
        """Return the key of a pass; while `fit` computes a step on a GPU, it lies in the device's memory."""
        key: Any = workspace.keys.get(self.index)
        if key is None:
            key = self.key(workspace.seed, workspace.step, workspace.draw)
        return key


def _key(seed: int, step: int, layer: int, draw: int = 0) -> int:
    """Hash these numbers to 64 bits with the finalizer of SplitMix64 (Steele, Lea and Flood, 2014)."""
    key = 0
    for part in (seed, step, layer, *([draw] if draw else [])):
        key = (key + part + 0x9E3779B97F4A7C15) & MASK64
        key = ((key ^ (key >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
        key = ((key ^ (key >> 27)) * 0x94D049BB133111EB) & MASK64
        key ^= key >> 31
    return key
