"""Show how the preset `best` was chosen: variants trained on 50,000 images, judged on the other 10,000.

Run by hand:  NNX_DATA_DIR=… python benchmarks/choose_best.py (about 25 minutes on two cores)

The test set is never read. Each variant leaves out one part of the preset; its codes go to the SVM of ``nnx
run svm``.
"""

from __future__ import annotations

from dataclasses import replace

import click
import numpy as np

from nnx import datasets
from nnx.experiments import autoencoder, svm
from nnx.experiments.codes import encoder_of
from nnx.metrics import mean_squared_error

BEST = autoencoder.PRESETS["best"]
VARIANTS = {
    "neither pretraining nor distortion": replace(BEST, pretraining=None, distortion=None),
    "distortion": replace(BEST, pretraining=None),
    "pretraining": replace(BEST, distortion=None),
    "both (the preset)": BEST,
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
@click.option("--seed", default=0, show_default=True)
@click.option("--only", type=click.Choice(list(VARIANTS)), default=None)
def main(seed: int, only: str | None) -> None:
    """Print a line for each variant."""
    data = held_out(datasets.load_mnist())
    for name, preset in VARIANTS.items():
        if only not in (None, name):
            continue
        network = autoencoder.build(autoencoder.Config("best", seed=seed))
        autoencoder.train(network, preset, data.x_train, data, [])
        error = mean_squared_error(data.x_test, network.predict(data.x_test))
        encoder = encoder_of(network, data.features)
        right, pca_right = (
            (labels == data.y_test).mean()
            for labels in svm.classify(data, encoder.predict(data.x_train), encoder.predict(data.x_test))
        )
        click.echo(f"{name:36} MSE {error:.5f}  SVM {right:.4f}  (PCA {pca_right:.4f})")


if __name__ == "__main__":
    main()
