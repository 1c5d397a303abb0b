"""`fit` and `evaluate`: epochs, batches, and what is recorded of them.

A network is known here by the calls made on it (`plan`, `arena`, `predict`, …) and never imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from nnx.data.samples import Augmentation, Samples, check_samples
from nnx.distributed import ALONE, Communicator
from nnx.distributed.agreement import fingerprint, version
from nnx.errors import ConfigurationError, flag, number, whole, whole_config
from nnx.losses import Loss
from nnx.metrics.choice import Metrics, choose, direction
from nnx.optimizers import Optimizer
from nnx.training import nonfinite
from nnx.training.callbacks import Callback, History, Run
from nnx.training.checkpoints import Checkpoint, identity
from nnx.training.checks import check_callbacks, check_kind, check_metrics
from nnx.training.evaluation import EVALUATION_ROWS, evaluate
from nnx.training.loop import Loop, epoch_order
from nnx.training.running import run_epochs
from nnx.training.signals import Interrupts

__all__ = ["EVALUATION_ROWS", "epoch_order", "evaluate", "fit"]


def fit(
    network: Any,
    x: Any,
    y: Any,
    *,
    loss: Loss,
    optimizer: Optimizer,
    epochs: int = 1,
    batch_size: int = 32,
    validation: float | tuple[Any, ...] | None = None,
    metrics: Metrics = (),
    callbacks: Sequence[Callback] = (),
    shuffle: bool = True,
    sample_weight: Any = None,
    augment: Augmentation | None = None,
    communicator: Communicator = ALONE,
    on_nonfinite: str = "stop",
) -> History:
    """Train a network; see `Network.fit`, which hands itself to this function."""
    check_kind("loss", loss, Loss, "CategoricalCrossEntropy")
    check_kind("optimizer", optimizer, Optimizer, "Adam")
    epochs, batch_size = whole("epochs", epochs), whole("batch_size", batch_size)
    if not isinstance(communicator, Communicator):
        raise ConfigurationError(
            f"communicator must be what nnx.distributed.connect returns, not {type(communicator).__name__}"
        )
    shuffle = flag("shuffle", shuffle)
    callbacks = check_callbacks(callbacks)
    chosen = choose(metrics)
    samples = check_samples(network, loss, x, y, sample_weight)
    held_out: Samples | None = None
    if isinstance(validation, (tuple, list)) and len(validation) in (2, 3):
        held_out = check_samples(network, loss, *validation)
    elif hasattr(validation, "__float__"):
        samples, held_out = samples.split(number("validation", validation))
    elif validation is not None:
        raise ConfigurationError(
            f"validation must be a fraction, (x, y) or (x, y, weights), not {type(validation).__name__}"
        )
    if batch_size > len(samples):
        raise ConfigurationError(
            f"batch_size={batch_size} is larger than the {len(samples)} rows to train on: give at most that"
        )
    if batch_size < communicator.size:
        raise ConfigurationError(
            f"batch_size={batch_size} is that of all {communicator.size} ranks together, who want a row each"
        )
    if chosen and held_out is None:
        raise ConfigurationError("metrics are taken on validation data: give validation=0.1 or (x, y)")
    if held_out is not None:
        check_metrics(chosen, held_out, network.output_shape)
    given = [c for c in callbacks if isinstance(c, Checkpoint)]
    if len(given) > 1:
        raise ConfigurationError(
            "one Checkpoint among the callbacks is enough: it keeps the state of all others"
        )
    nonfinite.check_policy(on_nonfinite, any(not checkpoint.wait for checkpoint in given))
    if given or communicator.size > 1:  # its text is part of what a run is known by
        whole_config(loss)
    options = {
        "loss": identity.described(loss), "optimizer": identity.described(optimizer),
        "batch_size": batch_size, "shuffle": shuffle,
        "metrics": [name for name, _ in chosen], "augment": augment is not None,
        "on_nonfinite": on_nonfinite,
    }  # fmt: skip
    if communicator.size > 1:
        alike = _alike(network) | {"epochs": epochs, "checkpoints": bool(given)}
        communicator.agree(alike | network.config() | _data(samples, held_out) | options)
        if communicator.rank:
            callbacks = [c for c in callbacks if getattr(c, "every_rank", True)]
    loop = Loop(network, samples, loss, optimizer, batch_size, shuffle, augment, communicator)
    run = Run(network, optimizer, History(), epochs, len(loop.bounds), losses=loop.losses, loss=loss)
    run.on_nonfinite = on_nonfinite
    run.directions = {"loss": "min"}
    if held_out is not None:
        run.directions |= {"val_loss": "min"} | {f"val_{name}": direction(m) for name, m in chosen}
    checkpoint = next((c for c in callbacks if isinstance(c, Checkpoint)), None)
    # a checkpoint comes last: it keeps what the others were told, and puts it back when all have begun
    run.callbacks = [c for c in callbacks if c is not checkpoint] + ([checkpoint] if checkpoint else [])
    if checkpoint is not None:
        described = network.config() | options
        # asked for with the first checkpoint, and once: reading large data takes time
        run.facts = cache(lambda: described | _data(samples, held_out))
    return run_epochs(loop, run, checkpoint, Interrupts(bool(given)), held_out, chosen)


def _alike(network: Any) -> dict[str, Any]:
    """What ranks that train together must have in common, besides data and options."""
    arena = network.arena
    to_numpy = arena.backend.to_numpy
    return {
        "the version of nnx": version("nnx-arrays"),
        "the version of NumPy": np.__version__,
        "backend": arena.backend.name,
        "the parameters": fingerprint(to_numpy(arena.values), to_numpy(arena.state)),
        "the steps taken": arena.step,
    }


def _data(samples: Samples, held_out: Samples | None) -> dict[str, Any]:
    """What a network is trained on."""
    return {
        "the training data": fingerprint(*samples.arrays()),
        "the validation data": held_out and fingerprint(*held_out.arrays()),
    }
