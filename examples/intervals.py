"""Prediction intervals: quantiles, a mean with its spread, and intervals with a guaranteed coverage.

Run it:  python examples/intervals.py [EPOCHS] [ROWS]

The noise of the targets grows with x, so the intervals should too. Four models predict intervals that should
contain 80% of new targets. The table shows how many they contain, for all rows and for the half with more
noise, and how wide they are.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

import nnx
from nnx.estimators import ConformalRegressor, NetworkRegressor

CONFIDENCE = 0.8
LEVELS = (0.1, 0.5, 0.9)


def noisy(rows: int, seed: int) -> tuple[Any, Any]:
    """Return inputs of shape (rows, 1), and targets."""
    generator = np.random.default_rng(seed)
    x = generator.uniform(0.0, 1.0, (rows, 1))
    return x, np.sin(5.0 * x[:, 0]) + (0.05 + 0.5 * x[:, 0]) * generator.standard_normal(rows)


def report(name: str, intervals: Any, x: Any, y: Any) -> None:
    """Print the coverage and the mean width of intervals of shape (rows, 2)."""
    inside = (intervals[:, 0] <= y) & (y <= intervals[:, 1])
    noise = x[:, 0] > 0.5
    width = float(np.diff(intervals, axis=1).mean())
    print(
        f"{name:34} covers {inside.mean():.3f}, with more noise {inside[noise].mean():.3f}, width {width:.2f}"
    )


def main(epochs: int = 100, rows: int = 2000) -> None:
    (x, y), (x_new, y_new) = noisy(rows, 0), noisy(5000, 1)

    def network(loss: Any) -> NetworkRegressor:
        return NetworkRegressor((32, 32), loss=loss, learning_rate=0.005, epochs=epochs, random_state=0)

    quantiles = network(nnx.Pinball(LEVELS)).fit(x, y)
    three = quantiles.predict(x_new, quantiles=LEVELS)
    assert (np.diff(three, axis=1) >= 0.0).all()  # they do not cross
    report("quantiles (Pinball)", three[:, [0, 2]], x_new, y_new)

    normal = network("gaussian").fit(x, y)
    _, deviation = normal.predict(x_new, return_std=True)
    print(f"{'':34} standard deviations from {deviation.min():.2f} to {deviation.max():.2f}")
    report("mean and spread (gaussian)", normal.predict(x_new, quantiles=(0.1, 0.9)), x_new, y_new)

    for name, loss in (
        ("conformal, residuals", "squared_error"),
        ("conformal, quantiles", nnx.Pinball(LEVELS)),
    ):
        model = ConformalRegressor(network(loss), confidence=CONFIDENCE, random_state=0).fit(x, y)
        report(name, model.predict_interval(x_new), x_new, y_new)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
