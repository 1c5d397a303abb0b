"""Describe a training run, to compare it with its other ranks and with a run that resumes it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from nnx.data.samples import Samples
from nnx.distributed.agreement import fingerprint, version
from nnx.metrics.choice import choose
from nnx.training.checkpoints import identity
from nnx.training.evaluation import Validation
from nnx.training.options import FitOptions


def agreed(
    network: Any, options: FitOptions, samples: Samples, validation: Validation | None
) -> Callable[[], dict[str, Any]]:
    """Check that all ranks have the same data and options; return what a resumed run must have in common.

    Raises
    ------
    RankError
        If a rank has other data or options than the others.
    """
    if options.checkpoint is None and options.communicator.size == 1:
        return dict  # there is nothing to compare with
    known = _described(network, options)
    data = cache(lambda: _data(samples, validation))  # reading large data takes time
    options.communicator.agree(lambda: _alike(network, options) | known | data())
    return lambda: known | data()


def _described(network: Any, options: FitOptions) -> dict[str, Any]:
    """Return the network and the options, without the data."""
    found: dict[str, Any] = network.config()
    return found | {
        "loss": identity.described(options.loss),
        "optimizer": identity.described(options.optimizer),
        "batch_size": options.batch_size,
        "shuffle": options.shuffle,
        "metrics": [name for name, _ in choose(options.metrics)],
        "augment": options.augment is not None,
        "on_nonfinite": options.on_nonfinite,
        "accumulate": options.accumulate if options.accumulate > 1 else None,  # None: as before this option
        "average": options.average,
    }


def _data(samples: Samples, validation: Validation | None) -> dict[str, Any]:
    """Return fingerprints of the data."""
    return {
        "the training data": fingerprint(*samples.arrays()),
        "the validation data": validation and fingerprint(*validation.samples.arrays()),
    }


def _alike(network: Any, options: FitOptions) -> dict[str, Any]:
    """Return what ranks must also have in common, but a resumed run need not."""
    arena = network.arena
    to_numpy = arena.backend.to_numpy
    return {
        "the version of nnx": version("nnx-arrays"),
        "the version of NumPy": np.__version__,
        "backend": arena.backend.name,
        "the parameters": fingerprint(to_numpy(arena.values), to_numpy(arena.state)),
        "the steps taken": arena.step,
        "epochs": options.epochs,
        "checkpoints": options.checkpoint is not None,
    }
