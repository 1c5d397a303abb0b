"""The SVM libraries: which one is chosen, and that each gives the same labels.

cuML needs a GPU. Here a module takes its place, which records its input and computes with scikit-learn.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from dataclasses import replace
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from sklearn.svm import SVC

from nnx import datasets
from nnx.cli.main import main
from nnx.errors import ConfigurationError, DeviceError, MissingLibraryError
from nnx.experiments import autoencoder, svm, svm_engines
from nnx.experiments.svm_engines import Engine, Sample

needs_sklearnex = pytest.mark.skipif(
    find_spec("sklearnex") is None, reason="scikit-learn-intelex is not installed: pip install -e '.[svm]'"
)
ENGINES = ["sklearnex", "cuml"]


@pytest.fixture(scope="module")
def digits():
    return datasets.load_digits()


@pytest.fixture(scope="module")
def model(digits, tmp_path_factory):
    """The file of an autoencoder that was trained for a moment."""
    config = autoencoder.Config("shallow", "digits", epochs=20, device="cpu")
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    autoencoder.run(config, data=digits).network.save(path, {"preset": "shallow", "dataset": "digits"})
    return str(path)


@pytest.fixture(scope="module")
def by_sklearn(model, digits):
    return svm.run(svm.Config(model, device="cpu", svm_engine="sklearn"), data=digits)


@pytest.fixture
def sample(digits):
    return Sample.of(digits.x_train, digits.y_train, digits.x_test, lambda e: svm.code_classifier(64, e))


@pytest.fixture
def none_installed(monkeypatch):
    """No accelerated engine, also where there is one."""
    for name in ENGINES:
        monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.delitem(sys.modules, f"{name}.svm", raising=False)


def install(monkeypatch, name, svc):
    package, module = ModuleType(name), ModuleType(f"{name}.svm")
    package.svm, module.SVC = module, svc
    monkeypatch.setitem(sys.modules, name, package)
    monkeypatch.setitem(sys.modules, f"{name}.svm", module)


class Right(SVC):
    """Computes as scikit-learn does, and keeps what it was handed."""

    handed: ClassVar[list[tuple]] = []

    def fit(self, x, y):
        self.handed.append((self, x, y, threading.current_thread()))
        return super().fit(x, y)


class Wrong(SVC):
    """Right about six points, and wrong about one in seven of many."""

    def predict(self, x):
        labels = super().predict(x)
        labels[::7] = 9 - labels[::7]
        return labels


class NoDevice(SVC):
    """Can be made, and not fitted."""

    def fit(self, x, y):
        raise RuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected\nmore lines")


class OutOfMemory(SVC):
    """Fits a few points only."""

    def fit(self, x, y):
        if len(x) > 100:
            raise MemoryError("std::bad_alloc: out_of_memory")
        return super().fit(x, y)


@pytest.fixture
def handed():
    """What `Right` was handed, in this test."""
    Right.handed.clear()
    return Right.handed


# ------------------------------------------------------------------------- the same labels


def same_labels(result, expected):
    np.testing.assert_array_equal(result.arrays["y_pred"], expected.arrays["y_pred"])
    assert result.metrics | {"svm_engine": "sklearn"} == expected.metrics


def test_cuml_is_handed_what_it_documents(monkeypatch, handed, model, digits, by_sklearn):
    install(monkeypatch, "cuml", Right)
    result = svm.run(svm.Config(model, device="cpu", svm_engine="cuml"), data=digits)
    same_labels(result, by_sklearn)
    assert result.metrics["svm_engine"] == result.config["svm_engine"] == "cuml"
    assert result.notes == []
    on_codes, on_scores = handed[-2:]
    for machine, x, y, thread in (on_codes, on_scores):
        assert type(x) is type(y) is np.ndarray  # host arrays, which give host arrays
        assert (x.dtype, x.flags.c_contiguous) == (np.float32, True)
        assert y.dtype.kind == "i"
        assert machine.decision_function_shape == "ovo"  # cuML would train one against the rest by "ovr"
        assert isinstance(machine.gamma, float)  # by "scale" cuML takes another for each pair of classes
        assert machine.cache_size == svm_engines.CACHE["cuml"]
        assert thread is threading.main_thread()  # one after the other
    assert (on_codes[0].C, on_scores[0].C) == (svm.CODES_C, svm.PCA_C)


def test_scale_is_the_gamma_of_scikit_learn(digits):
    x = digits.x_train[:200]
    assert svm_engines.scale(x) == SVC(gamma="scale").fit(x, digits.y_train[:200])._gamma
    assert svm_engines.scale(np.ones((4, 2))) == 1.0  # as scikit-learn has it where nothing varies


@needs_sklearnex
def test_sklearnex_labels_as_scikit_learn_does(model, digits, by_sklearn):
    result = svm.run(svm.Config(model, device="cpu", svm_engine="sklearnex"), data=digits)
    same_labels(result, by_sklearn)
    assert result.notes == []
    assert "scikit-learn-intelex" in result.versions


@pytest.mark.mnist
@needs_sklearnex
def test_sklearnex_labels_mnist_as_scikit_learn_does(mnist_directory, dtype, rng):
    data = datasets.load_mnist(mnist_directory, download=False)
    data = replace(data, x_train=data.x_train[:6000], y_train=data.y_train[:6000],
                   x_test=data.x_test[:3000], y_test=data.y_test[:3000])  # fmt: skip
    map_ = rng.normal(size=(784, 64))
    train, test = ((x @ map_).astype(dtype) for x in (data.x_train, data.x_test))
    engines = (svm_engines.require(name) for name in ("sklearnex", "sklearn"))
    ours, theirs = (svm.fit_both(data, train, test, engine) for engine in engines)
    for a, b in zip(ours, theirs, strict=True):
        assert np.mean(b.predicted == data.y_test) > 0.9
        # ties apart, and float32 distances: one digit in a thousand
        assert np.mean(a.predicted != b.predicted) <= 0.001


def test_scikit_learn_fits_both_side_by_side(handed, digits):
    svm.fit_both(digits, digits.x_train, digits.x_test, Engine("sklearn", SimpleNamespace(SVC=Right)))
    assert len(handed) == 2
    assert all(thread is not threading.main_thread() for *_, thread in handed)


# ------------------------------------------------------------------------- auto's choice


@pytest.mark.usefixtures("none_installed")
@pytest.mark.parametrize(
    ("installed", "gpu", "chosen"),
    [
        ((), False, "sklearn"),
        ((), True, "sklearn"),
        (("sklearnex",), False, "sklearnex"),
        (("cuml",), True, "cuml"),
        (("cuml",), False, "sklearn"),  # --device cpu, or no GPU that works
        (("cuml", "sklearnex"), True, "cuml"),
        (("cuml", "sklearnex"), False, "sklearnex"),
    ],
)
def test_auto_takes_the_fastest_that_is_installed(monkeypatch, sample, installed, gpu, chosen):
    for name in installed:
        install(monkeypatch, name, Right)
    notes = []
    assert svm_engines.choose("auto", gpu, sample, notes).name == chosen
    assert notes == []


FAULTS = [
    (Wrong, r"cuml labels \d\d\.\d% of a sample otherwise than scikit-learn: "),
    (NoDevice, r"cuml is installed but cannot be used here \(cudaErrorNoDevice: .* is detected\): repair it"),
    (OutOfMemory, r"cuml is installed but cannot be used here \(std::bad_alloc: out_of_memory\): repair it"),
]


@pytest.mark.usefixtures("none_installed")
@pytest.mark.parametrize(("svc", "why"), FAULTS)
def test_auto_passes_over_what_is_wrong_or_fails(monkeypatch, sample, svc, why):
    install(monkeypatch, "cuml", svc)
    notes = []
    assert svm_engines.choose("auto", True, sample, notes).name == "sklearn"
    install(monkeypatch, "sklearnex", Right)
    assert svm_engines.choose("auto", True, sample, notes).name == "sklearnex"
    assert len(notes) == 2
    assert all(re.match(why, note) and "\n" not in note for note in notes)


@pytest.mark.usefixtures("none_installed")
def test_auto_passes_over_what_cannot_be_imported(monkeypatch, tmp_path, sample):
    monkeypatch.delitem(sys.modules, "cuml")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "cuml").mkdir()
    (tmp_path / "cuml" / "__init__.py").write_text("")
    notes = []
    for line, reason in (("raise RuntimeError('no driver')", "no driver"), ("import nowhere", "nowhere")):
        (tmp_path / "cuml" / "svm.py").write_text(line)
        monkeypatch.delitem(sys.modules, "cuml.svm", raising=False)
        assert svm_engines.choose("auto", True, sample, notes).name == "sklearn"
        assert "cuml is installed but cannot be imported" in notes[-1]
        assert reason in notes[-1]
        with pytest.raises(MissingLibraryError, match=reason):
            svm_engines.refuse_missing("cuml")
    for name in ("cuml", "cuml.svm"):
        sys.modules.pop(name, None)


def test_an_engine_that_was_asked_for_is_believed_with_a_note(monkeypatch, model, digits, by_sklearn):
    install(monkeypatch, "cuml", Wrong)
    result = svm.run(svm.Config(model, device="cpu", svm_engine="cuml"), data=digits)
    assert result.metrics["svm_engine"] == "cuml"
    assert result.metrics["accuracy"] < by_sklearn.metrics["accuracy"]
    (note,) = result.notes
    assert re.match(FAULTS[0][1] + "another SVM engine is safer", note)


@pytest.mark.parametrize(("svc", "why"), FAULTS[1:])
def test_a_requested_engine_that_fails_is_reported_in_a_line(monkeypatch, sample, svc, why):
    install(monkeypatch, "cuml", svc)
    with pytest.raises(DeviceError, match=why) as caught:
        svm_engines.choose("cuml", True, sample, [])
    assert "\n" not in str(caught.value)


def test_an_unknown_engine_is_answered_with_the_nearest():
    with pytest.raises(ConfigurationError, match="'sklearnx': did you mean 'sklearn"):
        svm.run(svm.Config(svm_engine="sklearnx"))


# ------------------------------------------------------------------------- the command line


@pytest.mark.usefixtures("none_installed", "on_cpu")
@pytest.mark.parametrize("experiment", ["svm", "all"])
@pytest.mark.parametrize(
    ("engine", "package"), [("sklearnex", "scikit-learn-intelex"), ("cuml", "cuml-cu13")]
)
def test_an_absent_engine_is_a_line_before_any_training(tmp_path, capsys, experiment, engine, package):
    out = tmp_path / "run"
    with pytest.raises(SystemExit) as caught:
        main(["run", experiment, "--dataset", "digits", "--svm-engine", engine, "--out", str(out)])
    printed = capsys.readouterr()
    assert (caught.value.code, printed.out) == (1, "")
    assert printed.err.startswith(f"nnx: the SVM engine {engine} is not installed: pip install {package}")
    assert len(printed.err.splitlines()) == 1
    assert not out.exists()


@pytest.mark.usefixtures("on_cpu")
@pytest.mark.parametrize("form", ["--json", "-q"])
def test_the_command_says_which_engine_ran_and_for_how_long(monkeypatch, model, tmp_path, capsys, form):
    install(monkeypatch, "cuml", Right)
    with pytest.raises(SystemExit) as caught:
        main(["run", "svm", "--model", model, "--svm-engine", "cuml", "--out", str(tmp_path / "run"), form])
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    stored = json.loads((tmp_path / "run" / "result.json").read_text())
    assert stored["metrics"]["svm_engine"] == stored["config"]["svm_engine"] == "cuml"
    timing = stored["timing"]
    parts = [timing[f"{name}_{what}_seconds"] for name in ("svm", "pca_svm") for what in ("fit", "predict")]
    assert min(parts) > 0
    assert sum(parts) <= timing["svm_seconds"]
    if form == "--json":
        assert json.loads(printed) == stored
    else:
        assert re.search(r"^ SVM engine +cuml", printed, re.MULTILINE)
        assert f"{parts[0]:.2f} s / {parts[1]:.2f} s" in printed
