"""The MNIST autoencoder: 784 numbers through a code of 64 and back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nnx import datasets
from nnx.callbacks import Callback
from nnx.errors import ConfigurationError, nearest
from nnx.experiments.result import HostArray, Result, Stopwatch, logger
from nnx.layers import Dense, ReLU, Sigmoid
from nnx.losses import BinaryCrossEntropy, Loss, MeanSquaredError
from nnx.metrics import binary_cross_entropy, mean_squared_error
from nnx.network import Network
from nnx.optimizers import SGD, Adam, Optimizer
from nnx.schedules import Cosine

CODE = 64
DIGITS_CODE = 16  # of 64 pixels: at 64 the code would hold the image itself
DATASETS = ("auto", "mnist", "digits")
DRAWN = 2000  # test codes kept for the map


@dataclass(frozen=True)
class Preset:
    """An architecture and how it is trained.

    Attributes
    ----------
    hidden : tuple of int
        Widths between the image and the code; the decoder mirrors them.
    initializer : str
    loss : callable
        Makes the loss.
    optimizer : callable
        Makes the optimizer for a number of steps.
    batch_size, epochs : int
    rows : int or None
        How many training images are used; None for all.
    """

    hidden: tuple[int, ...]
    initializer: str
    loss: Callable[[], Loss]
    optimizer: Callable[[int], Optimizer]
    batch_size: int
    epochs: int
    rows: int | None = None


PRESETS = {
    "deep": Preset(
        hidden=(512, 256, 128),
        initializer="he_normal",
        loss=BinaryCrossEntropy,
        optimizer=lambda steps: Adam(Cosine(1e-3, steps)),
        batch_size=256,
        epochs=20,
    ),
    "shallow": Preset(
        hidden=(128,),
        initializer="glorot_uniform",
        loss=lambda: MeanSquaredError(reduction="sum_over_features"),
        optimizer=lambda steps: SGD(0.05),
        batch_size=256,
        epochs=50,
        rows=56_000,
    ),
    "best": Preset(
        hidden=(512,),
        initializer="he_normal",
        loss=BinaryCrossEntropy,
        optimizer=lambda steps: Adam(Cosine(1e-3, steps)),
        batch_size=128,
        epochs=60,
    ),
}


@dataclass(frozen=True)
class Config:
    """Configuration of the autoencoder experiment.

    Attributes
    ----------
    preset : {"deep", "shallow", "best"}
    dataset : {"auto", "mnist", "digits"}
    epochs, batch_size : int or None
        None takes the preset's (on the digits: batches of 32, five times the epochs, for there are 42 times
        fewer images).
    seed : int
    device : str or None
    dtype : {"float32", "float64"}
    """

    preset: str = "deep"
    dataset: str = "auto"
    epochs: int | None = None
    batch_size: int | None = None
    seed: int = 0
    device: str | None = None
    dtype: str = "float32"

    def chosen(self) -> Preset:
        """The preset by its name.

        Raises
        ------
        ConfigurationError
            If it is unknown.
        """
        if self.preset not in PRESETS:
            raise ConfigurationError(
                f"the autoencoder has no preset {self.preset!r}{nearest(self.preset, PRESETS)}"
            )
        return PRESETS[self.preset]


def widths(preset: Preset, features: int) -> tuple[list[int], int]:
    """(hidden widths, code) for images of `features` pixels; narrower for smaller ones, by the root."""
    if features == 784:
        return list(preset.hidden), CODE
    shrink = (features / 784) ** 0.5
    return [max(DIGITS_CODE, round(width * shrink)) for width in preset.hidden], DIGITS_CODE


def build(config: Config, features: int = 784) -> Network:
    """The network with its initial weights; ``network[:network.code]`` encodes."""
    preset = config.chosen()
    hidden, code = widths(preset, features)
    layers: list[Any] = []
    inputs = features
    for width in hidden:
        layers += [Dense(inputs, width, initializer=preset.initializer), ReLU()]
        inputs = width
    layers.append(Dense(inputs, code, initializer=preset.initializer))
    coded = len(layers)
    inputs = code
    for width in reversed(hidden):
        layers += [Dense(inputs, width, initializer=preset.initializer), ReLU()]
        inputs = width
    layers += [Dense(inputs, features, initializer=preset.initializer), Sigmoid()]
    network = Network(layers, device=config.device, dtype=config.dtype, seed=config.seed)
    network.code = coded
    return network


def load_data(config: Config, notes: list[str]) -> tuple[datasets.Dataset, float]:
    """The data set and the seconds it took; a replacement is logged and told in `notes`.

    Raises
    ------
    ConfigurationError
        If the data set is not one of images.
    """
    if config.dataset not in DATASETS:
        raise ConfigurationError(
            f"there are no images called {config.dataset!r}{nearest(config.dataset, DATASETS)}"
        )
    fetched: set[str] = set()

    def fall_back(message: str) -> None:
        logger.warning(message)
        notes.append(message)

    def fetching(file: str, received: int, size: int | None) -> None:
        if file not in fetched:
            fetched.add(file)
            logger.info("fetching %s", file)

    began = time.perf_counter()
    data = datasets.load(config.dataset, dtype=config.dtype, on_fallback=fall_back, progress=fetching)
    return data, time.perf_counter() - began


def run(config: Config, callbacks: Sequence[Callback] = (), data: datasets.Dataset | None = None) -> Result:
    """Train on the training images, measure on the test images, beside PCA with as many components.

    Metrics: ``test_mse`` per pixel, ``test_mse_per_image`` (summed over pixels), ``test_bce``,
    ``pca_test_mse``.
    """
    preset = config.chosen()
    notes: list[str] = []
    data_seconds = 0.0
    if data is None:
        data, data_seconds = load_data(config, notes)
    small = data.name != "mnist"
    batch_size = config.batch_size or (32 if small else preset.batch_size)
    epochs = config.epochs or preset.epochs * (5 if small else 1)
    x = data.x_train[: preset.rows]
    network = build(config, data.features)
    stopwatch = Stopwatch()
    history = network.fit(
        x, x,
        loss=preset.loss(),
        optimizer=preset.optimizer(epochs * -(-len(x) // batch_size)),
        epochs=epochs,
        batch_size=batch_size,
        validation=(data.x_test, data.x_test),
        callbacks=[stopwatch, *callbacks],
    )  # fmt: skip
    reconstructed = network.predict(data.x_test)
    mse = mean_squared_error(data.x_test, reconstructed)
    codes = network[: network.code].predict(data.x_test[:DRAWN])
    return Result(
        experiment="autoencoder",
        preset=config.preset,
        dataset=data.name,
        device=network.device,
        backend=network.backend.name,
        dtype=config.dtype,
        seed=config.seed,
        metrics={
            "test_mse": mse,
            "test_mse_per_image": mse * data.features,
            "test_bce": binary_cross_entropy(data.x_test, reconstructed),
            "pca_test_mse": pca_error(x, data.x_test, codes.shape[1]),
        },
        timing={"data_seconds": data_seconds} | stopwatch.timing(),
        config=asdict(config) | {"dataset": data.name, "epochs": epochs, "batch_size": batch_size},
        notes=notes,
        history=history,
        network=network,
        arrays={
            "originals": data.x_test[:DRAWN],
            "reconstructions": reconstructed[:DRAWN],
            "codes": codes,
            "labels": data.y_test[:DRAWN],
            "image_shape": np.asarray(data.image_shape),
        },
    )


def pca_error(x_train: HostArray, x_test: HostArray, components: int) -> float:
    """The mean squared error per pixel of PCA, the best linear code of that size."""
    from sklearn.decomposition import PCA

    pca = PCA(components, svd_solver="covariance_eigh").fit(x_train)
    return mean_squared_error(x_test, pca.inverse_transform(pca.transform(x_test)))
