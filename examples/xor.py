"""XOR: four points, four hidden units, and the curve of the loss.

Run it:  python examples/xor.py [EPOCHS]

It prints the loss every 500 epochs and the four predictions. It draws the loss curve, and the output between
the four points, in ``figures/``.
"""

from __future__ import annotations

import sys

import nnx
from nnx import datasets, reports


def main(epochs: int = 5000) -> None:
    data = datasets.load_xor()
    x, y = data.x_train, data.y_train

    network = nnx.Network([nnx.Dense(2, 4), nnx.Tanh(), nnx.Dense(1), nnx.Sigmoid()], seed=0)
    print(network.summary())

    history = network.fit(
        x,
        y,
        loss=nnx.MeanSquaredError(),
        optimizer=nnx.SGD(0.5),
        epochs=epochs,
        batch_size=len(x),  # the full batch in every step
        callbacks=[nnx.Progress(every=500)],
    )

    for point, target, output in zip(x, y, network.predict(x), strict=True):
        print(f"{point[0]:.0f} xor {point[1]:.0f} = {target[0]:.0f}, predicted {output[0]:.4f}")

    print(reports.save_figure(reports.learning_curve(history, log_scale=True), "figures/xor_loss.png"))
    surface = reports.decision_surface(lambda points: network.predict(points), x, y)
    print(reports.save_figure(surface, "figures/xor_surface.png"))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
