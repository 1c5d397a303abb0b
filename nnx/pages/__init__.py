"""Web pages that train networks in the browser."""

from nnx.pages.descriptions import build, describe
from nnx.pages.engine import engine_script

__all__ = ["build", "describe", "engine_script"]
