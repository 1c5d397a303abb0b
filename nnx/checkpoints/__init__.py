"""Model files and checkpoints: safetensors with a JSON description in the header. No pickle is ever read."""

from nnx.checkpoints.callback import Checkpoint
from nnx.checkpoints.models import FORMAT, VERSION, checksum, fitted, read, read_metadata, write

__all__ = ["FORMAT", "VERSION", "Checkpoint", "checksum", "fitted", "read", "read_metadata", "write"]
