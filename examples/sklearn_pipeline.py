"""MNIST as a scikit-learn pipeline: an autoencoder, its codes standardized, a support-vector machine.

Run it:  python examples/sklearn_pipeline.py [EPOCHS] [ROWS]

The autoencoder sees only pixels. It uses the first ROWS training images (all by default; fewer is faster) and
all test images. Without MNIST, it uses scikit-learn's 8×8 digits.
"""

from __future__ import annotations

import sys

from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import nnx
from nnx import datasets
from nnx.estimators import Autoencoder


def main(epochs: int = 20, rows: int = 60_000) -> None:
    data = datasets.load("auto", on_fallback=print)
    x, y = data.x_train[:rows], data.y_train[:rows]
    autoencoder = Autoencoder(
        64, (512, 256), loss="binary_cross_entropy", epochs=epochs, callbacks=[nnx.Progress()], random_state=0
    )
    model = make_pipeline(autoencoder, StandardScaler(), SVC(C=10.0, cache_size=1000))
    model.fit(x, y)
    kept = model[0].score(data.x_test)
    print(f"{data.source}: {len(x)} rows, variance kept by 64 numbers {kept:.3f}")
    print(f"test accuracy {model.score(data.x_test, data.y_test):.4f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
