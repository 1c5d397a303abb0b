"""The four experiments: each takes a frozen configuration and returns a `Result`; nothing is drawn here."""

from nnx.experiments.result import Result, RunFolder

__all__ = ["Result", "RunFolder"]
