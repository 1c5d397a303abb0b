"""A support-vector machine on the codes of an autoencoder that never saw a label."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np

from nnx import datasets
from nnx.callbacks import Callback
from nnx.checkpoints import Checkpoint
from nnx.errors import ConfigurationError
from nnx.experiments import autoencoder, codes, svm_engines
from nnx.experiments.autoencoder_presets import PRESETS
from nnx.experiments.declaration import Experiment, Table
from nnx.experiments.options import BATCH_SIZE, DATASET, EPOCHS, ON_NONFINITE, Rule
from nnx.experiments.precision import Precise
from nnx.experiments.result import HostArray, Result, logger
from nnx.experiments.stages import stage
from nnx.experiments.svm_engines import Engine, Sample
from nnx.libraries import EXPERIMENTS, require
from nnx.network import Network

CODES_C, CODES_WIDTH = 10.0, 1.5  # C and γ · features on standardized codes; chosen without the test set
PCA_C = 5.0
GROWTH = 1.5  # the time of fit and prediction grows with rows**GROWTH (measured, 4,000 to 60,000 rows)
TRAINING = (
    "preset",
    "epochs",
    "batch_size",
    "seed",
    "dtype",
    "precision",
    "on_nonfinite",
)  # no use with a model
OF_TRAINING = ("preset", "seed")  # entries of a configuration that do not describe a given model


@dataclass(frozen=True)
class Config(Precise):
    """Configuration of the SVM experiment.

    Attributes
    ----------
    model : str or None
        A run's folder or a model file; None trains an autoencoder first, by the other fields.
    preset, dataset, epochs, batch_size, seed, device, dtype, on_nonfinite, precision
        As for the autoencoder.
    svm_engine : str
        The library that fits: ``"sklearn"``, ``"sklearnex"``, ``"cuml"``; ``"auto"`` uses the fastest that is
        installed, works here, and labels as scikit-learn does.
    """

    model: str | None = None
    preset: str = "deep"
    dataset: str = "auto"
    epochs: int | None = None
    batch_size: int | None = None
    seed: int = 0
    device: str | None = None
    dtype: str = ""
    svm_engine: str = svm_engines.AUTO
    on_nonfinite: str = "stop"
    precision: str = ""

    def autoencoder(self) -> autoencoder.Config:
        """Return the configuration of the autoencoder that is trained if no model is given."""
        names = [one.name for one in fields(autoencoder.Config)]
        return autoencoder.Config(**{name: getattr(self, name) for name in names})


def run(
    config: Config,
    callbacks: Sequence[Callback] = (),
    data: datasets.Dataset | None = None,
    checkpoint: Checkpoint | None = None,
) -> Result:
    """Encode, standardize, classify; do the same on PCA's scores to compare.

    Metrics: ``accuracy``, ``confusion_matrix`` (rows true, columns predicted), ``pca_accuracy``,
    ``mcnemar`` (the exact test on the digits that only one of the two gets right) and ``svm_engine``, the
    library that fitted.
    """
    require(EXPERIMENTS, "experiments", "the SVM experiment")
    svm_engines.refuse_missing(config.svm_engine)
    notes: list[str] = []
    encoded, data, data_seconds = _encoded(config, callbacks, data, checkpoint, notes)
    network, trained = encoded.network, encoded.trained
    engine, on_codes, on_scores, seconds = compute(
        config.svm_engine, network, data, encoded.train, encoded.test, notes
    )
    right, pca_right = on_codes.predicted == data.y_test, on_scores.predicted == data.y_test
    result = Result.of(
        "svm",
        network,
        preset=encoded.preset,
        dataset=data.name,
        metrics={
            "accuracy": float(right.mean()),
            "confusion_matrix": confusion(data.y_test, on_codes.predicted),
            "pca_accuracy": float(pca_right.mean()),
            "mcnemar": mcnemar(right, pca_right),
            "svm_engine": engine.name,
        },
        timing={"data_seconds": data_seconds, "encode_seconds": encoded.seconds} | seconds,
        config=asdict(config)
        | {"dataset": data.name, "svm_engine": engine.name, "precision": network.precision},
        notes=notes,
        arrays={
            "images": data.x_test,
            "y_true": data.y_test,
            "y_pred": on_codes.predicted,
            "image_shape": np.asarray(data.image_shape),
        },
    )
    if trained is None:
        result.config |= dict.fromkeys(OF_TRAINING)
    else:
        result.history, result.network, result.description = trained.history, network, trained.description
        result.timing = trained.timing | result.timing
    return result


def _encoded(
    config: Config,
    callbacks: Sequence[Callback],
    data: datasets.Dataset | None,
    checkpoint: Checkpoint | None,
    notes: list[str],
) -> tuple[codes.Encoded, datasets.Dataset, float]:
    """Return the codes (of the given model, or of one trained for this), the data, and its loading time."""
    model, seconds = None, 0.0
    if config.model is not None:  # before the data: it may be damaged, and it names its data set
        model, preset, dataset = codes.given(config.model, config.device)
        if config.dataset == "auto" and dataset in autoencoder.DATASETS:
            config = replace(config, dataset=dataset)
    if data is None:
        data, seconds = autoencoder.load_data(config.autoencoder(), notes)
    if model is None:
        return codes.of_new(config.autoencoder(), callbacks, data, checkpoint), data, seconds
    return codes.of_given(model, preset, data, notes), data, seconds


class Classified(NamedTuple):
    """The labels that one machine predicts for the test images, and its times."""

    predicted: HostArray
    fit_seconds: float
    predict_seconds: float


def compute(
    asked: str, network: Network, data: datasets.Dataset, train: HostArray, test: HostArray, notes: list[str]
) -> tuple[Engine, Classified, Classified, dict[str, float]]:
    """Choose an engine and let it compute both machines.

    Returns
    -------
    tuple
        The engine, the results on codes and on PCA's scores, and the entries of the timing.
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
    """Return the expected seconds of both machines, from one on the sample; None for few rows."""
    if rows < 2 * len(sample.x):
        return None
    began = time.perf_counter()
    sample.labels(engine)
    pilot = time.perf_counter() - began
    return float(pilot * (rows / len(sample.x)) ** GROWTH * (2 if engine.parallel else 1))


