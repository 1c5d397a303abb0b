"""The part of it that nnx uses."""
