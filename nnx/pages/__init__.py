"""Web pages that train networks in the browser."""

from nnx.pages.engine import engine_script

__all__ = ["engine_script"]
