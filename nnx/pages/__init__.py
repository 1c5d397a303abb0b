"""Web pages that train networks in the browser."""

from nnx.pages.descriptions import build, describe
from nnx.pages.engine import engine_script
from nnx.pages.playground import write_playground
from nnx.pages.trace import write_trace

__all__ = ["build", "describe", "engine_script", "write_playground", "write_trace"]
