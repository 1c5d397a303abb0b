"""Describe what all frameworks do: one description of network, loss, optimizer and batches for all."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from nnx import datasets
from nnx.experiments import autoencoder, classifier, xor
from nnx.experiments.compare.protocol import Job, steps_an_epoch
from nnx.experiments.compare.sides import AUTOENCODERS, CLASSIFIER, CONVOLUTIONAL, XOR
from nnx.layers import Conv2D, Dense, Layer, ReLU, Softmax
from nnx.losses import CategoricalCrossEntropy, Loss, MeanSquaredError
from nnx.network import Network
from nnx.optimizers import SGD, Adam, Optimizer

PARTS = 10  # in which XOR is trained; an autoencoder's parts are its epochs, or pieces of them
CLASSIFIER_HIDDEN, CLASSIFIER_BATCH, CLASSIFIER_EPOCHS = (256, 128), 128, 5
TIMED = 3  # parts at least, after the first (which compiles), that a median is taken of


@dataclass(frozen=True)
class Problem:
    """A network with initial weights, its data and how it is trained, as all sides receive it.

    Attributes
    ----------
    name : str
        ``"deep"``, ``"shallow"``, ``"xor_deep"``, ``"xor_shallow"``, ``"classifier"``,
        ``"convolutional"``; ``<name>.npz`` holds the weights.
    job : dict
        What a worker reads, without the task.
    epochs : int
        As the experiment of the same name trains.
    log_every : int
        Epochs between the losses that are shown.
    """

    name: str
    job: Job
    epochs: int
    log_every: int = 1

    @property
    def steps_an_epoch(self) -> int:
        """Batches an epoch, the last may be smaller."""
        return steps_an_epoch(self.job)

    @property
    def least_epochs(self) -> int:
        """Epochs in which there are enough steps for a first part and the timed ones."""
        return 1 + -(-TIMED // self.steps_an_epoch)

    def stops(self, epochs: int) -> list[int]:
        """Return the steps after which training stops: the ends of its parts.

        The first epoch of an autoencoder is one part: its last, smaller batch compiles a second time. Later
        epochs are divided into as many parts as needed for ``TIMED`` of them.
        """
        an_epoch = self.steps_an_epoch
        if an_epoch == 1:
            count = min(PARTS, epochs)
            return [epochs * (i + 1) // count for i in range(count)]
        pieces = -(-TIMED // (epochs - 1))
        ends = [an_epoch * (i + 1) // pieces for i in range(pieces)]
        return [an_epoch, *(epoch * an_epoch + end for epoch in range(1, epochs) for end in ends)]

    def steps(self, count: int, dtype: str) -> Job:
        """Return the job that reports the loss of each of the first steps."""
        return self.job | {"task": "steps", "steps": count, "dtype": dtype}

    def training(self, epochs: int, dtype: str) -> Job:
        """Return the job that trains for all epochs, in parts, and predicts."""
        schedule = dict(self.job["optimizer"]["schedule"])
        if "steps" in schedule:
            schedule["steps"] = epochs * self.steps_an_epoch
        return self.job | {
            "task": "train", "epochs": epochs, "dtype": dtype, "stops": self.stops(epochs),
            "keep": max(1, self.log_every // 10),
            "optimizer": self.job["optimizer"] | {"schedule": schedule},
        }  # fmt: skip


def describe(
    name: str,
    network: Network,
    loss: Loss,
    optimizer: Optimizer,
    data: tuple[str, str, str],
    rows: int,
    batch: int,
) -> Job:
    """Describe network, loss, optimizer and data (names of inputs, targets, test inputs) as JSON.

    ``layers`` has name, units and activation of each layer with weights, for frameworks that do not know
    nnx. With convolutions, ``stack`` has all layers: kind and arguments of each.
    """
    x, y, test = data
    reduction = None
    if isinstance(loss, MeanSquaredError):
        reduction = "sum_over_features" if loss.sums_features else "mean"
    assert type(optimizer) in (Adam, SGD)  # the two that the presets use
    names = ("beta1", "beta2", "epsilon") if isinstance(optimizer, Adam) else ()
    schedule = optimizer.schedule
    layers = []
    for layer, after in zip_longest(network.layers, network.layers[1:]):
        if isinstance(layer, Dense | Conv2D):
            linear = after is None or isinstance(after, Dense)
            activation = "linear" if linear else type(after).__name__.lower()
            layers.append([layer.name, layer.outputs, activation])
    encode = sum(isinstance(layer, Dense) for layer in network.layers[: network.encoder_length or 0])
    return {
        "name": name, "weights": name, "network": network.config(), "layers": layers, "seed": network.seed,
        "loss": {"kind": type(loss).__name__, "reduction": reduction},
        "optimizer": {
            "kind": type(optimizer).__name__, "options": {name: getattr(optimizer, name) for name in names},
            "schedule": {"kind": type(schedule).__name__} | vars(schedule),
        },
        "x": x, "y": y, "test": test, "rows": rows, "batch_size": batch, "shuffle": True, "keep": 1,
        "codes": encode if name == "deep" else 0, "inputs": network.inputs,
    } | _stack(network.layers)  # fmt: skip


def _stack(layers: Sequence[Layer]) -> Job:
    """Return ``stack`` for a network with convolutions, else nothing."""
    if not any(isinstance(layer, Conv2D) for layer in layers):
        return {}
    return {"stack": [{"kind": type(layer).__name__} | layer.config() for layer in layers]}


def problems(
    folder: Path, data: datasets.Dataset, seed: int, names: Collection[str] = (*XOR, *AUTOENCODERS)
) -> dict[str, Problem]:
    """Return the problems that are named; their data and initial weights are written to the folder.

    Weights are drawn in float64 and rounded by each side that computes in float32, so all round alike.
    """
    cases = datasets.load_xor()
    arrays = {
        "images": data.x_train, "test_images": data.x_test, "labels": data.y_train.astype(np.int32),
        "cases": cases.x_train, "targets": cases.y_train,
    }  # fmt: skip
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    found: dict[str, Problem] = {}
    for name in names:
        if name == CLASSIFIER:
            found[name] = _classifier(folder, data, seed)
        elif name == CONVOLUTIONAL:
            found[name] = _convolutional(folder, data, seed)
        elif name in XOR:
            found[name] = _xor(folder, name.removeprefix("xor_"), seed)
        else:
            found[name] = _autoencoder(folder, data, name, seed)
    return found


def _autoencoder(folder: Path, data: datasets.Dataset, preset_name: str, seed: int) -> Problem:
    config = autoencoder.Config(preset=preset_name, seed=seed, device="numpy", dtype="float64")
    preset = autoencoder.settled(config, data)
    network = autoencoder.build(config, data.features)
    rows = len(data.x_train[: preset.rows])
    batch = preset.batch_size
    save_weights(folder, preset_name, network)
    optimizer = preset.optimizer(preset.epochs * -(-rows // batch))
    images = ("images", "images", "test_images")
    job = describe(preset_name, network, preset.loss(), optimizer, images, rows, batch)
    return Problem(preset_name, job, preset.epochs)


def _xor(folder: Path, preset_name: str, seed: int) -> Problem:
    config = xor.Config(preset=preset_name, seed=seed, device="numpy", dtype="float64")
    preset = config.chosen()
    network = xor.build(config)
    name = f"xor_{preset_name}"
    save_weights(folder, name, network)
    optimizer = SGD(preset.learning_rate)
    job = describe(name, network, MeanSquaredError(), optimizer, ("cases", "targets", "cases"), 4, 4)
    return Problem(name, job, preset.epochs, preset.log_every)


def _classifier(folder: Path, data: datasets.Dataset, seed: int) -> Problem:
    """The digits by their pixels: the network that scikit-learn can build too."""
    first, *others = CLASSIFIER_HIDDEN
    layers = [Dense(data.features, first), ReLU()]
    layers += [layer for units in others for layer in (Dense(units), ReLU())]
    layers += [Dense(len(np.unique(data.y_train))), Softmax()]
    network = Network(layers, device="numpy", dtype="float64", seed=seed)
    save_weights(folder, CLASSIFIER, network)
    rows, images = len(data.x_train), ("images", "labels", "test_images")
    job = describe(CLASSIFIER, network, CategoricalCrossEntropy(), Adam(1e-3), images, rows, CLASSIFIER_BATCH)
    return Problem(CLASSIFIER, job, CLASSIFIER_EPOCHS)


def _convolutional(folder: Path, data: datasets.Dataset, seed: int) -> Problem:
    """The network of ``nnx run classifier``, without dropout and distortions: each library draws others."""
    config = classifier.Config(seed=seed, device="numpy", dtype="float64")
    assert data.image_shape is not None
    network = classifier.build(config, data.image_shape, len(np.unique(data.y_train)), dropout=False)
    save_weights(folder, CONVOLUTIONAL, network)
    rows, images = len(data.x_train), ("images", "labels", "test_images")
    epochs, batch = classifier.settled(config, data)
    loss = CategoricalCrossEntropy()
    job = describe(CONVOLUTIONAL, network, loss, Adam(1e-3), images, rows, batch)
    return Problem(CONVOLUTIONAL, job, epochs)


def save_weights(folder: Path, name: str, network: Network) -> None:
    """Write ``<name>.npz``."""
    values: dict[str, Any] = network.weights()
    np.savez(folder / f"{name}.npz", **values)
