"""The command ``nnx train``: train a network on the user's data, and apply it to new files."""

from nnx.experiments.train.applying import Model
from nnx.experiments.train.config import Config
from nnx.experiments.train.declared import EXPERIMENT
from nnx.experiments.train.experiment import run

__all__ = ["EXPERIMENT", "Config", "Model", "run"]
