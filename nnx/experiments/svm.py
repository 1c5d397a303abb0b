"""A support-vector machine on the codes of an autoencoder that never saw a label."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nnx import checkpoints, datasets
from nnx.callbacks import Callback
from nnx.errors import ConfigurationError, DataError
from nnx.experiments import autoencoder
from nnx.experiments.result import HostArray, Result, logger, model_path
from nnx.network import Network, load

CODES_C, CODES_WIDTH = 10.0, 1.5  # C and γ · features on standardized codes; chosen without the test set
PCA_C = 5.0
CACHE = 1000  # MB of kernel rows: fewer are computed twice
OF_TRAINING = ("preset", "seed")  # what a configuration says of the network that is trained, not of a model


@dataclass(frozen=True)
class Config:
    """Configuration of the SVM experiment.

    Attributes
    ----------
    model : str or None
        A run's folder or a model file; None trains an autoencoder first, as the other fields say.
    preset, dataset, epochs, batch_size, seed, device, dtype
        As for the autoencoder.
    """

    model: str | None = None
    preset: str = "deep"
    dataset: str = "auto"
    epochs: int | None = None
    batch_size: int | None = None
    seed: int = 0
    device: str | None = None
    dtype: str = "float32"

    def autoencoder(self) -> autoencoder.Config:
        """The autoencoder to train where no model is given."""
        values = {name: value for name, value in asdict(self).items() if name != "model"}
        return autoencoder.Config(**values)


def run(config: Config, callbacks: Sequence[Callback] = (), data: datasets.Dataset | None = None) -> Result:
    """Encode, standardize, classify; beside the same on PCA's scores.

    Metrics: ``accuracy``, ``confusion_matrix`` (rows true, columns predicted), ``pca_accuracy`` and
    ``mcnemar`` (the exact test on the digits that only one of the two gets right).
    """
    notes: list[str] = []
    timing: dict[str, float] = {}
    data_seconds = 0.0
    trained: Result | None = None
    network: Network | None = None
    if config.model is not None:  # before the data: it may be none, and it says what it was trained on
        path = model_path(Path(config.model))
        network = load(path, device=config.device)
        encoder_of(network)
        about = checkpoints.read_metadata(path)
        preset = str(about.get("preset", ""))
        if config.dataset == "auto" and about.get("dataset") in autoencoder.DATASETS:
            config = replace(config, dataset=str(about["dataset"]))
    if data is None:
        data, data_seconds = autoencoder.load_data(config.autoencoder(), notes)
    if network is None:
        trained = autoencoder.run(config.autoencoder(), callbacks, data)
        assert trained.network is not None
        network, preset, timing = trained.network, config.preset, trained.timing
    encoder = encoder_of(network, data.features)
    began = time.perf_counter()
    train, test = encoder.predict(data.x_train), encoder.predict(data.x_test)
    encode_seconds = time.perf_counter() - began
    logger.info("fitting a support-vector machine on %d codes, and one on PCA's scores", len(train))
    began = time.perf_counter()
    predicted, pca_predicted = classify(data, train, test)
    right, pca_right = predicted == data.y_test, pca_predicted == data.y_test
    return Result(
        experiment="svm",
        preset=preset,
        dataset=data.name,
        device=network.device,
        backend=network.backend.name,
        dtype=network.dtype.name,
        seed=network.seed,
        metrics={
            "accuracy": float(right.mean()),
            "confusion_matrix": confusion(data.y_test, predicted),
            "pca_accuracy": float(pca_right.mean()),
            "mcnemar": mcnemar(right, pca_right),
        },
        timing=timing
        | {
            "data_seconds": data_seconds,
            "encode_seconds": encode_seconds,
            "svm_seconds": time.perf_counter() - began,
        },
        config=asdict(config) | {"dataset": data.name} | ({} if trained else dict.fromkeys(OF_TRAINING)),
        notes=notes,
        history=None if trained is None else trained.history,
        network=None if trained is None else network,
        arrays={
            "images": data.x_test,
            "y_true": data.y_test,
            "y_pred": predicted,
            "image_shape": np.asarray(data.image_shape),
        },
    )


def encoder_of(network: Network, features: int | None = None) -> Network:
    """The encoder, if the network is an autoencoder (for images of that size).

    Raises
    ------
    ConfigurationError
        If it does not say which layer is the code.
    DataError
        If it was trained on images of another size.
    """
    if network.code is None:
        raise ConfigurationError(
            "this model does not say which layer is its code: train it with nnx run autoencoder"
        )
    if features is not None and network.inputs != features:
        raise DataError(
            f"this model encodes rows of {network.inputs} numbers, but the data has {features} in each: "
            "give it what it was trained on"
        )
    return network[: network.code]


def code_classifier(width: int) -> Any:
    """An unfitted classifier of codes of that width: standardization, then an SVM with an RBF kernel."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    return make_pipeline(StandardScaler(), SVC(C=CODES_C, gamma=CODES_WIDTH / width, cache_size=CACHE))


def classify(data: datasets.Dataset, train: HostArray, test: HostArray) -> tuple[HostArray, HostArray]:
    """Predicted test labels from standardized codes and from PCA's scores, the two fits side by side."""
    from joblib import Parallel, delayed
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import SVC

    width = train.shape[1]
    on_codes = code_classifier(width)
    on_scores = make_pipeline(
        PCA(width, svd_solver="covariance_eigh"), SVC(C=PCA_C, gamma="scale", cache_size=CACHE)
    )

    def fitted(model: Any, x: HostArray, x_test: HostArray) -> HostArray:
        predicted: HostArray = model.fit(x, data.y_train).predict(x_test)
        return predicted

    # threads: libsvm releases the interpreter's lock, and no copy of the data is made
    predicted, pca_predicted = Parallel(n_jobs=2, backend="threading")(
        [delayed(fitted)(on_codes, train, test), delayed(fitted)(on_scores, data.x_train, data.x_test)]
    )
    return predicted, pca_predicted


def confusion(y_true: HostArray, y_pred: HostArray) -> list[list[int]]:
    """Counts, rows true and columns predicted."""
    from sklearn.metrics import confusion_matrix

    return [[int(count) for count in row] for row in confusion_matrix(y_true, y_pred)]


def mcnemar(right: HostArray, other: HostArray) -> dict[str, float]:
    """McNemar's exact test of whether two classifiers err equally often.

    Returns
    -------
    dict
        ``only_codes``, ``only_pca``: digits that one alone gets right; ``p_value``: two-sided binomial.

    References
    ----------
    McNemar (1947), Note on the sampling error of the difference between correlated proportions.
    """
    from scipy.stats import binomtest

    only, others = int((right & ~other).sum()), int((~right & other).sum())
    p = float(binomtest(only, only + others).pvalue) if only + others else 1.0
    return {"only_codes": only, "only_pca": others, "p_value": p}
