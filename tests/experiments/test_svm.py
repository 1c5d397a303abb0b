"""Classifiers of codes and of PCA reach their accuracy, and are compared fairly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nnx import datasets
from nnx.experiments import autoencoder, svm


def test_svm_on_the_digits_codes(shallow, digits, tmp_path):
    shallow.network.save(tmp_path / "model.safetensors", {"preset": "shallow"})
    result = svm.run(svm.Config(str(tmp_path), dataset="digits"), data=digits)
    assert result.preset == "shallow"
    assert result.metrics["accuracy"] >= 0.97
    assert result.metrics["pca_accuracy"] >= 0.97
    matrix = np.asarray(result.metrics["confusion_matrix"])
    assert matrix.shape == (10, 10)
    assert matrix.sum(axis=1).tolist() == np.bincount(digits.y_test).tolist()
    assert np.trace(matrix) / matrix.sum() == pytest.approx(result.metrics["accuracy"])
    test = result.metrics["mcnemar"]
    difference = (test["only_codes"] - test["only_pca"]) / len(digits.y_test)
    assert difference == pytest.approx(result.metrics["accuracy"] - result.metrics["pca_accuracy"])
    assert result.network is None  # the model has a folder of its own


@pytest.mark.usefixtures("device")
def test_svm_trains_an_autoencoder_where_no_model_is_given(digits):
    result = svm.run(svm.Config(None, "shallow", "digits", epochs=30, seed=5), data=digits)
    assert result.metrics["accuracy"] >= 0.95
    assert (result.preset, result.seed) == ("shallow", 5)
    assert result.network.encoder_length == 3
    assert result.timing["steps"] == 30 * 45


@pytest.mark.usefixtures("device")
def test_mcnemar_against_a_value_by_hand():
    """Eight against two: 2 (1 + 10 + 45) / 2^10 = 0.109375."""
    right = np.array([True] * 8 + [False] * 2 + [True] * 5 + [False] * 3)
    other = np.array([False] * 8 + [True] * 2 + [True] * 5 + [False] * 3)
    assert svm.mcnemar(right, other) == {"only_codes": 8, "only_pca": 2, "p_value": pytest.approx(0.109375)}
    assert svm.mcnemar(other, right)["p_value"] == pytest.approx(0.109375)
    assert svm.mcnemar(right, right) == {"only_codes": 0, "only_pca": 0, "p_value": 1.0}


def test_the_svm_of_a_given_model_reports_no_training(tmp_path: Path) -> None:
    digits = datasets.load_digits()
    network = autoencoder.build(autoencoder.Config("shallow", seed=5, device="cpu"), digits.features)
    network.save(tmp_path / "model.safetensors", {"preset": "shallow"})
    config = svm.Config(str(tmp_path / "model.safetensors"), dataset="digits", device="cpu")
    result = svm.run(config, data=digits)
    assert (result.preset, result.seed) == ("shallow", 5)
    assert result.config["model"] == config.model
    assert result.config["preset"] is None
    assert result.config["seed"] is None
