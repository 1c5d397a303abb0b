"""An autoencoder: encode an image of 784 numbers as a code of 64, and decode it again, without labels.

Run it:  python examples/autoencoder.py [EPOCHS]

It saves the network to ``autoencoder.safetensors``, which examples/svm.py loads, and draws the loss, the
reconstructions and the codes in ``figures/``. Without MNIST, it uses scikit-learn's 8×8 digits.
"""

from __future__ import annotations

import sys

import nnx
from nnx import datasets, reports


def build(features: int, hidden: int, code: int) -> nnx.Network:
    """Return encoder and decoder as one network; the first three layers are the encoder."""
    network = nnx.Network(
        [
            nnx.Dense(features, hidden, initializer="he_normal"), nnx.ReLU(),
            nnx.Dense(code, initializer="he_normal"),
            nnx.Dense(hidden, initializer="he_normal"), nnx.ReLU(),
            nnx.Dense(features), nnx.Sigmoid(),
        ],
        seed=0,
    )  # fmt: skip
    network.encoder_length = 3  # saved with the network, so that others know which layers encode
    return network


def main(epochs: int = 20) -> None:
    data = datasets.load("auto", on_fallback=print)
    hidden, code, batch_size = (512, 64, 128) if data.name == "mnist" else (64, 16, 16)
    x, x_test = data.x_train, data.x_test
    network = build(data.features, hidden, code)
    print(network.summary())

    steps = epochs * -(-len(x) // batch_size)
    history = network.fit(
        x,
        x,  # the target is the image itself
        loss=nnx.BinaryCrossEntropy(),
        optimizer=nnx.Adam(nnx.Cosine(1e-3, steps)),
        epochs=epochs,
        batch_size=batch_size,
        validation=(x_test, x_test),
        metrics=["mse"],
        callbacks=[nnx.Progress()],
    )
    network.save("autoencoder.safetensors", metadata={"dataset": data.name})

    shown = x_test[:10]
    assert data.image_shape is not None
    figures = {
        "loss": reports.learning_curve(history),
        "reconstructions": reports.reconstructions(shown, network.predict(shown), data.image_shape),
        "codes": reports.code_map(
            network[: network.encoder_length].predict(x_test[:2000]), data.y_test[:2000]
        ),
    }
    for name, figure in figures.items():
        print(reports.save_figure(figure, f"figures/autoencoder_{name}.png"))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
