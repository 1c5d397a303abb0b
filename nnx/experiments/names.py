"""Names of figures of merit for people: the terminal and the page of a run use the same ones."""

from __future__ import annotations

METRICS = {
    # autoencoder
    "test_mse": "test MSE per pixel",
    "test_mse_per_image": "test MSE per image",
    "test_bce": "test binary cross-entropy",
    "pca_test_mse": "PCA of the same size, test MSE per pixel",
    # svm
    "pca_accuracy": "SVM on PCA, test accuracy",
    "svm_engine": "SVM engine",
    "mcnemar.only_codes": "right on the codes only",
    "mcnemar.only_pca": "right on PCA only",
    "mcnemar.p_value": "McNemar's exact test, p",
    # compare
    "agree": "losses agree with Keras",
    # train
    "rows": "rows trained on",
    "validation_rows": "rows held out",
    "validation_loss": "loss on what was held out",
    "majority_accuracy": "accuracy of the commonest class",
    "balanced_accuracy": "balanced accuracy (mean recall)",
    "precision": "precision, mean of the classes",
    "f1": "F1, mean of the classes",
    "roc_auc": "ROC AUC",
    "mse": "mean squared error",
    "mae": "mean absolute error",
    "r2": "R²",
}
_OF_SVM = {"accuracy": "SVM on the codes, test accuracy"}


def metric_name(name: str, experiment: str = "") -> str:
    """The name of a metric; one without an entry is written in words."""
    if name.startswith("scaled."):
        return f"{metric_name(name.removeprefix('scaled.'))} of scaled data"
    if experiment == "svm" and name in _OF_SVM:
        return _OF_SVM[name]
    return METRICS.get(name, words(name))


def words(name: str) -> str:
    """A key of a result as words."""
    return str(name).replace("_", " ").replace(".", ": ")
