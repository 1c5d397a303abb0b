"""The command line: parse, call an experiment, print."""

from nnx.cli.main import main

__all__ = ["main"]
