"""A grid search whose fits run on a Dask cluster, by scikit-learn's own means.

Run it:  pip install 'dask[distributed]' && python examples/grid_search_dask.py [WORKERS]

The cluster here is local; with the address of another one, ``Client("tcp://scheduler:8786")``, the same lines
run on many machines. Every fit is one process's: nothing here is distributed training.
"""

from __future__ import annotations

import sys

import joblib
import numpy as np
from dask.distributed import Client, LocalCluster
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

import nnx


class Digits(ClassifierMixin, BaseEstimator):
    """What scikit-learn asks of a classifier: parameters by name, `fit`, `predict`."""

    def __init__(self, width: int = 32, learning_rate: float = 1e-2, epochs: int = 10) -> None:
        self.width, self.learning_rate, self.epochs = width, learning_rate, epochs

    def fit(self, x: np.ndarray, y: np.ndarray) -> Digits:
        """Train a network of its own."""
        self.classes_ = np.unique(y)
        layers = [nnx.Dense(self.width), nnx.ReLU(), nnx.Dense(len(self.classes_)), nnx.Softmax()]
        self.network_ = nnx.Network(layers, device="numpy", seed=0)
        self.network_.fit(
            x, np.searchsorted(self.classes_, y),
            loss=nnx.CategoricalCrossEntropy(), optimizer=nnx.Adam(self.learning_rate),
            epochs=self.epochs, batch_size=64,
        )  # fmt: skip
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The likeliest label of each row."""
        return self.classes_[np.argmax(self.network_.predict(x), axis=1)]


def main(workers: int = 2) -> None:
    x, y = load_digits(return_X_y=True)
    grid = {"width": [8, 64], "learning_rate": [1e-3, 1e-2]}
    search = GridSearchCV(Digits(), grid, cv=3)
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster),
        joblib.parallel_config("dask"),
    ):
        search.fit(x / 16.0, y)
    for parameters, score in zip(
        search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True
    ):
        print(f"{parameters}  accuracy {score:.3f}")
    print(f"best: {search.best_params_} on {workers} workers")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
