"""Run whole fits in turns: nnx's estimators on a device, or scikit-learn's if VARIANT is "sklearn"."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from nnx.estimators import NetworkClassifier, NetworkRegressor
from nnx.experiments.compare.protocol import Gate, Job, Line, Store, serve


def build(job: Job, variant: str, seed: int) -> Any:
    """Return the estimator of a job; scikit-learn's penalty and early stopping are off."""
    shared = {"hidden_layer_sizes": job["hidden"], "batch_size": job["batch"], "random_state": seed}
    if variant != "sklearn":
        kind = NetworkClassifier if job["classifies"] else NetworkRegressor
        return kind(epochs=job["epochs"], learning_rate=job["rate"], device=variant, **shared)
    return (MLPClassifier if job["classifies"] else MLPRegressor)(
        max_iter=job["epochs"], learning_rate_init=job["rate"], alpha=0.0, tol=0.0, n_iter_no_change=10**9,
        **shared,
    )  # fmt: skip


def turns(line: Line, store: Store, job: Job) -> dict[str, Any]:
    """Fit once to compile and load everything, then once for each turn, with another seed each time."""
    warnings.simplefilter("ignore", ConvergenceWarning)  # scikit-learn warns at the last epoch
    gate, variant, seed = Gate(line), sys.argv[2], 0
    with np.load(store.folder / "arrays.npz") as arrays:
        x, y, x_test, y_test = (arrays[name] for name in ("x", "y", "x_test", "y_test"))
    build(job | {"epochs": 1}, variant, 0).fit(x, y)
    more = gate.open(loss=None)
    while more:
        model = build(job, variant, seed).fit(x, y)
        more = gate.stop(loss=float(model.score(x_test, y_test)))
        seed += 1
    return {}


if __name__ == "__main__":
    about = {"versions": {"scikit-learn": sklearn.__version__}}
    serve(Path(sys.argv[1]), {"turns": turns}, about, Line())
