"""Model files and checkpoints: safetensors with a JSON description in the header. No pickle is ever read."""

from nnx.model_files import FORMAT, VERSION, checksum, fitted, read, read_metadata, write
from nnx.training.checkpoints import Checkpoint

__all__ = ["FORMAT", "VERSION", "Checkpoint", "checksum", "fitted", "read", "read_metadata", "write"]
