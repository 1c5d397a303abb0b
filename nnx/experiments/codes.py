"""Compute the codes of images with an autoencoder: one that the user gives, or one trained for this."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnx import checkpoints, datasets
from nnx.callbacks import Callback
from nnx.checkpoints import Checkpoint
from nnx.errors import ConfigurationError, DataError
from nnx.experiments import autoencoder
from nnx.experiments.result import HostArray, Result, model_path
from nnx.experiments.stages import stage
from nnx.experiments.train.applying import Model
from nnx.layers import Softmax
from nnx.network import Network


@dataclass(frozen=True)
class Encoded:
    """The codes of all images, and their autoencoder.

    Attributes
    ----------
    network : Network
    preset : str
    train, test : array
        Codes of the training and of the test images.
    seconds : float
        The time of encoding.
    trained : Result or None
        The result of the autoencoder, if it was trained for this.
    """

    network: Network
    preset: str
    train: HostArray
    test: HostArray
    seconds: float
    trained: Result | None = None


def given(place: str, device: str | None) -> tuple[Model, str, str]:
    """Return the autoencoder that a user gives, its preset, and the name of the data it was trained on."""
    path = model_path(Path(place))
    model = Model.load(path, device=device)
    encoder_of(model.network, name=place)
    about = checkpoints.read_metadata(path)
    return model, str(about.get("preset", "")), str(about.get("dataset", ""))


def of_given(model: Model, preset: str, data: datasets.Dataset, notes: list[str]) -> Encoded:
    """Return the codes of an autoencoder that the user gives, which may need its inputs scaled."""
    encoder = encoder_of(model.network, data.features)
    train, test, seconds = _codes(lambda x: model.predict(model.of_pixels(x), encoder), data)
    notes += model.notes
    return Encoded(model.network, preset, train, test, seconds)


def of_new(
    config: autoencoder.Config,
    callbacks: Sequence[Callback],
    data: datasets.Dataset,
    checkpoint: Checkpoint | None,
) -> Encoded:
    """Train an autoencoder, and return its codes."""
    trained = autoencoder.run(config, callbacks, data, checkpoint=checkpoint)
    assert trained.network is not None
    train, test, seconds = _codes(encoder_of(trained.network, data.features).predict, data)
    return Encoded(trained.network, config.preset, train, test, seconds, trained)


def _codes(
    encode: Callable[[HostArray], HostArray], data: datasets.Dataset
) -> tuple[HostArray, HostArray, float]:
    """Encode the training and the test images; return the codes and the seconds."""
    began = time.perf_counter()
    with stage(f"encoding {len(data.x_train) + len(data.x_test):,} images"):
        train, test = encode(data.x_train), encode(data.x_test)
    return train, test, time.perf_counter() - began


def encoder_of(network: Network, features: int | None = None, name: str = "this model") -> Network:
    """Return the encoder; refuse a network that is no autoencoder, or is for images of another size."""
    if network.encoder_length is None:
        kind = "a classifier" if isinstance(network.layers[-1], Softmax) else "not an autoencoder"
        raise ConfigurationError(
            f"{name} is {kind}, it has no code: use nnx predict; codes come from an autoencoder (nnx run "
            "autoencoder, or nnx train without --target)"
        )
    takes = math.prod(network.input_shape or ())
    if features is not None and takes != features:
        raise DataError(
            f"this model encodes rows of {takes} numbers, but the data has {features} in each: "
            "give it what it was trained on"
        )
    return network[: network.encoder_length]
