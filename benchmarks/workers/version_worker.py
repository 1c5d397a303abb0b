"""Train with the copy of nnx that is on the path: a turn for each line on standard input.

This program uses only what every version of nnx has, so it does not import the other benchmarks.
"""

from __future__ import annotations

import gzip
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import nnx

STEPS = {"deep": 20, "shallow": 100, "classifier": 200, "wide": 2, "xor": 5000}  # of a turn


def images(rows: int) -> tuple[Any, Any]:
    """Return images of MNIST as float32 in [0, 1], and their labels."""
    folder = Path(os.environ["NNX_DATA_DIR"])
    folder = folder / "mnist" if (folder / "mnist").is_dir() else folder
    x, y = (
        np.frombuffer(
            gzip.decompress((folder / f"train-{name}-ubyte.gz").read_bytes()), np.uint8, offset=skip
        )
        for name, skip in (("images-idx3", 16), ("labels-idx1", 8))
    )
    return x[: rows * 784].reshape(rows, 784).astype(np.float32) / np.float32(255), y[:rows].astype(np.int64)


def layers(*widths: int, last: Any) -> list[Any]:
    """Return dense layers with ReLU between them."""
    found: list[Any] = []
    for units in widths:
        found += [nnx.Dense(units) if found else nnx.Dense(784, units), nnx.ReLU()]
    return [*found[:-1], last]


def training(job: str, device: str) -> Any:
    """Return a function that takes the steps of a turn."""
    if job == "xor":
        network = nnx.Network(
            [nnx.Dense(2, 4), nnx.Tanh(), nnx.Dense(1), nnx.Sigmoid()], seed=0, device=device
        )
        x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
        y: Any = np.array([[0], [1], [1], [0]], np.float32)
        loss, optimizer, batch, epochs = nnx.MeanSquaredError(), nnx.SGD(0.5), 4, STEPS[job]
    else:
        built, loss, optimizer, batch = {
            "deep": (layers(512, 256, 128, 64, 128, 256, 512, 784, last=nnx.Sigmoid()),
                     nnx.BinaryCrossEntropy(), nnx.Adam(1e-3), 256),
            "shallow": (layers(128, 64, 128, 784, last=nnx.Sigmoid()), nnx.MeanSquaredError(),
                        nnx.SGD(1e-2), 256),
            "classifier": (layers(256, 128, 10, last=nnx.Softmax()), nnx.CategoricalCrossEntropy(),
                           nnx.Adam(1e-3), 128),
            "wide": (layers(2048, 2048, 2048, 784, last=nnx.Sigmoid()), nnx.BinaryCrossEntropy(),
                     nnx.Adam(1e-4), 1024),
        }[job]  # fmt: skip
        network = nnx.Network(built, seed=0, device=device)
        x, labels = images(STEPS[job] * batch)
        y, epochs = (labels if job == "classifier" else x), 1

    def turn() -> None:
        network.fit(x, y, loss=loss, optimizer=optimizer, batch_size=batch, epochs=epochs)

    return turn


def main() -> None:
    """Take turns, and print the milliseconds of a step in each."""
    turn = training(*sys.argv[1:3])
    turn()
    print(Path(nnx.__file__).parent, flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        turn()
        print((time.perf_counter() - began) / STEPS[sys.argv[1]] * 1e3, flush=True)


if __name__ == "__main__":
    main()
