"""The experiments one after the other, on real data: each takes what the one before it wrote."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from support.command_line import without_note_on_a_busy_machine

import nnx
from nnx import datasets, metrics
from nnx.experiments import svm

pytestmark = pytest.mark.usefixtures("device")


@pytest.mark.mnist
@pytest.mark.long
def test_mnist_from_the_command_to_the_classifier(tmp_path, mnist_directory, monkeypatch):
    """Three epochs come near PCA-64 (0.00905); their code then serves an SVM on 5,000 digits."""
    monkeypatch.setenv("NNX_DATA_DIR", str(mnist_directory))
    done = subprocess.run(
        [sys.executable, "-m", "nnx", "run", "autoencoder", "--preset", "deep", "--dataset", "mnist",
         "--epochs", "3", "--out", str(tmp_path / "run"), "--json", "-q"],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert (done.returncode, without_note_on_a_busy_machine(done.stderr)) == (0, "")
    result = json.loads(done.stdout)
    assert result["dataset"] == "mnist"
    assert result["timing"]["steps"] == 3 * 235
    assert result["metrics"]["pca_test_mse"] == pytest.approx(0.00905, abs=2e-5)
    assert result["metrics"]["test_mse"] < 1.5 * 0.00905
    assert result["metrics"]["test_mse_per_image"] == pytest.approx(784 * result["metrics"]["test_mse"])

    data = datasets.load_mnist(download=False)
    network = nnx.load(tmp_path / "run" / "model.safetensors")
    again = metrics.mean_squared_error(data.x_test, network.predict(data.x_test))
    assert again == pytest.approx(result["metrics"]["test_mse"], rel=1e-6)

    few = replace(data, x_train=data.x_train[:5000], y_train=data.y_train[:5000],
                  x_test=data.x_test[:2000], y_test=data.y_test[:2000])  # fmt: skip
    classified = svm.run(svm.Config(str(tmp_path / "run"), dataset="mnist"), data=few)
    assert classified.metrics["accuracy"] >= 0.93
    assert classified.metrics["pca_accuracy"] >= 0.93
