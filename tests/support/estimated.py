"""Estimators, and the flowers and digits that they are fitted on."""

from __future__ import annotations

from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.preprocessing import StandardScaler

from nnx.estimators import Autoencoder, NetworkClassifier, NetworkRegressor

X, Y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)
DIGITS, LABELS = load_digits(return_X_y=True)
DIGITS = DIGITS / 16.0

CLASSIFIER = NetworkClassifier(10, learning_rate=0.01, epochs=30, batch_size=50, random_state=0)
REGRESSOR = NetworkRegressor(10, learning_rate=0.01, epochs=30, batch_size=50, random_state=0)
AUTOENCODER = Autoencoder(2, 10, learning_rate=0.01, epochs=30, batch_size=50, random_state=0)
ALL = [AUTOENCODER, CLASSIFIER, REGRESSOR]


def outputs(estimator, x=X):
    return estimator.transform(x) if hasattr(estimator, "transform") else estimator.predict(x)


def fitted(estimator, x=X, y=Y, **options):
    return clone(estimator).set_params(**options).fit(x, y)
