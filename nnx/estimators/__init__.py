"""scikit-learn estimators: parameters describe a network, and `fit` trains it.

They work in pipelines, searches, `clone`, joblib and pickles, like the estimators of scikit-learn. Importing
this module imports scikit-learn.
"""

from nnx.libraries import needed

with needed("estimators", "nnx.estimators"):
    import sklearn  # noqa: F401 - first, because it is the library to name if all are missing

    from nnx.estimators.autoencoder import Autoencoder
    from nnx.estimators.intervals import ConformalRegressor
    from nnx.estimators.outlier import AutoencoderOutlier
    from nnx.estimators.regressor import NetworkRegressor
    from nnx.estimators.supervised import NetworkClassifier
    from nnx.estimators.tabular import TabularClassifier
    from nnx.estimators.tabular_regressor import TabularRegressor
    from nnx.estimators.variational import VariationalAutoencoder

__all__ = [
    "Autoencoder",
    "AutoencoderOutlier",
    "ConformalRegressor",
    "NetworkClassifier",
    "NetworkRegressor",
    "TabularClassifier",
    "TabularRegressor",
    "VariationalAutoencoder",
]
