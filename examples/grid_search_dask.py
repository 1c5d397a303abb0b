"""Run the fits of a grid search on a Dask cluster, with scikit-learn's own tools.

Run it:  pip install 'dask[distributed]' && python examples/grid_search_dask.py [WORKERS]

The cluster here is local. With the address of another cluster, ``Client("tcp://scheduler:8786")``, the same
lines run on many machines. Each fit uses one process: this is not distributed training.
"""

from __future__ import annotations

import sys

import joblib
from dask.distributed import Client, LocalCluster
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from nnx.estimators import NetworkClassifier


def main(workers: int = 2) -> None:
    x, y = load_digits(return_X_y=True)
    network = NetworkClassifier(device="numpy", epochs=10, batch_size=64, random_state=0)
    grid = {"hidden_layer_sizes": [8, 64], "learning_rate": [1e-3, 1e-2]}
    search = GridSearchCV(network, grid, cv=3)
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
