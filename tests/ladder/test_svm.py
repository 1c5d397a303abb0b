"""Codes on a stand-in for a GPU: cuML if it is installed, else scikit-learn; the result names it."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
from sklearn.svm import SVC

from nnx import datasets
from nnx.experiments import autoencoder, svm

pytestmark = pytest.mark.standin
cupy = pytest.importorskip("cupy", reason="needs CuPy's wheel: nox -s ladder")

HANDED: list[tuple[int, type, type]] = []


class OnGpu(SVC):
    """In place of cuML's: notes on which device it would compute, and has scikit-learn do it."""

    def __init__(self, *, C=1.0, gamma="scale", cache_size=200, decision_function_shape="ovr"):
        super().__init__(
            C=C, gamma=gamma, cache_size=cache_size, decision_function_shape=decision_function_shape
        )

    def fit(self, x, y):
        HANDED.append((cupy.cuda.Device().id, type(x), type(y)))
        return super().fit(x, y)


@pytest.fixture(scope="module")
def digits():
    return datasets.load_digits()


@pytest.fixture(scope="module")
def model(digits, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    config = autoencoder.Config("shallow", "digits", epochs=10, device="cpu")
    autoencoder.run(config, data=digits).network.save(path, {"preset": "shallow", "dataset": "digits"})
    return str(path)


@pytest.fixture
def engines(monkeypatch):
    """Installs engines by name; none is there before."""
    for name in ("cuml", "sklearnex"):
        monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.delitem(sys.modules, f"{name}.svm", raising=False)

    def install(name):
        package, module = ModuleType(name), ModuleType(f"{name}.svm")
        package.svm, module.SVC = module, OnGpu
        monkeypatch.setitem(sys.modules, name, package)
        monkeypatch.setitem(sys.modules, f"{name}.svm", module)

    HANDED.clear()
    return install


def test_cuml_gets_host_arrays_and_the_networks_device(engines, model, digits):
    engines("cuml")
    with cupy.recorded() as log:
        result = svm.run(svm.Config(model, device="gpu:1"), data=digits)
    assert (result.device, result.metrics["svm_engine"]) == ("gpu:1", "cuml")
    assert log.devices() == {1}
    assert len(HANDED) >= 3  # it is tried, compared with scikit-learn, and computes both machines
    assert set(HANDED) == {(1, np.ndarray, np.ndarray)}
    assert cupy.cuda.Device().id == 0


def test_without_cuml_scikit_learn_computes_and_is_named(engines, model, digits):
    on_gpu = svm.run(svm.Config(model, device="gpu:1"), data=digits)
    on_cpu = svm.run(svm.Config(model, device="cpu"), data=digits)
    assert on_gpu.metrics["svm_engine"] == on_cpu.metrics["svm_engine"] == "sklearn"
    assert on_gpu.device == "gpu:1"
    assert HANDED == []
    assert on_gpu.metrics["accuracy"] == pytest.approx(on_cpu.metrics["accuracy"], abs=0.01)


def test_the_cpu_is_no_reason_for_cuml(engines, model, digits):
    engines("cuml")
    assert svm.run(svm.Config(model, device="cpu"), data=digits).metrics["svm_engine"] == "sklearn"
    assert HANDED == []
