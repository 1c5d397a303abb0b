"""The MNIST classifier: a small convolutional network, trained on the images and slightly distorted ones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nnx import datasets
from nnx.callbacks import Callback, History
from nnx.checkpoints import Checkpoint
from nnx.distributed import ALONE, Communicator
from nnx.experiments import autoencoder, convolutions
from nnx.experiments.autoencoder_presets import warm_cosine
from nnx.experiments.declaration import Experiment, Table
from nnx.experiments.distortion import Affine
from nnx.experiments.options import BATCH_SIZE, DATASET, EPOCHS, ON_NONFINITE
from nnx.experiments.precision import Precise
from nnx.experiments.result import Result, Stopwatch
from nnx.experiments.stages import stage
from nnx.experiments.svm import confusion
from nnx.experiments.train.ranges import Range
from nnx.layers import Dense, Layer, Reshape, Softmax
from nnx.layers.assembly import assembled
from nnx.layers.words import activated, read_layers
from nnx.libraries import EXPERIMENTS, require
from nnx.losses import CategoricalCrossEntropy
from nnx.metrics import accuracy
from nnx.network import Network
from nnx.optimizers import AdamW

LAYERS = (
    "conv2d 32 3 padding=same", "max_pool2d", "conv2d 64 3 padding=same", "max_pool2d",
    "conv2d 64 3 padding=same", "128", "dropout 0.4",
)  # fmt: skip
RATE, WEIGHT_DECAY = 3e-3, 1e-2
DISTORTION = Affine(rotation=8, scale=0.1, shear=0.1, shift=1.5, share=0.8)
MNIST_EPOCHS, DIGITS_EPOCHS = 8, 40
MNIST_BATCH, DIGITS_BATCH = 128, 32


@dataclass(frozen=True)
class Config(Precise):
    """Configuration of the classifier experiment.

    Attributes
    ----------
    dataset : {"auto", "mnist", "digits"}
    epochs, batch_size : int or None
        None means 8 epochs with batches of 128; on the digits 40 with batches of 32.
    seed : int
    device : str or None
    dtype, precision : str
        The precision of the network, see `nnx.Network`; "" means float32. `dtype` is the older name.
    on_nonfinite : {"stop", "skip", "rollback"}
        What to do if a loss or gradient is not finite, see `Network.fit`.
    """

    dataset: str = "auto"
    epochs: int | None = None
    batch_size: int | None = None
    seed: int = 0
    device: str | None = None
    dtype: str = ""
    on_nonfinite: str = "stop"
    precision: str = ""

    def loading(self) -> autoencoder.Config:
        """Return the configuration by which the images are loaded."""
        return autoencoder.Config(dataset=self.dataset, dtype=self.dtype)


def build(
    config: Config, shape: tuple[int, ...] = (28, 28), classes: int = 10, dropout: bool = True
) -> Network:
    """Return the network with its initial weights, for flat rows of images of this shape."""
    image = (*shape, 1) if len(shape) == 2 else shape
    texts = [text for text in LAYERS if dropout or not text.startswith("dropout")]
    hidden = assembled(activated(read_layers(texts), initializer="he_normal"), image)
    layers: list[Layer] = [Reshape(image), *hidden, Dense(classes), Softmax()]
    network = Network(layers, device=config.device, precision=config.precision, seed=config.seed)
    return network.build(math.prod(shape))


def settled(config: Config, data: datasets.Dataset) -> tuple[int, int]:
    """Return epochs and batch size: those of the configuration, or the usual ones of the data."""
    small = data.name != "mnist"
    epochs = config.epochs or (DIGITS_EPOCHS if small else MNIST_EPOCHS)
    return epochs, config.batch_size or (DIGITS_BATCH if small else MNIST_BATCH)


def run(
    config: Config,
    callbacks: Sequence[Callback] = (),
    data: datasets.Dataset | None = None,
    communicator: Communicator = ALONE,
    checkpoint: Checkpoint | None = None,
) -> Result:
    """Train on the training images, and measure on the test images.

    Metrics: ``accuracy``, ``mistakes``, ``loss`` (cross-entropy) and ``confusion_matrix`` (rows true, columns
    predicted), all of the test images. The validation curve is that of the test images; it is only drawn. The
    ranks of a communicator train together; rank 0 measures.
    """
    require(EXPERIMENTS, "experiments", "the classifier experiment")
    notes: list[str] = []
    data_seconds = 0.0
    if data is None:
        data, data_seconds = autoencoder.loaded(config.loading(), notes, communicator)
    assert data.image_shape is not None
    epochs, batch_size = settled(config, data)
    network = build(config, data.image_shape, len(np.unique(data.y_train)))
    stopwatch = Stopwatch()
    history = _fitted(
        network, data, epochs, batch_size, callbacks=[stopwatch, *callbacks], checkpoint=checkpoint,
        communicator=communicator, on_nonfinite=config.on_nonfinite,
    )  # fmt: skip
    result = Result.of(
        "classifier",
        network,
        preset="conv",
        dataset=data.name,
        timing={"data_seconds": data_seconds} | stopwatch.timing(),
        config=asdict(config)
        | {"dataset": data.name, "epochs": epochs, "batch_size": batch_size}
        | {"precision": network.precision},
        notes=notes,
        history=history,
        network=network,
        description={
            "range": Range.of_pixels().to_metadata(),
            "classes": [str(label) for label in np.unique(data.y_train)],
        },
    )
    if communicator.rank == 0:
        _measure(result, network, data)
    return result


def _fitted(
    network: Network, data: datasets.Dataset, epochs: int, batch_size: int, **options: Any
) -> History:
    steps = epochs * -(-len(data.x_train) // batch_size)
    assert data.image_shape is not None
    return network.fit(
        data.for_training(None), data.y_train,
        loss=CategoricalCrossEntropy(),
        optimizer=AdamW(warm_cosine(RATE, steps), weight_decay=WEIGHT_DECAY),
        epochs=epochs,
        batch_size=batch_size,
        validation=(data.x_test, data.y_test),
        metrics=["accuracy"],
        augment=DISTORTION.augmentation(data.image_shape),
        **options,
    )  # fmt: skip


def _measure(result: Result, network: Network, data: datasets.Dataset) -> None:
    with stage("classifying the test images"):
        measured = network.evaluate(data.x_test, data.y_test, loss=CategoricalCrossEntropy())
        predicted = network.predict(data.x_test).argmax(axis=1)
    right = float(accuracy(data.y_test, predicted))
    result.metrics = {
        "accuracy": right,
        "mistakes": int((predicted != data.y_test).sum()),
        "loss": measured["loss"],
        "confusion_matrix": confusion(data.y_test, predicted),
    }
    result.arrays = {
        "images": data.x_test,
        "y_true": data.y_test,
        "y_pred": predicted,
        "image_shape": np.asarray(data.image_shape),
    }
    result.arrays |= convolutions.observed(
        network, data.x_test, data.x_test, data.y_test, data.image_shape or ()
    )


# ---------------------------------------------------------------------------------------- how it is shown

METRICS = {
    "accuracy": "test accuracy",
    "mistakes": "mistakes on the test images",
    "loss": "test cross-entropy",
}


def tables(result: Result) -> Iterable[Table | str]:
    """Show the confusion matrix and the accuracy."""
    metrics = result.metrics
    matrix = metrics["confusion_matrix"]
    yield Table(
        "Confusion matrix (rows true, columns predicted)",
        ("", *(str(label) for label in range(len(matrix)))),
        [(str(label), *(str(count) for count in row)) for label, row in enumerate(matrix)],
    )
    rows = [
        (METRICS["accuracy"], f"{metrics['accuracy']:.4f}"),
        (METRICS["mistakes"], f"{metrics['mistakes']:,}"),
        (METRICS["loss"], f"{metrics['loss']:.4f}"),
    ]
    yield Table(f"Classifier on {result.dataset}", ("", ""), rows)


def figures(result: Result, reports: Any) -> dict[str, Any]:
    """Draw the confusion matrix, digits with their labels, the first filters, and activation maps."""
    matrix = np.asarray(result.metrics["confusion_matrix"])
    images, true, predicted, shape = (result.arrays[k] for k in ("images", "y_true", "y_pred", "image_shape"))
    return {
        "confusion_matrix": reports.confusion_matrix(matrix, range(len(matrix))),
        "predictions": reports.prediction_gallery(images, true, predicted, tuple(shape.tolist())),
    } | convolutions.figures(result, reports)


def verdict(result: Result) -> str:
    """Say how many test images are right."""
    found = result.metrics
    if not {"accuracy", "mistakes", "confusion_matrix"} <= found.keys():
        return ""
    total = sum(map(sum, found["confusion_matrix"]))
    return f"{found['accuracy']:.2%} of {total:,} test images are right: {found['mistakes']:,} mistakes."


EXPERIMENT = Experiment(
    name="classifier",
    summary="Classify MNIST with a convolutional network.",
    text="""Classify MNIST with a small convolutional network, trained on slightly distorted images too.

    It has three convolutions of 3 × 3, two max poolings, a dense layer with dropout, and a softmax. The
    optimizer is AdamW.

    \b
    Examples:
      nnx run classifier
      nnx run classifier --epochs 3 --out runs/classifier
      nnx predict runs/classifier image.png
    """,
    config=Config,
    run=run,
    tables=tables,
    options={
        "dataset": DATASET,
        "epochs": EPOCHS,
        "batch_size": BATCH_SIZE,
        "on_nonfinite": ON_NONFINITE,
    },
    figures=figures,
    libraries=("sklearn.metrics",),
    metrics=METRICS,
    verdict=verdict,
    distributed=True,
)
