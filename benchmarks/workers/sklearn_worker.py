"""Run scikit-learn in turns: `MLPClassifier` for cross-entropies, `MLPRegressor` for the squared error."""

from __future__ import annotations

import warnings

import numpy as np
import sklearn
from protocol import Gate, take_turns, weights
from sklearn.neural_network import MLPClassifier, MLPRegressor


def main() -> None:
    """Train in turns."""
    gate = Gate()
    job, arrays = gate.job, gate.arrays()
    values = weights(arrays)
    x, y = arrays["x"], arrays["y"]
    classifies = job["activations"][-1] in ("softmax", "sigmoid")
    # It uses the gradient of ½ Σ over the features, so Adam's ε is scaled too; its loss is half of ours.
    scale = 1.0 if classifies else y.shape[1] / 2
    model = (MLPClassifier if classifies else MLPRegressor)(
        hidden_layer_sizes=[W.shape[1] for W, _ in values[:-1]],
        activation=job["activations"][0],
        solver=job["optimizer"],
        learning_rate_init=job["rate"],
        epsilon=job["epsilon"] * scale,
        alpha=0.0,
        batch_size=job["batch"],
        momentum=0.0,
        shuffle=False,
        random_state=0,
        tol=0.0,
        n_iter_no_change=10**9,
    )
    target = y.ravel() if classifies else y
    warnings.simplefilter("ignore")  # it warns of a batch as large as the data
    model.partial_fit(x, target, **({"classes": np.unique(target)} if classifies else {}))
    steps_a_pass = len(x) // job["batch"]

    def restore() -> None:
        """Set the initial weights and a new optimizer in place: the model has no public way to do so."""
        for i, (W, b) in enumerate(values):
            model.coefs_[i][...], model.intercepts_[i][...] = W, b
        for slot in getattr(model._optimizer, "ms", []) + getattr(model._optimizer, "vs", []):
            slot[...] = 0.0
        model._optimizer.t = 0
        model.t_ = 0

    restore()

    def turn(steps: int) -> float:
        if job["restart"]:
            restore()
        rows = slice(steps * job["batch"])
        for _ in range(max(1, steps // steps_a_pass)):
            model.partial_fit(x[rows], target[rows])
        return float(model.loss_) * (1.0 if classifies else 2.0)

    take_turns(gate, turn, version=sklearn.__version__)


if __name__ == "__main__":
    main()
