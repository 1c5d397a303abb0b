"""What `fit` checks before it trains: options, data, callbacks and metrics."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from nnx.data.checking import check_samples
from nnx.data.samples import Samples
from nnx.distributed import Communicator
from nnx.errors import ConfigurationError, flag, number, whole, whole_config
from nnx.losses import Loss
from nnx.metrics.choice import check_weights, choose, taken, taken_for, tried_on_targets
from nnx.metrics.formulas import Metric
from nnx.metrics.names import NAMES
from nnx.optimizers import Optimizer
from nnx.training import nonfinite
from nnx.training.checkpoints import Checkpoint
from nnx.training.evaluation import Validation
from nnx.training.options import FitOptions
from nnx.training.run import Callback


def check_options(options: FitOptions) -> FitOptions:
    """Check the options, except for what depends on the data, and return them with plain Python values.

    Raises
    ------
    ConfigurationError
        If an option is invalid; the text names it.
    """
    check_kind("loss", options.loss, Loss, "CategoricalCrossEntropy")
    check_kind("optimizer", options.optimizer, Optimizer, "Adam")
    if not isinstance(options.communicator, Communicator):
        raise ConfigurationError(
            "communicator must be an object from nnx.distributed.connect, not "
            f"{type(options.communicator).__name__}"
        )
    callbacks, checkpoint = _separated(check_callbacks(options.callbacks), options.checkpoint)
    options = replace(
        options,
        epochs=whole("epochs", options.epochs),
        batch_size=whole("batch_size", options.batch_size),
        shuffle=flag("shuffle", options.shuffle),
        accumulate=whole("accumulate", options.accumulate),
        average=None if options.average is None else number("average", options.average, "(0, 1)"),
        callbacks=callbacks,
        checkpoint=checkpoint,
    )
    if options.accumulate > 1 and options.communicator.size > 1:
        raise ConfigurationError(
            "accumulate is for one process; with several ranks, each has its share of batch_size: leave out "
            "accumulate"
        )
    if options.graph is not False and options.graph != "auto":
        raise ConfigurationError(f"graph must be 'auto' or False, not {options.graph!r}")
    nonfinite.check_policy(options.on_nonfinite, checkpoint is not None and not checkpoint.wait)
    if checkpoint is not None or options.communicator.size > 1:  # they compare the loss by its config
        whole_config(options.loss)
    return options


def check_kind(what: str, given: Any, kind: type, example: str) -> None:
    """Check that an argument is a loss, or an optimizer: an object, not a class.

    Raises
    ------
    ConfigurationError
        If it is not; the text shows a valid value.
    """
    if isinstance(given, kind):
        return
    wrong = f"{given!r:.60}"
    if isinstance(given, type) and issubclass(given, kind):
        wrong, example = f"the class {given.__name__}", given.__name__
    raise ConfigurationError(f"{what} must be an nnx {what} such as nnx.{example}(), not {wrong}")


def check_callbacks(callbacks: Any) -> list[Callback]:
    """Return the callbacks as a list.

    Raises
    ------
    ConfigurationError
        If it is not a list of callbacks, or two callbacks write the same file.
    """
    found: list[Any] = list(callbacks) if isinstance(callbacks, Iterable) else [None]
    if not all(isinstance(callback, Callback) for callback in found):
        raise ConfigurationError(
            "callbacks must be a list of objects such as nnx.EarlyStopping(), not "
            f"{callbacks!r:.100}: callbacks=[…]"
        )
    for callback in found:
        if hasattr(callback, "told_every"):
            warnings.warn(
                f"{type(callback).__name__}: told_every is now called every_n_epochs",
                DeprecationWarning, stacklevel=5,
            )  # fmt: skip
    paths = [callback.path.absolute() for callback in found if callback.writes_path]
    for path in paths:
        if paths.count(path) > 1:
            raise ConfigurationError(f"two callbacks write {path}: give each a different file")
    return found


def _separated(
    callbacks: list[Callback], checkpoint: Checkpoint | None
) -> tuple[list[Callback], Checkpoint | None]:
    """Return the other callbacks, and the checkpoint, which version 0.1 expected among the callbacks."""
    if checkpoint is not None and not isinstance(checkpoint, Checkpoint):
        raise ConfigurationError(f"checkpoint must be an nnx.Checkpoint(folder), not {checkpoint!r:.60}")
    among = [callback for callback in callbacks if isinstance(callback, Checkpoint)]
    if len(among) + (checkpoint is not None) > 1:
        raise ConfigurationError("give one Checkpoint: it holds the state of all callbacks")
    if among:
        warnings.warn(
            "a Checkpoint among the callbacks is deprecated, and an error in the next version: write "
            "fit(..., checkpoint=nnx.Checkpoint(folder))", DeprecationWarning, stacklevel=5,
        )  # fmt: skip
        checkpoint = among[0]
    return [callback for callback in callbacks if callback is not checkpoint], checkpoint


def check_data(network: Any, x: Any, y: Any, options: FitOptions) -> tuple[Samples, Validation | None]:
    """Return the rows to train on and the rows to validate on, both checked.

    Raises
    ------
    DataError
        If the data does not fit the network, the loss or a metric.
    ConfigurationError
        If an option does not fit the data.
    """
    loss, validation = options.loss, options.validation
    metrics = choose(options.metrics)
    samples = check_samples(network, loss, x, y, options.sample_weight)
    held_out: Samples | None = None
    if isinstance(validation, (tuple, list)) and len(validation) in (2, 3):
        held_out = check_samples(network, loss, *validation)
    elif hasattr(validation, "__float__"):
        samples, held_out = samples.split(number("validation", validation))
    elif validation is not None:
        raise ConfigurationError(
            f"validation must be a fraction, (x, y) or (x, y, weights), not {type(validation).__name__}"
        )
    if options.batch_size > len(samples):
        raise ConfigurationError(
            f"batch_size={options.batch_size} is larger than the {len(samples)} rows to train on: "
            f"set batch_size to {len(samples)} or less"
        )
    if options.batch_size < options.communicator.size:
        raise ConfigurationError(
            f"batch_size={options.batch_size} is too small for {options.communicator.size} ranks, which "
            f"share each batch: set at least batch_size={options.communicator.size}"
        )
    if held_out is None:
        if metrics:
            raise ConfigurationError(
                "metrics are computed on validation data only: set validation=0.1 or validation=(x, y)"
            )
        return samples, None
    check_metrics(metrics, held_out, network.output_shape, loss)
    return samples, Validation(held_out, metrics)


def check_metrics(
    metrics: list[tuple[str, Metric]], samples: Samples, output_shape: tuple[int, ...], loss: Loss
) -> None:
    """Check that metrics accept the targets and the weights of rows.

    nnx's metrics are tried on equal predictions that sum to 1, scikit-learn's on the targets as predictions.
    Your own functions are first called when the first epoch ends.

    Raises
    ------
    DataError, ConfigurationError
        If a metric does not accept them; see `nnx.metrics.choice.taken` and `check_weights`.
    """
    weights = samples.weights
    counted = None if weights is None else weights[weights > 0.0]
    y_true: Any = samples.targets() if metrics else None
    equal = np.broadcast_to(np.float32(1.0 / output_shape[-1]), (len(samples), *output_shape))
    for name, metric in metrics:
        if counted is not None and (counted != counted[0]).any():
            check_weights(name, metric)
        if metric in NAMES.values():
            taken_for(loss, name, metric, y_true, equal, weights)
        elif tried_on_targets(metric) and not loss.per_target:
            labels = y_true.ndim == len(output_shape)  # the number of a class at each position
            exact = np.eye(output_shape[-1], dtype=np.float32)[y_true] if labels else y_true
            taken(name, metric, y_true, exact, weights)