def code_classifier(width: int, engine: Engine | None = None) -> Any:
    """Return an unfitted classifier of codes: standardization, then an SVM with an RBF kernel."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    engine = engine or svm_engines.require("sklearn")
    return make_pipeline(StandardScaler(), engine.svc(CODES_C, CODES_WIDTH / width))


def fit_both(
    data: datasets.Dataset, train: HostArray, test: HostArray, engine: Engine
) -> tuple[Classified, Classified]:
    """Fit a machine on standardized codes and one on PCA's scores."""
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
    """Predict test labels from standardized codes and from PCA's scores, by scikit-learn."""
    on_codes, on_scores = fit_both(data, train, test, svm_engines.require("sklearn"))
    return on_codes.predicted, on_scores.predicted


def confusion(y_true: HostArray, y_pred: HostArray) -> list[list[int]]:
    """Return counts, rows true and columns predicted."""
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


# ---------------------------------------------------------------------------------------- how it is shown

METRICS = {
    "accuracy": "SVM on the codes, test accuracy",
    "pca_accuracy": "SVM on PCA, test accuracy",
    "svm_engine": "SVM engine",
    "mcnemar.only_codes": "right on the codes only",
    "mcnemar.only_pca": "right on PCA only",
    "mcnemar.p_value": "McNemar's exact test, p",
}


def tables(result: Result) -> Iterable[Table | str]:
    """Show the confusion matrix, and both machines next to each other."""
    metrics, timing = result.metrics, result.timing
    matrix = metrics["confusion_matrix"]
    yield Table(
        "Confusion matrix (rows true, columns predicted)",
        ("", *(str(label) for label in range(len(matrix)))),
        [(str(label), *(str(count) for count in row)) for label, row in enumerate(matrix)],
    )
    test = metrics["mcnemar"]
    rows = [
        (METRICS["accuracy"], f"{metrics['accuracy']:.4f}"),
        (METRICS["pca_accuracy"], f"{metrics['pca_accuracy']:.4f}"),
        (METRICS["mcnemar.only_codes"], f"{test['only_codes']}"),
        (METRICS["mcnemar.only_pca"], f"{test['only_pca']}"),
        (METRICS["mcnemar.p_value"], f"{test['p_value']:.3g}"),
        (METRICS["svm_engine"], metrics["svm_engine"]),
    ]
    for what, name in (("the codes", "svm"), ("PCA", "pca_svm")):
        fit, predict = timing[f"{name}_fit_seconds"], timing[f"{name}_predict_seconds"]
        rows.append((f"fit / prediction on {what}", f"{fit:.2f} s / {predict:.2f} s"))
    yield Table(f"SVM on {result.dataset}", ("", ""), rows)


