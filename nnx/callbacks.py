"""Callbacks: objects that `fit` calls before, during and after training."""

from nnx.training.callbacks import BestCheckpoint, Callback, CSVLog, EarlyStopping, History, Progress, Run

__all__ = ["BestCheckpoint", "CSVLog", "Callback", "EarlyStopping", "History", "Progress", "Run"]
