"""scikit-learn's side: `MLPClassifier` for cross-entropies, `MLPRegressor` for the squared error."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import sklearn
from sklearn.neural_network import MLPClassifier, MLPRegressor

from nnx.experiments.compare.protocol import HostArray, Job
from nnx.experiments.compare.workers.base import Model, main, rate


class Sklearn(Model):
    """An estimator that is trained by `partial_fit`; its L2 penalty and its momentum are off."""

    def __init__(self, job: Job, weights: list[tuple[HostArray, HostArray]], variant: str) -> None:
        super().__init__(job, weights, variant)
        *hidden, last = [activation for _, _, activation in job["layers"]]
        if len(set(hidden)) > 1:
            raise ValueError("scikit-learn has one activation for all hidden layers")
        how, self.classifies = job["optimizer"], last in ("softmax", "sigmoid")
        # It follows the gradient of ½ Σ over the features, so Adam's ε grows by as much; it reports half
        # the loss of nnx.
        scale = 1.0 if self.classifies else job["layers"][-1][1] / 2
        options = {"epsilon": how["options"]["epsilon"] * scale} if how["kind"] == "Adam" else {}
        self.factor = 1.0 if self.classifies else 2.0
        self.model: Any = (MLPClassifier if self.classifies else MLPRegressor)(
            hidden_layer_sizes=[units for _, units, _ in job["layers"][:-1]], activation=hidden[0],
            solver=how["kind"].lower(), learning_rate_init=rate(job, 0), alpha=0.0, momentum=0.0,
            batch_size=job["batch_size"], shuffle=False, random_state=0, tol=0.0, n_iter_no_change=10**9,
            **options,
        )  # fmt: skip

    def place(self, x: HostArray, y: HostArray) -> None:
        """Keep the arrays, and let the estimator allocate its weights."""
        self.x, self.y = x, y.ravel() if self.classifies else y
        classes = {"classes": np.unique(self.y)} if self.classifies else {}
        warnings.simplefilter("ignore")  # a batch as large as the data
        self.model.partial_fit(self.x[:1], self.y[:1], **classes)

    def restore(self) -> None:
        """Set the weights and reset the optimizer in place: the estimator has no public way to set either."""
        for i, (W, b) in enumerate(self.weights):
            self.model.coefs_[i][...], self.model.intercepts_[i][...] = W, b
        optimizer = self.model._optimizer
        for slot in getattr(optimizer, "ms", []) + getattr(optimizer, "vs", []):
            slot[...] = 0.0
        optimizer.t = 0
        self.model.t_ = 0

    def step(self, rows: Any) -> float:
        """Call `partial_fit` on one batch."""
        x, y = (self.x, self.y) if rows is None else (self.x[rows], self.y[rows])
        self.model.partial_fit(x, y)
        return float(self.model.loss_) * self.factor

    def run(self, rows: Sequence[Any]) -> list[Any]:
        """Call `partial_fit` once for all batches, which it takes in order; each gets the mean loss."""
        if rows[0] is None:
            return super().run(rows)
        return [self.step(np.concatenate(rows))] * len(rows)

    def predict(self, x: HostArray, layers: int | None = None) -> HostArray:
        """Predict probabilities, or values."""
        return np.asarray(self.model.predict_proba(x) if self.classifies else self.model.predict(x))


def about() -> dict[str, Any]:
    """Return the version; it computes on the CPU."""
    return {"gpus": 0, "versions": {"scikit-learn": sklearn.__version__}}


if __name__ == "__main__":
    main(Sklearn, about())
