"""A network trained on the user's own data: read, split, scaled, trained, measured on what was held out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from nnx import initializers
from nnx.callbacks import Callback, EarlyStopping
from nnx.checkpoints.models import described
from nnx.datasets.labelled import Labelled, load_labelled
from nnx.distributed import ALONE, Communicator
from nnx.errors import DataError
from nnx.experiments.own_config import Config
from nnx.experiments.own_network import build, chosen_loss, make_loss, make_optimizer, read_layers
from nnx.experiments.preparation import Preparation
from nnx.experiments.result import HostArray, Result, Stopwatch
from nnx.experiments.scaling import Scaling, parts
from nnx.metrics import accuracy, mean_absolute_error, mean_squared_error, r2
from nnx.network import Network

DRAWN = 2000  # held-out rows kept for the figures
MATRIX = 100  # classes up to which the confusion matrix is kept
_METRICS = {"classification": ("accuracy",), "regression": (), "autoencoding": ()}


def run(config: Config, callbacks: Sequence[Callback] = (), communicator: Communicator = ALONE) -> Result:
    """Train on a part of the data, measure on the rest.

    Metrics: ``rows``, ``validation_rows``, ``features``, ``validation_loss``; of a classification
    ``accuracy``, ``majority_accuracy`` (of always naming the commonest class), ``classes`` and
    ``confusion_matrix`` (rows true, columns predicted); of a regression ``mse``, ``mae`` and ``r2``, in the
    targets' own units, over all and in ``by_target``; of an autoencoder ``mse``, of the features as they
    are in the file. With a communicator its ranks train together, and the first alone measures.
    """
    read_layers(config.layers)  # what is wrong here need not wait for the data
    began = time.perf_counter()
    data = load_labelled(config.data, config.task, config.target, config.ignore, config.image_size)
    train, held_out = split(data, config.validation, config.seed)
    prepared = prepare(data, train, config.scale)
    described(prepared.to_metadata())  # what no model file could keep is refused before the training
    x, y = _part(data, prepared, train, config.dtype)
    x_held, y_held = _part(data, prepared, held_out, config.dtype)
    data_seconds = time.perf_counter() - began
    loss = chosen_loss(config, data.task, data.layout.image is not None)
    network = build(config, data.task, data.layout.features, outputs(data), loss)
    batch_size = min(config.batch_size, len(train))
    stopwatch = Stopwatch()
    watching = [] if config.patience is None else [EarlyStopping(patience=config.patience)]
    history = network.fit(
        x, y,
        loss=make_loss(loss),
        optimizer=make_optimizer(config, config.epochs * -(-len(train) // batch_size)),
        epochs=config.epochs,
        batch_size=batch_size,
        validation=(x_held, y_held),
        metrics=_METRICS[data.task],
        callbacks=[stopwatch, *watching, *callbacks],
        communicator=communicator,
        on_nonfinite=config.on_nonfinite,
    )  # fmt: skip
    result = Result(
        experiment="train",
        preset=data.task,
        dataset=data.name,
        device=network.device,
        backend=network.backend.name,
        dtype=config.dtype,
        seed=config.seed,
        timing={"data_seconds": data_seconds} | stopwatch.timing(),
        config=asdict(config) | {"task": data.task, "loss": loss, "batch_size": batch_size},
        history=history,
        network=network,
        description={"preparation": prepared.to_metadata()},
    )
    if communicator.rank == 0:
        result.metrics = {"rows": len(train), "validation_rows": len(held_out)}
        result.metrics |= {"features": data.layout.features}
        result.metrics |= {"validation_loss": network.evaluate(x_held, y_held, loss=make_loss(loss))["loss"]}
        _measure(result, network, data, prepared, held_out)
    return result


def outputs(data: Labelled) -> int:
    """How many outputs a network for the data has."""
    if data.task == "classification":
        return len(data.classes)
    return data.layout.features if data.y is None else int(data.y.shape[1])


def split(data: Labelled, share: float, seed: int) -> tuple[HostArray, HostArray]:
    """The rows to train on and those held out, drawn from the seed; of each class the same share.

    Raises
    ------
    DataError
        If a side would be empty.
    """
    order = initializers.generator(seed, "validation").permutation(len(data.x))
    if data.task == "classification":
        assert data.y is not None
        # dealt class by class, so that every stretch of the order has its share of each
        by_class = order[np.argsort(data.y[order], kind="stable")]
        counts = np.bincount(data.y)
        place = np.concatenate([(np.arange(count) + 0.5) / count for count in counts])
        order = by_class[np.argsort(place, kind="stable")]
    kept = len(order) - round(len(order) * share)
    if not 0 < kept < len(order):
        raise DataError(
            f"{data.name}: of {len(order)} rows, validation={share:g} leaves none on one side: give more rows"
        )
    return np.sort(order[:kept]), np.sort(order[kept:])


def prepare(data: Labelled, train: HostArray, scale: str) -> Preparation:
    """The scaling of features, and of a regression's targets, as the rows to train on have them."""
    values = data.y if data.task == "regression" else None
    return Preparation(
        task=data.task,
        layout=data.layout,
        inputs=Scaling.fitted(scale, data.x, train),
        outputs=None if values is None else Scaling.fitted("standard", values, train),
        classes=data.classes,
        targets=data.targets,
    )


