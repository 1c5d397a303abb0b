"""Train and evaluate networks: epochs, batches, callbacks, checkpoints.

This room uses a network's methods (`plan`, `arena`, `predict`, …), but never imports the class.
"""

from nnx.data.batches import epoch_order
from nnx.training.evaluation import EVALUATION_ROWS, evaluate
from nnx.training.finder import RateSearch, find
from nnx.training.loop import fit
from nnx.training.options import FitOptions

__all__ = ["EVALUATION_ROWS", "FitOptions", "RateSearch", "epoch_order", "evaluate", "find", "fit"]
