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
from nnx.experiments import autoencoder, svm_engines
from nnx.experiments.result import HostArray, Result, logger, model_path
from nnx.experiments.stages import stage
from nnx.experiments.svm_engines import Engine, Sample
from nnx.experiments.train.applying import Model
from nnx.layers import Softmax
from nnx.libraries import EXPERIMENTS, require
from nnx.network import Network

CODES_C, CODES_WIDTH = 10.0, 1.5  # C and γ · features on standardized codes; chosen without the test set
PCA_C = 5.0
GROWTH = 1.5  # measured exponent of the time of fit and prediction in the rows, 4,000 to 60,000
OF_TRAINING = ("preset", "seed")  # what a configuration says of the network that is trained, not of a model


@dataclass(frozen=True)
class Config:
    """Configuration of the SVM experiment.

    Attributes
    ----------
    model : str or None
        A run's folder or a model file; None trains an autoencoder first, as the other fields say.
    preset, dataset, epochs, batch_size, seed, device, dtype, on_nonfinite
        As for the autoencoder.
    svm_engine : str
        Which library fits: ``"sklearn"``, ``"sklearnex"``, ``"cuml"``; ``"auto"`` takes the fastest that is
        installed, works here, and labels as scikit-learn does.
    """

    model: str | None = None
    preset: str = "deep"
    dataset: str = "auto"
    epochs: int | None = None
    batch_size: int | None = None
    seed: int = 0
    device: str | None = None
    dtype: str = "float32"
    svm_engine: str = svm_engines.AUTO
    on_nonfinite: str = "stop"

    def autoencoder(self) -> autoencoder.Config:
        """The autoencoder to train where no model is given."""
        values = {name: value for name, value in asdict(self).items() if name not in ("model", "svm_engine")}
        return autoencoder.Config(**values)


def run(config: Config, callbacks: Sequence[Callback] = (), data: datasets.Dataset | None = None) -> Result:
    """Encode, standardize, classify; beside the same on PCA's scores.

    Metrics: ``accuracy``, ``confusion_matrix`` (rows true, columns predicted), ``pca_accuracy``,
    ``mcnemar`` (the exact test on the digits that only one of the two gets right) and ``svm_engine``, the
    library that fitted.
    """
    require(EXPERIMENTS, "experiments", "the SVM experiment")
    svm_engines.refuse_missing(config.svm_engine)
    notes: list[str] = []
    timing: dict[str, float] = {}
    data_seconds = 0.0
    trained: Result | None = None
    network: Network | None = None
    model: Model | None = None
    if config.model is not None:  # before the data: it may be none, and it says what it was trained on
        path = model_path(Path(config.model))
        model = Model.load(path, device=config.device)
        network = model.network
        encoder_of(network, name=config.model)
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
    with stage(f"encoding {len(data.x_train) + len(data.x_test):,} images"):
        if model is None:
            train, test = encoder.predict(data.x_train), encoder.predict(data.x_test)
        else:  # which may want its inputs scaled
            train, test = (model.predict(model.of_pixels(x), encoder) for x in (data.x_train, data.x_test))
            notes += model.notes
    encode_seconds = time.perf_counter() - began
    engine, on_codes, on_scores, seconds = compute(config.svm_engine, network, data, train, test, notes)
    predicted = on_codes.predicted
    right, pca_right = predicted == data.y_test, on_scores.predicted == data.y_test
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
            "svm_engine": engine.name,
        },
        timing=timing | {"data_seconds": data_seconds, "encode_seconds": encode_seconds} | seconds,
        config=asdict(config)
        | {"dataset": data.name, "svm_engine": engine.name}
        | ({} if trained else dict.fromkeys(OF_TRAINING)),
        notes=notes,
        history=None if trained is None else trained.history,
        network=None if trained is None else network,
        description={} if trained is None else trained.description,
        arrays={
            "images": data.x_test,
            "y_true": data.y_test,
            "y_pred": predicted,
            "image_shape": np.asarray(data.image_shape),
        },
    )


def encoder_of(network: Network, features: int | None = None, name: str = "this model") -> Network:
    """The encoder, if the network is an autoencoder (for images of that size).

    Raises
    ------
    ConfigurationError
        If it does not say which layer is the code.
    DataError
        If it was trained on images of another size.
    """
    if network.code is None:
        kind = "a classifier" if isinstance(network.layers[-1], Softmax) else "not an autoencoder"
        raise ConfigurationError(
            f"{name} is {kind}, it has no code: use nnx predict; codes come from an autoencoder (nnx run "
            "autoencoder, or nnx train without --target)"
        )
    if features is not None and network.inputs != features:
        raise DataError(
            f"this model encodes rows of {network.inputs} numbers, but the data has {features} in each: "
            "give it what it was trained on"
        )
    return network[: network.code]


