"""Train a support-vector machine on the codes of an autoencoder that never saw a label.

Run it:  python examples/autoencoder.py && python examples/svm.py [ROWS]

It fits the codes of the first ROWS training images (all by default; fewer is faster) and classifies all test
images. It draws the confusion matrix, and a gallery with mistakes in a frame, in ``figures/``.
"""

from __future__ import annotations

import sys

from sklearn.metrics import accuracy_score, confusion_matrix
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import nnx
from nnx import datasets, reports


def main(rows: int = 60_000) -> None:
    network = nnx.load("autoencoder.safetensors")
    data = datasets.load(nnx.checkpoints.read_metadata("autoencoder.safetensors")["dataset"])
    encoder = network[: network.encoder_length]  # a slice shares the network's parameters

    x, y = data.x_train[:rows], data.y_train[:rows]
    classifier = make_pipeline(StandardScaler(), SVC(C=10.0, cache_size=1000))
    classifier.fit(encoder.predict(x), y)
    predicted = classifier.predict(encoder.predict(data.x_test))
    print(f"{len(x)} training codes, test accuracy {accuracy_score(data.y_test, predicted):.4f}")

    assert data.image_shape is not None
    matrix = reports.confusion_matrix(confusion_matrix(data.y_test, predicted), range(10))
    gallery = reports.prediction_gallery(data.x_test, data.y_test, predicted, data.image_shape)
    print(reports.save_figure(matrix, "figures/svm_confusion.png"))
    print(reports.save_figure(gallery, "figures/svm_predictions.png"))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