def _part(data: Labelled, prepared: Preparation, rows: HostArray, dtype: str) -> tuple[Any, Any]:
    """Inputs and targets of some rows, as the network takes them."""
    x = prepared.inputs.rows(data.x, rows, dtype)
    if data.y is None:
        return x, x
    return x, data.y[rows] if prepared.outputs is None else prepared.outputs.apply(data.y[rows], dtype)


def _measure(
    result: Result, network: Network, data: Labelled, prepared: Preparation, rows: HostArray
) -> None:
    if data.y is None:
        _measure_coding(result, network, data, prepared, rows)
        return
    answers, true = prepared.predict(network, data.x, rows), data.y[rows]
    if data.task == "classification":
        predicted = np.argmax(answers, axis=1)
        counts = np.bincount(true, minlength=len(data.classes))
        result.metrics |= {
            "accuracy": accuracy(true, answers),
            "majority_accuracy": float(counts.max() / len(true)),
            "classes": list(data.classes),
        }
        if len(data.classes) <= MATRIX:
            cells = np.zeros((len(data.classes), len(data.classes)), np.int64)
            np.add.at(cells, (true, predicted), 1)
            result.metrics["confusion_matrix"] = cells.tolist()
        return
    names = data.targets or tuple(f"target {number + 1}" for number in range(answers.shape[1]))
    result.metrics |= _errors(true, answers) | {
        "by_target": {name: _errors(true[:, [k]], answers[:, [k]]) for k, name in enumerate(names)}
    }
    result.arrays = {"true": true[:DRAWN], "predicted": answers[:DRAWN]}


def _measure_coding(
    result: Result, network: Network, data: Labelled, prepared: Preparation, rows: HostArray
) -> None:
    """The error of an autoencoder, part by part: the data may be larger than memory."""
    squares = 0.0
    for part in parts(len(rows), data.layout.features):
        error = prepared.predict(network, data.x, rows[part]) - data.x[rows[part]]
        squares += float(np.square(error, dtype=np.float64).sum())
    result.metrics["mse"] = squares / (len(rows) * data.layout.features)
    if data.layout.image is not None and data.layout.image[2] == 1:
        shown = prepared.inputs.apply(data.x[rows[:DRAWN]], network.dtype)
        result.arrays = {
            "originals": shown,
            "reconstructions": network.predict(shown),
            "image_shape": np.asarray(data.layout.image[:2]),
        }


def _errors(true: HostArray, answers: HostArray) -> dict[str, float]:
    return {
        "mse": mean_squared_error(true, answers),
        "mae": mean_absolute_error(true, answers),
        "r2": r2(true, answers),
    }
