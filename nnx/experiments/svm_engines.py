"""The libraries that compute support-vector machines: scikit-learn, or an optional one that is faster.

A faster engine is used only after it has labelled a sample as scikit-learn does, because oneDAL and cuML have
other solvers.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnx.errors import ConfigurationError, DeviceError, MissingLibraryError, NnxError, nearest
from nnx.experiments.options import Rule
from nnx.experiments.result import HostArray

AUTO = "auto"
NAMES = (AUTO, "sklearn", "sklearnex", "cuml")
OPTION = Rule(
    "name",
    "SVM library. auto: the fastest installed one that gives the same labels as scikit-learn.",
    NAMES,
)
PACKAGES = {
    "cuml": "cuml-cu13 (NVIDIA driver 580 or newer) or cuml-cu12, on Linux with an NVIDIA GPU",
    "sklearnex": "scikit-learn-intelex, on x86-64 with Linux or Windows",
    "sklearn": "scikit-learn",
}
# MB for kernel rows, so that fewer are computed twice. For oneDAL, more only cost time on 60,000 codes.
CACHE = {"sklearn": 1000, "sklearnex": 100, "cuml": 1000}
SAMPLE, SAMPLE_TEST = 4000, 2000  # rows on which an engine is compared with scikit-learn
DIFFERENT = 0.005  # largest share of different labels: there are ties, and solvers stop at other points


@dataclass(frozen=True)
class Engine:
    """A library that fits support-vector machines: its name, and the module with its ``SVC``."""

    name: str
    module: Any

    @property
    def parallel(self) -> bool:
        """Whether one fit uses the whole machine, so that two at the same time gain nothing."""
        return self.name != "sklearn"

    def svc(self, C: float, gamma: float) -> Any:
        """Return an unfitted classifier with an RBF kernel, one machine for each pair of classes.

        γ is always a number: with ``"scale"``, cuML would compute another γ for each pair of classes, while
        scikit-learn uses one for all.
        """
        more = {"decision_function_shape": "ovo"} if self.name == "cuml" else {}  # there it is how it trains
        return self.module.SVC(C=C, gamma=gamma, cache_size=CACHE[self.name], **more)


def scale(x: HostArray) -> float:
    """Return the γ that scikit-learn calls ``"scale"``: 1 / (features · variance), also in float64."""
    variance = float(np.var(x, dtype=np.float64))
    return 1.0 / (x.shape[1] * variance) if variance else 1.0


def load(name: str) -> Engine | None:
    """Import an engine and test that it computes; return None if it is not installed.

    Raises
    ------
    MissingLibraryError
        If it is installed but cannot be imported.
    DeviceError
        If it can be imported but computes nothing here: cuML without a GPU.
    """
    try:
        engine = Engine(name, importlib.import_module(f"{name}.svm"))
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] == name:
            return None
        raise _unusable(MissingLibraryError, name, "imported", error) from error
    except Exception as error:  # a library without its driver may raise anything
        raise _unusable(MissingLibraryError, name, "imported", error) from error
    try:
        points, labels = np.eye(6, dtype=np.float32), np.arange(6) % 3
        engine.svc(1.0, 1.0).fit(points, labels).predict(points)
    except Exception as error:
        raise _unusable(DeviceError, name, "used here", error) from error
    return engine


def _unusable(kind: type[NnxError], name: str, what: str, error: Exception) -> NnxError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return kind(
        f"{name} is installed but cannot be {what} ({reason}): repair it, or choose another SVM engine"
    )


def require(name: str) -> Engine:
    """Return the engine of that name; raise an error if it is not installed or does not work here."""
    engine = load(name)
    if engine is None:
        raise MissingLibraryError(
            f"the SVM engine {name} is not installed: pip install {PACKAGES[name]}; or choose sklearn"
        )
    return engine


def refuse_missing(name: str) -> None:
    """Check before training that the engine asked for is known and works here."""
    if name not in NAMES:
        raise ConfigurationError(f"there is no SVM engine called {name!r}{nearest(name, NAMES)}")
    if name != AUTO:
        require(name)


@dataclass(frozen=True)
class Sample:
    """Some rows on which an engine is compared with scikit-learn; `classifier` makes its classifier."""

    x: HostArray
    y: HostArray
    x_test: HostArray
    classifier: Callable[[Engine], Any]

    @classmethod
    def of(cls, x: HostArray, y: HostArray, x_test: HostArray, classifier: Callable[[Engine], Any]) -> Sample:
        """Return a sample spread over all of the data; it is computed in about a second."""
        rows = np.linspace(0, len(x) - 1, min(len(x), SAMPLE)).astype(int)
        test = np.linspace(0, len(x_test) - 1, min(len(x_test), SAMPLE_TEST)).astype(int)
        return cls(x[rows], y[rows], x_test[test], classifier)

    def different(self, engine: Engine) -> float:
        """Return the share of the test rows that an engine labels otherwise than scikit-learn."""
        if engine.name == "sklearn":
            return 0.0
        try:
            ours = self.labels(engine)
        except Exception as error:
            raise _unusable(DeviceError, engine.name, "used here", error) from error
        return float(np.mean(ours != self.labels(require("sklearn"))))

    def labels(self, engine: Engine) -> HostArray:
        """Fit an engine to the sample, and return its labels of the test rows."""
        return np.asarray(self.classifier(engine).fit(self.x, self.y).predict(self.x_test))


def choose(asked: str, gpu: bool, sample: Sample, notes: list[str]) -> Engine:
    """Return the engine that was asked for; for ``auto``, the first that works and labels right.

    Parameters
    ----------
    asked : str
        One of `NAMES`.
    gpu : bool
        Whether ``auto`` may choose an engine that needs a GPU.
    sample : Sample
    notes : list of str
        Notes are added to it: engines that ``auto`` left out although they are installed, and differences of
        the engine asked for from scikit-learn.
    """
    if asked != AUTO:
        engine = require(asked)
        different = sample.different(engine)
        if different > DIFFERENT:
            notes.append(f"{_disagreement(asked, different)}: another SVM engine is safer")
        return engine
    for name in ("cuml", "sklearnex") if gpu else ("sklearnex",):
        try:
            candidate = load(name)
            if candidate is None:
                continue
            different = sample.different(candidate)
        except NnxError as error:
            notes.append(f"{error}; auto did so")
            continue
        if different <= DIFFERENT:
            return candidate
        notes.append(f"{_disagreement(name, different)}: auto chose another SVM engine")
    return require("sklearn")


def _disagreement(name: str, different: float) -> str:
    return f"{name} labels {different:.1%} of a sample otherwise than scikit-learn"
