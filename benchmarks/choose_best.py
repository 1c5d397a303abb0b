"""Show how the presets `best` and `conv` were chosen: on 50,000 images, judged on the other 10,000.

Run by hand:  NNX_DATA_DIR=… python benchmarks/choose_best.py [--preset conv] [--epochs 10]

`best` takes about 25 minutes on two cores. The test set is never read. Each variant of `best` leaves out one
part of the preset; those of `conv` also have other widths, and other numbers of pairs in a batch. The codes
go to the SVM of ``nnx run svm``.
"""

from __future__ import annotations

from dataclasses import replace

import click
import numpy as np

from nnx import datasets
from nnx.experiments import autoencoder, svm
from nnx.experiments.codes import encoder_of
from nnx.metrics import mean_squared_error

BEST, CONV = autoencoder.PRESETS["best"], autoencoder.PRESETS["conv"]
ALONE = replace(CONV, pretraining=None)
BEFORE = CONV.pretraining
assert BEFORE is not None
VARIANTS = {
    "best": {
        "neither pretraining nor distortion": replace(BEST, pretraining=None, distortion=None),
        "distortion": replace(BEST, pretraining=None),
        "pretraining": replace(BEST, distortion=None),
        "both (the preset)": BEST,
    },
    "conv": {
        "convolutions, no pretraining": replace(ALONE, hidden=()),
        "with a dense layer of 256": ALONE,
        "with a dense layer of 512": replace(ALONE, hidden=(512,)),
        "of 256, pretraining, then no pairs": replace(CONV, pretraining=replace(BEFORE, kept=0.0)),
        "of 256, pretraining, then one pair": replace(CONV, pretraining=replace(BEFORE, kept=1 / 64)),
        "of 256, pretraining, then two pairs (the preset)": CONV,
        "of 512, pretraining, then two pairs": replace(CONV, hidden=(512,)),
    },
}


def held_out(data: datasets.Dataset) -> datasets.Dataset:
    """Return 50,000 training images for training, and the other 10,000 in place of the test set."""
    order = np.random.default_rng(12345).permutation(len(data.x_train))
    kept, judged = order[:50_000], order[50_000:]
    return replace(
        data,
        x_train=data.x_train[kept],
        y_train=data.y_train[kept],
        x_test=data.x_train[judged],
        y_test=data.y_train[judged],
    )


@click.command()
@click.option("--preset", type=click.Choice(list(VARIANTS)), default="best", show_default=True)
@click.option("--epochs", type=int, help="Default: as the preset. Pretraining is shorter by the same factor.")
@click.option("--seed", default=0, show_default=True)
@click.option("--only", help="A part of a variant's name.")
def main(preset: str, epochs: int | None, seed: int, only: str | None) -> None:
    """Print a line for each variant."""
    data = held_out(datasets.load_mnist())
    for name, variant in VARIANTS[preset].items():
        if only is not None and only not in name:
            continue
        autoencoder.PRESETS["variant"] = variant  # so that the experiment builds and trains it as a preset
        config = autoencoder.Config("variant", epochs=epochs, seed=seed)
        network = autoencoder.build(config)
        autoencoder.train(network, autoencoder.settled(config, data), data.x_train, data)
        error = mean_squared_error(data.x_test, network.predict(data.x_test))
        encoder = encoder_of(network, data.features)
        right, pca_right = (
            (labels == data.y_test).mean()
            for labels in svm.classify(data, encoder.predict(data.x_train), encoder.predict(data.x_test))
        )
        click.echo(f"{name:48} MSE {error:.5f}  SVM {right:.4f}  (PCA {pca_right:.4f})")


if __name__ == "__main__":
    main()
