"""Data that are on a GPU from the first line to the last: cleaned with CuPy, learnt by nnx, answered in CuPy.

Run it:  python examples/data_on_a_gpu.py [ROWS]

The columns stand for a table of cuDF: `frame["age"].to_cupy()` gives such an array, and a new column takes
one, `frame["risk"] = answers`. cuML's estimators take and give the same arrays. Nothing is copied to the host
but the numbers that are printed. Without a GPU, the same code runs with NumPy.
"""

from __future__ import annotations

import sys

import numpy as np

import nnx


def table(xp, rows):
    """Return columns of numbers, some of them missing, and labels of three classes."""
    generator = np.random.default_rng(0)
    columns = {name: generator.normal(mean, 0.3 * mean, rows) for name, mean in
               (("age", 50.0), ("height", 170.0), ("pulse", 70.0), ("sugar", 5.0))}  # fmt: skip
    risk = columns["age"] / 50.0 + (columns["sugar"] / 5.0 - 1.0) ** 2 * 4.0 - columns["height"] / 170.0
    labels = np.digitize(risk, np.quantile(risk, [1 / 3, 2 / 3]))
    columns["pulse"][generator.random(rows) < 0.05] = np.nan
    return {name: xp.asarray(column, dtype="float32") for name, column in columns.items()}, xp.asarray(labels)


def cleaned(xp, column):
    """Return a column in which the mean replaces what is missing, scaled to mean 0 and deviation 1."""
    missing = xp.isnan(column)
    known = xp.where(missing, xp.float32(0.0), column)
    mean = xp.sum(known) / (len(column) - xp.sum(missing))
    filled = xp.where(missing, mean, column)
    return ((filled - xp.mean(filled)) / xp.std(filled)).astype("float32")


def main(rows: int = 20_000) -> None:
    xp = nnx.resolve().xp  # CuPy if a GPU works, else NumPy
    columns, labels = table(xp, rows)
    x = xp.ascontiguousarray(xp.stack([cleaned(xp, column) for column in columns.values()], axis=1))
    train, test = slice(0, rows * 4 // 5), slice(rows * 4 // 5, None)
    network = nnx.Network([nnx.Dense(x.shape[1], 64), nnx.ReLU(), nnx.Dense(3), nnx.Softmax()], seed=0)
    network.fit(
        x[train], labels[train], loss="cross_entropy", optimizer=nnx.Adam(3e-3), batch_size=256, epochs=10
    )
    probabilities = network.predict(x[test])  # an array of xp, where x is
    right = xp.mean(xp.argmax(probabilities, axis=1) == labels[test])
    surest = xp.argsort(-probabilities[:, 2])[:5]
    print(f"{xp.__name__} on {network.device}: {rows} rows, test accuracy {float(right):.3f}")
    print("rows with the highest risk:", *(int(row) for row in surest))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
