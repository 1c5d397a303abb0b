"""scikit-learn's own suite for estimators, whole: nothing is expected to fail."""

from __future__ import annotations

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

import nnx
from nnx.estimators import Autoencoder, NetworkClassifier, NetworkRegressor

ESTIMATORS = [Autoencoder(), NetworkClassifier(), NetworkRegressor()]


# Not the default, and still what every check is about: weights equal repeated rows, all labels are learnt.
CONFIGURATIONS = [
    Autoencoder(3, (), loss="absolute_error", optimizer="sgd", device="numpy"),
    Autoencoder(2, (20, 10), activation="tanh", device="numba"),
    NetworkClassifier((), optimizer="adamw", learning_rate=0.03, device="numpy"),
    NetworkClassifier((20, 10), activation="gelu", loss="squared_error", learning_rate=0.01),
    NetworkRegressor(30, activation="tanh", loss="huber", optimizer=nnx.Adam(0.01), device="numpy"),
    NetworkRegressor((30, 20), activation="leaky_relu", learning_rate=nnx.Step(0.01, 100, 0.5), callbacks=(),
                     device="numba"),
]  # fmt: skip


@pytest.mark.usefixtures("on_cpu")
@parametrize_with_checks([*ESTIMATORS, *CONFIGURATIONS])
def test_scikit_learn_s_suite(estimator, check, monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")  # without it one of the checks is skipped
    check(estimator)