@dataclass(frozen=True)
class Classified:
    """What one machine says of the test images.

    Attributes
    ----------
    predicted : array
    fit_seconds, predict_seconds : float
    """

    predicted: HostArray
    fit_seconds: float
    predict_seconds: float


def compute(
    asked: str, network: Network, data: datasets.Dataset, train: HostArray, test: HostArray, notes: list[str]
) -> tuple[Engine, Classified, Classified, dict[str, float]]:
    """Choose an engine and have it compute both machines.

    Returns
    -------
    tuple
        The engine, the machine on codes, the one on PCA's scores, and the entries of the timing.
    """
    began = time.perf_counter()
    sample = Sample.of(train, data.y_train, test, lambda engine: code_classifier(train.shape[1], engine))
    with network.backend.hold():  # cuML then computes on the network's GPU
        with stage("choosing an SVM engine"):
            engine = svm_engines.choose(asked, network.device.startswith("gpu"), sample, notes)
            expected = expected_seconds(engine, sample, len(train))
        chosen = time.perf_counter()
        logger.info("%s fits an SVM on %d codes, and one on PCA's scores", engine.name, len(train))
        with stage("fitting the SVMs", expected):
            on_codes, on_scores = fit_both(data, train, test, engine)
    return engine, on_codes, on_scores, {
        "svm_engine_seconds": chosen - began,
        "svm_seconds": time.perf_counter() - chosen,
        "svm_fit_seconds": on_codes.fit_seconds,
        "svm_predict_seconds": on_codes.predict_seconds,
        "pca_svm_fit_seconds": on_scores.fit_seconds,
        "pca_svm_predict_seconds": on_scores.predict_seconds,
    }  # fmt: skip


def expected_seconds(engine: Engine, sample: Sample, rows: int) -> float | None:
    """How long both machines will take on so many rows, from one on the sample; None for few rows."""
    if rows < 2 * len(sample.x):
        return None
    began = time.perf_counter()
    sample.labels(engine)
    pilot = time.perf_counter() - began
    return float(pilot * (rows / len(sample.x)) ** GROWTH * (2 if engine.parallel else 1))


def code_classifier(width: int, engine: Engine | None = None) -> Any:
    """An unfitted classifier of codes of that width: standardization, then an SVM with an RBF kernel."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    engine = engine or svm_engines.require("sklearn")
    return make_pipeline(StandardScaler(), engine.svc(CODES_C, CODES_WIDTH / width))


def fit_both(
    data: datasets.Dataset, train: HostArray, test: HostArray, engine: Engine
) -> tuple[Classified, Classified]:
    """The machine on standardized codes and the one on PCA's scores."""
    from joblib import Parallel, delayed
    from sklearn.decomposition import PCA

    width = train.shape[1]
    pca = PCA(width, svd_solver="covariance_eigh")
    scores = pca.fit_transform(data.x_train)
    on_codes = code_classifier(width, engine)
    on_scores = engine.svc(PCA_C, svm_engines.scale(scores))

    def classified(model: Any, x: HostArray, x_test: HostArray) -> Classified:
        began = time.perf_counter()
        model.fit(x, data.y_train)
        fitted = time.perf_counter()
        predicted = np.asarray(model.predict(x_test)).astype(data.y_train.dtype, copy=False)
        return Classified(predicted, fitted - began, time.perf_counter() - fitted)

    jobs = (on_codes, train, test), (on_scores, scores, pca.transform(data.x_test))
    if engine.parallel:
        first, second = (classified(*job) for job in jobs)
    else:  # threads: libsvm releases the interpreter's lock, and no copy of the data is made
        first, second = Parallel(n_jobs=2, backend="threading")(delayed(classified)(*job) for job in jobs)
    return first, second


def classify(data: datasets.Dataset, train: HostArray, test: HostArray) -> tuple[HostArray, HostArray]:
    """Predicted test labels from standardized codes and from PCA's scores, by scikit-learn."""
    on_codes, on_scores = fit_both(data, train, test, svm_engines.require("sklearn"))
    return on_codes.predicted, on_scores.predicted


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
