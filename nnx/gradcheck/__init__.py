"""Check gradients of any layer, loss or network, including your own."""

from nnx.gradcheck.cases import CASES, Case, registered, run_all
from nnx.gradcheck.checks import check, check_layer, check_loss, check_network
from nnx.gradcheck.comparison import Direction, GradientReport

__all__ = [
    "CASES",
    "Case",
    "Direction",
    "GradientReport",
    "check",
    "check_layer",
    "check_loss",
    "check_network",
    "registered",
    "run_all",
]
