"""The experiments: each takes a frozen configuration and returns a `Result`; nothing is drawn here."""

from __future__ import annotations

from importlib import import_module

from nnx.errors import ConfigurationError, nearest
from nnx.experiments.declaration import Experiment, Table
from nnx.experiments.result import Result, RunFolder

__all__ = ["NAMES", "Experiment", "Result", "RunFolder", "Table", "get"]

# The commands of ``nnx run``; each is a module or a folder here that defines `EXPERIMENT`.
NAMES = ("xor", "autoencoder", "classifier", "svm", "compare")


def get(name: str) -> Experiment:
    """Return the declaration of an experiment; its module is loaded at the first call.

    Raises
    ------
    ConfigurationError
        If there is no such experiment; the text names the nearest.
    """
    known = (*NAMES, "train")
    if name not in known:
        raise ConfigurationError(f"there is no experiment {name!r}{nearest(name, known)}")
    found: Experiment = import_module(f"nnx.experiments.{name}").EXPERIMENT
    return found
