"""The command ``nnx train``: a network for the user's own data, and its models applied to new files."""

from nnx.experiments.train.applying import Model
from nnx.experiments.train.config import Config
from nnx.experiments.train.declared import EXPERIMENT
from nnx.experiments.train.experiment import run

__all__ = ["EXPERIMENT", "Config", "Model", "run"]
