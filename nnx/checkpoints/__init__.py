"""Model files: safetensors with a JSON description in the header. No pickle is ever read."""

from nnx.checkpoints.models import FORMAT, VERSION, checksum, fitted, read, read_metadata, write

__all__ = ["FORMAT", "VERSION", "checksum", "fitted", "read", "read_metadata", "write"]
