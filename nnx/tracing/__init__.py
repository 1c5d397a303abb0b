"""Record one training step number by number, and explain it."""

from nnx.tracing.path import Path, PathStep
from nnx.tracing.result import LayerTrace, LossTrace, ParameterTrace, Trace
from nnx.tracing.updates import Line
from nnx.tracing.weights import Summand, Weight

__all__ = [
    "LayerTrace",
    "Line",
    "LossTrace",
    "ParameterTrace",
    "Path",
    "PathStep",
    "Summand",
    "Trace",
    "Weight",
]
