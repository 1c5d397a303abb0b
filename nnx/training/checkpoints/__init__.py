"""Checkpoints: the state of a training run, written to a folder and read back."""

from nnx.training.checkpoints.callback import Checkpoint

__all__ = ["Checkpoint"]
