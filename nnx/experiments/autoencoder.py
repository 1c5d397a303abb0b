"""The MNIST autoencoder: 784 numbers through a code of 64 and back."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from nnx import datasets
from nnx.callbacks import Callback, History
from nnx.checkpoints import Checkpoint
from nnx.distributed import ALONE, Communicator
from nnx.errors import ConfigurationError, nearest
from nnx.experiments import autoencoder_family as family
from nnx.experiments import convolutions, variational
from nnx.experiments.autoencoder_presets import PRESETS, Preset
from nnx.experiments.declaration import Experiment, Table
from nnx.experiments.options import BATCH_SIZE, DATASET, EPOCHS, ON_NONFINITE, Rule, choice
from nnx.experiments.precision import Precise
from nnx.experiments.pretraining import fit_with_pairs
from nnx.experiments.result import HostArray, Result, Stopwatch, logger
from nnx.experiments.stages import stage
from nnx.experiments.train.ranges import Range
from nnx.layers import Dense, Flatten, Layer, Reshape, Sigmoid
from nnx.layers.activations import make as activation
from nnx.layers.assembly import assembled, reversed_layers
from nnx.layers.words import activated, read_layers
from nnx.libraries import EXPERIMENTS, require
from nnx.metrics import binary_cross_entropy, mean_squared_error
from nnx.network import Network
from nnx.optimizers import Optimizer

CODE = 64
DIGITS_CODE = 16  # of 64 pixels: at 64 the code would hold the image itself
DATASETS = DATASET.known
DRAWN = 2000  # test codes kept for the map


@dataclass(frozen=True)
class Config(Precise):
    """Configuration of the autoencoder experiment.

    Attributes
    ----------
    preset : {"deep", "shallow", "best", "conv", "denoising", "sparse", "contractive", "tied", "variational"}
    dataset : {"auto", "mnist", "digits"}
    epochs, batch_size : int or None
        None means the preset's (on the digits: batches of 32 and five times the epochs, because there are 42
        times fewer images).
    seed : int
    device : str or None
    dtype, precision : str
        The precision of the network, see `nnx.Network`; "" means float32. `dtype` is the older name.
    on_nonfinite : {"stop", "skip", "rollback"}
        What to do if a loss or gradient is not finite, see `Network.fit`.
    """

    preset: str = "deep"
    dataset: str = "auto"
    epochs: int | None = None
    batch_size: int | None = None
    seed: int = 0
    device: str | None = None
    dtype: str = ""
    on_nonfinite: str = "stop"
    precision: str = ""

    def chosen(self) -> Preset:
        """Return the preset."""
        return choice("the autoencoder has no preset", self.preset, PRESETS)


def widths(preset: Preset, features: int) -> tuple[list[int], int]:
    """Return (hidden widths, code) for images of `features` pixels; they shrink by the root of the size."""
    if features == 784:
        return list(preset.hidden), CODE
    shrink = (features / 784) ** 0.5
    return [max(DIGITS_CODE, round(width * shrink)) for width in preset.hidden], DIGITS_CODE


def build(config: Config, features: int = 784) -> Network:
    """Return the network with its initial weights; ``network[:network.encoder_length]`` encodes."""
    preset = config.chosen()
    hidden, code = widths(preset, features)
    if preset.convolutions:
        encoder, decoder = _convolutional(preset, hidden, code, math.isqrt(features))
    else:
        encoder, decoder = _dense(preset, [features, *hidden, code])
    encoder, decoder = preset.coding.layers(encoder, decoder)
    if preset.variational:
        encoder = variational.variational(encoder, code, features)
    coded = sum(len(layer.expand()) for layer in encoder)  # each activation is a layer
    layers = [*encoder, *decoder, Sigmoid()]
    network = Network(layers, device=config.device, precision=config.precision, seed=config.seed)
    network.encoder_length = coded
    return network.build(features)


def _dense(preset: Preset, sizes: Sequence[int]) -> tuple[list[Layer], list[Layer]]:
    """Return encoder and decoder of dense layers; code and output are linear."""

    def layers(widths: Sequence[int]) -> list[Layer]:
        found: list[Layer] = []
        for inputs, units in pairwise(widths):
            found += [Dense(inputs, units, initializer=preset.initializer), activation(preset.activation)]
        return found[:-1]

    return layers(sizes), layers(sizes[::-1])


def _convolutional(
    preset: Preset, hidden: Sequence[int], code: int, side: int
) -> tuple[list[Layer], list[Layer]]:
    """Return an encoder of convolutions and dense layers for flat rows of an image, and its reverse."""
    texts = [f"{text} {preset.activation}" for text in (*preset.convolutions, *hidden)]
    words = activated(read_layers([*texts, code]), code=True, initializer=preset.initializer)
    shape = (side, side, 1)
    return [Reshape(shape), *assembled(words, shape)], [*reversed_layers(words, shape), Flatten()]


def load_data(config: Config, notes: list[str]) -> tuple[datasets.Dataset, float]:
    """Return the images and the seconds that loading took; a replacement is logged and added to `notes`."""
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
    with stage("loading the data"):
        data = datasets.load(config.dataset, dtype=config.dtype, on_fallback=fall_back, progress=fetching)
    return data, time.perf_counter() - began


def settled(config: Config, data: datasets.Dataset) -> Preset:
    """Return the preset with the epochs and batch size of the configuration, adapted to the data's size."""
    preset = config.chosen()
    small = data.name != "mnist"
    epochs = config.epochs or preset.epochs * (5 if small else 1)
    before = preset.pretraining
    if before is not None:  # shorter or longer by the same factor
        before = replace(before, epochs=max(1, before.epochs * epochs // preset.epochs))
        before = replace(before, batch_size=64) if small else before
    batch_size = config.batch_size or (32 if small else preset.batch_size)
    return replace(preset, epochs=epochs, batch_size=batch_size, pretraining=before)


def train(
    network: Network, preset: Preset, x: HostArray, data: datasets.Dataset, **options: Any
) -> tuple[History, History | None]:
    """Pretrain if the preset says so, then train; return the histories of training and of pretraining.

    The options are those of `Network.fit`, and apply to both.
    """

    def optimizer(epochs: int, batch_size: int) -> Optimizer:
        return preset.optimizer(epochs * -(-len(x) // batch_size))

    shape, before, pretrained = data.image_shape, preset.pretraining, None
    assert shape is not None
    if before is not None:
        pretrained = fit_with_pairs(
            network, x, shape, before.distortion, share=1.0,
            loss=preset.loss(),
            optimizer=optimizer(before.epochs, before.batch_size),
            epochs=before.epochs,
            batch_size=before.batch_size,
            **options,
        )  # fmt: skip
    images = data.for_training(preset.rows)
    distorted = None if preset.distortion is None else preset.distortion.augmentation(shape)
    options |= {
        "loss": preset.loss(),
        "optimizer": optimizer(preset.epochs, preset.batch_size),
        "epochs": preset.epochs,
        "batch_size": preset.batch_size,
        "validation": (data.x_test, data.x_test),
    }
    if before is not None and before.kept:
        history = fit_with_pairs(network, images, shape, before.distortion, before.kept, distorted, **options)
    else:
        history = network.fit(images, images, augment=distorted, **options)
    return history, pretrained


def run(
    config: Config,
    callbacks: Sequence[Callback] = (),
    data: datasets.Dataset | None = None,
    communicator: Communicator = ALONE,
    checkpoint: Checkpoint | None = None,
) -> Result:
    """Train on the training images and measure on the test images, next to PCA with as many components.

    Metrics: ``test_mse`` per pixel, ``test_mse_per_image`` (summed over pixels), ``test_bce``,
    ``pca_test_mse``; if the preset pretrains, ``pretraining_loss`` of each epoch. The validation curve is
    that of the test images; it is only drawn. The ranks of a communicator train together; rank 0 measures.
    """
    require(EXPERIMENTS, "experiments", "the autoencoder experiment")
    notes: list[str] = []
    data_seconds = 0.0
    if data is None:
        data, data_seconds = loaded(config, notes, communicator)
    preset = settled(config, data)
    x = data.x_train[: preset.rows]
    network = build(config, data.features)
    stopwatch = Stopwatch()
    history, pretrained = train(
        network, preset, x, data, callbacks=[stopwatch, *callbacks], checkpoint=checkpoint,
        communicator=communicator, on_nonfinite=config.on_nonfinite,
    )  # fmt: skip
    result = Result.of(
        "autoencoder",
        network,
        preset=config.preset,
        dataset=data.name,
        timing={"data_seconds": data_seconds} | stopwatch.timing(),
        config=asdict(config)
        | {"dataset": data.name, "epochs": preset.epochs, "batch_size": preset.batch_size}
        | {"precision": network.precision},
        notes=notes,
        history=history,
        network=network,
        description={"range": Range.of_pixels().to_metadata()},
    )
    if communicator.rank == 0:
        _measure(result, network, x, data)
        result.metrics |= {} if pretrained is None else {"pretraining_loss": pretrained["loss"]}
    return result


def loaded(config: Config, notes: list[str], communicator: Communicator) -> tuple[datasets.Dataset, float]:
    """Call `load_data`; rank 0 first, so that the others find what it has fetched."""
    found = load_data(config, notes) if communicator.rank == 0 else None
    communicator.barrier("the loading of the data")
    return found or load_data(config, notes)


def _measure(result: Result, network: Network, x: HostArray, data: datasets.Dataset) -> None:
    with stage("reconstructing the test images"):
        reconstructed = network.predict(data.x_test)
    mse = mean_squared_error(data.x_test, reconstructed)
    codes = network[: network.encoder_length].predict(data.x_test[:DRAWN])
    result.metrics = {
        "test_mse": mse,
        "test_mse_per_image": mse * data.features,
        "test_bce": binary_cross_entropy(data.x_test, reconstructed),
        "pca_test_mse": pca_error(x, data.x_test, codes.shape[1]),
    }
    result.metrics |= family.measured(network, data.x_test, codes)
    result.arrays = {
        "originals": data.x_test[:DRAWN],
        "reconstructions": reconstructed[:DRAWN],
        "codes": codes,
        "labels": data.y_test[:DRAWN],
        "image_shape": np.asarray(data.image_shape),
    }
    shown = data.x_test[:DRAWN], data.x_test[:DRAWN], data.y_test[:DRAWN]
    if result.preset == "variational":
        variational.measure(result, network, data, result.config["seed"])
    result.arrays |= convolutions.observed(network, *shown, data.image_shape or ())


def pca_error(x_train: HostArray, x_test: HostArray, components: int) -> float:
    """Return the mean squared error per pixel of PCA, the best linear code of that size."""
    from sklearn.decomposition import PCA

    with stage(f"fitting PCA of {components} components"):
        pca = PCA(components, svd_solver="covariance_eigh").fit(x_train)
        return mean_squared_error(x_test, pca.inverse_transform(pca.transform(x_test)))


# ---------------------------------------------------------------------------------------- how it is shown

METRICS = (
    {
        "test_mse": "test MSE per pixel",
        "test_mse_per_image": "test MSE per image",
        "test_bce": "test binary cross-entropy",
        "pca_test_mse": "PCA of the same size, test MSE per pixel",
    }
    | variational.METRICS
    | family.METRICS
)


def tables(result: Result) -> Iterable[Table | str]:
    """Show the errors on the test images."""
    forms = {"test_mse": ".6f", "test_mse_per_image": ".4f", "test_bce": ".5f", "pca_test_mse": ".6f"}
    forms |= dict.fromkeys(variational.METRICS, ".2f") | {"active_numbers": "d"}
    forms |= {name: ".4g" for name in family.METRICS if name in result.metrics}
    known = {name: form for name, form in forms.items() if name in result.metrics}
    rows = [(METRICS[name], f"{result.metrics[name]:{form}}") for name, form in known.items()]
    yield Table(f"Autoencoder {result.preset} on {result.dataset}", ("", ""), rows)


def figures(result: Result, reports: Any) -> dict[str, Any]:
    """Draw a reconstruction of each digit, and the codes in the plane."""
    arrays = result.arrays
    shown = first_of_each(arrays["labels"])
    title = f"Test codes in the plane, {result.dataset}"
    return (
        {
            "reconstructions": reports.reconstructions(
                arrays["originals"][shown],
                arrays["reconstructions"][shown],
                tuple(arrays["image_shape"].tolist()),
                count=len(shown),
                labels=arrays["labels"][shown],
            ),
            "codes": reports.code_map(arrays["codes"], arrays["labels"], title=title),
        }
        | convolutions.figures(result, reports)
        | variational.figures(result, reports)
    )


def first_of_each(labels: HostArray) -> list[int]:
    """Return the index of the first sample of each label, in the order of the labels."""
    values, first = np.unique(labels, return_index=True)
    return [int(index) for _, index in sorted(zip(values, first, strict=True))]


def verdict(result: Result) -> str:
    """Compare the test error with that of PCA."""
    error, linear = (result.metrics.get(name) for name in ("test_mse", "pca_test_mse"))
    if error is None or linear is None or not (math.isfinite(error) and linear > 0):
        return ""
    change = error / linear - 1.0
    compared = f"{abs(change):.0%} {'less' if change < 0 else 'more'} error than PCA of the same size"
    advice = "" if change < 0 else " More epochs may help."
    return f"{compared}: {error:.4g} against {linear:.4g} per pixel.{advice}"


EXPERIMENT = Experiment(
    name="autoencoder",
    summary="Train an autoencoder on MNIST.",
    text="""Train an autoencoder on MNIST with a code of 64 numbers (16 on the built-in digits).

    \b
    deep     784-512-256-128-64 and back, cross-entropy, Adam, 20 epochs
    shallow  784-128-64 and back, squared error, SGD, 50 epochs
    best     the smallest error in a few minutes
    conv     convolutions down to 7 × 7 and back; takes longer

    \b
    denoising    deep, whose input loses 30% of its pixels in training
    sparse       784-512-256-64 and back, with a small Σ |code|
    contractive  784-64-784, tied, with a small ∂code/∂input
    tied         deep, whose decoder has the encoder's weights
    variational  784-400-64 and back, with drawn codes: new images, the ELBO

    \b
    Examples:
      nnx run autoencoder
      nnx run autoencoder --preset best --device gpu --out runs/best
      nnx run autoencoder --log tensorboard --log jsonl
      mpiexec -n 4 nnx run autoencoder --distributed mpi
    """,
    config=Config,
    run=run,
    tables=tables,
    options={
        "preset": Rule("name", "Layers and training of the autoencoder.", tuple(PRESETS), metavar="NAME"),
        "dataset": DATASET,
        "epochs": EPOCHS,
        "batch_size": BATCH_SIZE,
        "on_nonfinite": ON_NONFINITE,
    },
    figures=figures,
    libraries=("sklearn.decomposition",),
    metrics=METRICS,
    verdict=verdict,
    distributed=True,
)
