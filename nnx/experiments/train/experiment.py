"""Train a network on the user's data, and measure it on the rows held out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from nnx.callbacks import Callback, EarlyStopping, History, ReduceOnPlateau
from nnx.checkpoints import Checkpoint
from nnx.distributed import ALONE, Communicator
from nnx.experiments.result import Result, Stopwatch
from nnx.experiments.train import rates, tabular
from nnx.experiments.train.config import Config
from nnx.experiments.train.labelled import Labelled
from nnx.experiments.train.layer_presets import layers_of
from nnx.experiments.train.metrics import measure
from nnx.experiments.train.networks import build, channels_note, make_loss, make_optimizer
from nnx.experiments.train.problem import Problem, posed
from nnx.layers.words import read_layers
from nnx.libraries import EXPERIMENTS, require
from nnx.network import Network

_METRICS = {"classification": ("accuracy",), "regression": (), "autoencoding": ()}


def run(
    config: Config,
    callbacks: Sequence[Callback] = (),
    communicator: Communicator = ALONE,
    checkpoint: Checkpoint | None = None,
) -> Result:
    """Train on a part of the data, measure on the rest.

    Metrics: ``rows``, ``validation_rows``, ``features`` (numbers of a row), ``shape`` (of a row of several
    axes), ``validation_loss`` (the loss as it is trained: of
    scaled data, with the weights of rows and classes), and those of `nnx.experiments.train.metrics.measure`,
    which are in the units of the data: of a classification ``accuracy``, ``majority_accuracy`` (of always
    naming the commonest class), ``balanced_accuracy``, ``precision``, ``recall``, ``f1``, ``roc_auc``,
    ``classes``, ``by_class`` and ``confusion_matrix`` (rows true, columns predicted); of a regression
    ``mse``, ``mae`` and ``r2``, over all and in ``by_target``; of an autoencoder ``mse`` and ``r2``. With a
    communicator its ranks train together, and the first alone measures.
    """
    require(EXPERIMENTS, "experiments", "training on your own data")
    tabular.check(config)
    read_layers(config.layers)  # errors in these need not wait for the data
    make_optimizer(config, 1)
    rates.check(config)
    if config.loss != "auto":
        make_loss(config.loss, config)
    began = time.perf_counter()
    problem = posed(config)
    data, prepared = problem.data, problem.prepared
    data_seconds = time.perf_counter() - began
    train, held_out = problem.train, problem.held_out
    config = tabular.settled(config, len(train.rows))
    if data.layout.table is not None:
        network = tabular.build(config, data, train.rows, outputs(data), problem.loss)
    else:
        network = build(config, data.task, data.layout.row_shape, outputs(data), problem.loss)
    stopwatch = Stopwatch()
    batch_size = min(config.batch_size, len(train.rows))
    used, searched = rates.searched(config, network, train, make_loss(problem.loss, config), batch_size)
    history = _fitted(used, problem, network, [stopwatch], callbacks, communicator, checkpoint)
    result = Result(
        experiment="train",
        preset=data.task,
        dataset=data.name,
        device=network.device,
        backend=network.backend.name,
        dtype=config.dtype,
        precision=network.precision,
        seed=config.seed,
        timing={"data_seconds": data_seconds} | stopwatch.timing(),
        config=asdict(config)
        | {"task": data.task, "loss": problem.loss, "batch_size": batch_size}
        | {"precision": network.precision, "layers": layers_of(config, data.task, data.layout.row_shape)},
        notes=[*problem.notes, *channels_note(network)],
        history=history,
        network=network,
        description=problem.description,
    )
    if communicator.rank == 0:
        result.metrics = {"rows": len(train.rows), "validation_rows": len(held_out.rows)}
        result.metrics |= {"features": data.layout.features}
        if data.columns:
            result.metrics |= {"columns": [list(row) for row in data.columns]}
        if data.layout.shape is not None:
            result.metrics |= {"shape": list(data.layout.shape)}
        loss = make_loss(problem.loss, config)
        found = network.evaluate(held_out.x, held_out.y, loss=loss, sample_weight=held_out.weights)
        result.metrics |= {"validation_loss": found["loss"]}
        measure(result, network, data, prepared, train.rows, held_out.rows)
        rates.record(result, searched)
    return result


def _fitted(
    config: Config, problem: Problem, network: Network, watching: Sequence[Callback],
    callbacks: Sequence[Callback], communicator: Communicator, checkpoint: Checkpoint | None,
) -> History:  # fmt: skip
    """Train the network; the callbacks of `watching` come first."""
    train, held_out = problem.train, problem.held_out
    batch_size = min(config.batch_size, len(train.rows))
    stopping = [] if config.patience is None else [EarlyStopping(patience=config.patience)]
    rows_of_a_step = batch_size * config.accumulate
    waits = ReduceOnPlateau().patience if config.patience is None else max(1, config.patience // 2)
    lowering = [ReduceOnPlateau(patience=waits)] if config.schedule == "plateau" else []
    validation = (held_out.x, held_out.y)
    steps = config.epochs * -(-len(train.rows) // rows_of_a_step)
    metrics: Any = _METRICS[problem.data.task]
    if problem.data.layout.table is None:
        optimizer = make_optimizer(config, steps)
    else:
        optimizer = tabular.make_optimizer(config, network, steps)
        metrics = {"accuracy": tabular.accuracy} if metrics else ()
    return network.fit(
        train.x, train.y,
        loss=make_loss(problem.loss, config),
        optimizer=optimizer,
        epochs=config.epochs,
        batch_size=batch_size,
        sample_weight=train.weights,
        validation=validation if held_out.weights is None else (*validation, held_out.weights),
        metrics=metrics,
        callbacks=[*watching, *lowering, *stopping, *callbacks],
        checkpoint=checkpoint,
        communicator=communicator,
        on_nonfinite=config.on_nonfinite,
        accumulate=config.accumulate,
        average=config.average,
    )  # fmt: skip


def outputs(data: Labelled) -> int:
    """Return the number of outputs of a network for the data."""
    if data.task == "classification":
        return len(data.classes)
    return data.layout.features if data.y is None else int(data.y.shape[1])