def figures(result: Result, reports: Any) -> dict[str, Any]:
    """Draw the confusion matrix, and digits with their labels."""
    matrix = np.asarray(result.metrics["confusion_matrix"])
    images, true, predicted, shape = (result.arrays[k] for k in ("images", "y_true", "y_pred", "image_shape"))
    return {
        "confusion_matrix": reports.confusion_matrix(matrix, range(len(matrix))),
        "predictions": reports.prediction_gallery(images, true, predicted, tuple(shape.tolist())),
    }


def verdict(result: Result) -> str:
    """Compare the accuracy on codes with that on PCA's scores."""
    found = result.metrics
    if not {"accuracy", "pca_accuracy"} <= found.keys():
        return ""
    ours, linear = found["accuracy"], found["pca_accuracy"]
    p = found.get("mcnemar", {}).get("p_value")
    chance = "" if p is None else f" (McNemar's test: p = {p:.2g})"
    if ours == linear:
        return f"As accurate as an SVM on PCA of the same size: {ours:.2%}{chance}."
    compared = "fewer" if ours > linear else "more"
    share = f"{abs(linear - ours) / (1.0 - linear):.0%} {compared}" if linear < 1.0 else "More"
    return (
        f"{share} errors than an SVM on PCA of the same size: "
        f"accuracy {ours:.2%} against {linear:.2%}{chance}."
    )


def check(config: Config, given: Collection[str]) -> str:
    """Refuse options of training together with a model; without a model, say that one is trained."""
    if config.model is None:
        svm_engines.refuse_missing(config.svm_engine)
        return f"no --model is given, so an autoencoder (preset {config.preset}) is trained first"
    for name in (*TRAINING, "checkpoint_every", "resume", "logs"):
        if name in given:
            option = "--log" if name == "logs" else "--" + name.replace("_", "-")
            raise ConfigurationError(f"{option} is for training, but --model is trained: leave one out")
    return ""


def unused(stored: Mapping[str, Any]) -> Collection[str]:
    """Return the options of training for a run that was given a model."""
    return TRAINING if stored.get("model") else ()


EXPERIMENT = Experiment(
    name="svm",
    summary="Classify digits with an SVM on an autoencoder's codes.",
    text="""Classify digits with an SVM on an autoencoder's codes, and for comparison on PCA's scores.

    \b
    Examples:
      nnx run svm
      nnx run svm --model runs/best
      nnx run svm --model runs/best --svm-engine sklearnex
    """,
    config=Config,
    run=run,
    tables=tables,
    options={
        "model": Rule("path", "A run's folder or a model file. Without it, an autoencoder is trained first."),
        "preset": Rule("name", "The autoencoder to train without --model.", tuple(PRESETS), metavar="NAME"),
        "dataset": DATASET,
        "epochs": EPOCHS,
        "batch_size": BATCH_SIZE,
        "svm_engine": svm_engines.OPTION,
        "on_nonfinite": ON_NONFINITE,
    },
    figures=figures,
    libraries=(
        "sklearn.decomposition", "sklearn.metrics", "sklearn.pipeline", "sklearn.preprocessing",
        "sklearn.svm", "scipy.stats", "joblib",
    ),
    metrics=METRICS,
    timing={
        "encode_seconds": "encoding all images",
        "svm_seconds": "both SVMs and PCA",
        "svm_engine_seconds": "choosing the SVM engine",
        "svm_fit_seconds": "SVM on the codes: fit",
        "svm_predict_seconds": "SVM on the codes: prediction",
        "pca_svm_fit_seconds": "SVM on PCA: fit",
        "pca_svm_predict_seconds": "SVM on PCA: prediction",
    },
    verdict=verdict,
    check=check,
    trains=lambda config: config.model is None,
    unused=unused,
)  # fmt: skip
