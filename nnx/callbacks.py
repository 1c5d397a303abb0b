"""Callbacks: objects that `fit` calls before, during and after training."""

from nnx.training.callbacks import BestCheckpoint, CSVLog, EarlyStopping, Progress, ReduceOnPlateau
from nnx.training.run import Callback, History, Run
from nnx.training.statistics import WeightStatistics

__all__ = [
    "BestCheckpoint", "CSVLog", "Callback", "EarlyStopping", "History", "Progress", "ReduceOnPlateau", "Run",
    "WeightStatistics",
]  # fmt: skip
