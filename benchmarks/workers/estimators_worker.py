"""Run whole fits in turns: nnx's estimators on a device, or scikit-learn's if VARIANT is "sklearn"."""

from __future__ import annotations

import warnings
from typing import Any

import sklearn
from protocol import Gate
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from nnx.estimators import NetworkClassifier, NetworkRegressor


def build(job: dict[str, Any], variant: str, seed: int) -> Any:
    """Return the estimator of a job; scikit-learn's penalty and early stopping are off."""
    shared = {"hidden_layer_sizes": job["hidden"], "batch_size": job["batch"], "random_state": seed}
    if variant != "sklearn":
        kind = NetworkClassifier if job["classifies"] else NetworkRegressor
        return kind(epochs=job["epochs"], learning_rate=job["rate"], device=variant, **shared)
    return (MLPClassifier if job["classifies"] else MLPRegressor)(
        max_iter=job["epochs"], learning_rate_init=job["rate"], alpha=0.0, tol=0.0, n_iter_no_change=10**9,
        **shared,
    )  # fmt: skip


def main() -> None:
    """Fit once to compile and load everything, then once for each turn, with another seed each time."""
    gate = Gate()
    arrays = gate.arrays()
    warnings.simplefilter("ignore", ConvergenceWarning)  # scikit-learn warns at the last epoch
    build(gate.job | {"epochs": 1}, gate.variant, 0).fit(arrays["x"], arrays["y"])
    gate.ready(None, version=sklearn.__version__)
    seed = 0
    while True:
        model = build(gate.job, gate.variant, seed).fit(arrays["x"], arrays["y"])
        score = float(model.score(arrays["x_test"], arrays["y_test"]))
        gate.stop(score)
        seed += 1


if __name__ == "__main__":
    main()
