"""Record one training step number by number, and explain it."""

from nnx.tracing.result import LayerTrace, LossTrace, ParameterTrace, Trace

__all__ = ["LayerTrace", "LossTrace", "ParameterTrace", "Trace"]
