"""Run scikit-learn in turns: `MLPClassifier` for cross-entropies, `MLPRegressor` for the squared error."""

from __future__ import annotations

from turns import InTurns, main

from nnx.experiments.compare.workers import sklearn_worker


class Sklearn(InTurns, sklearn_worker.Sklearn):
    """An estimator that is trained by `partial_fit`."""


if __name__ == "__main__":
    main(Sklearn, sklearn_worker.about())
