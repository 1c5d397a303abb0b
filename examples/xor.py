"""XOR: four points, four hidden units, and the loss on its way down.

Run it:  python examples/xor.py [EPOCHS]

Prints the loss every 500 epochs and the four predictions; draws the loss curve and the output between the
four points into ``figures/``.
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
        batch_size=len(x),  # the full batch, every time
        callbacks=[nnx.Progress(every=500)],
    )

    for point, target, output in zip(x, y, network.predict(x), strict=True):
        print(f"{point[0]:.0f} xor {point[1]:.0f} = {target[0]:.0f}, predicted {output[0]:.4f}")

    print(reports.save_figure(reports.learning_curve(history, log_scale=True), "figures/xor_loss.png"))
    surface = reports.decision_surface(lambda points: network.predict(points), x, y)
    print(reports.save_figure(surface, "figures/xor_surface.png"))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
