"""Callbacks: objects that `fit` calls before, during and after training."""

from nnx.training.callbacks import BestCheckpoint, CSVLog, EarlyStopping, Progress
from nnx.training.run import Callback, History, Run

__all__ = ["BestCheckpoint", "CSVLog", "Callback", "EarlyStopping", "History", "Progress", "Run"]
