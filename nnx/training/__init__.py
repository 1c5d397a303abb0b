"""`fit` and `evaluate`: epochs, batches, and what is recorded of them.

A network is known here by the calls made on it (`plan`, `arena`, `predict`, …) and never imported.
"""

from nnx.data.batches import epoch_order
from nnx.training.evaluation import EVALUATION_ROWS, evaluate
from nnx.training.loop import fit
from nnx.training.options import FitOptions

__all__ = ["EVALUATION_ROWS", "FitOptions", "epoch_order", "evaluate", "fit"]
