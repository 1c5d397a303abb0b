"""scikit-learn estimators: a network described by parameters, trained by `fit`.

They go wherever scikit-learn's own go: pipelines, searches, `clone`, joblib, pickles. Importing this module
imports scikit-learn.
"""

from nnx.libraries import needed

with needed("estimators", "nnx.estimators"):
    from nnx.estimators.autoencoder import Autoencoder
    from nnx.estimators.supervised import NetworkClassifier, NetworkRegressor

__all__ = ["Autoencoder", "NetworkClassifier", "NetworkRegressor"]
