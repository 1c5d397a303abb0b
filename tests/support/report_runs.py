"""Finished runs of each experiment in separate folders, for reports."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from nnx import datasets, reports
from nnx.experiments import Result, RunFolder, autoencoder, classifier, svm, xor
from nnx.experiments.train import config as own_config
from nnx.experiments.train import experiment as own_data


def keep(result: Result, folder: Path) -> Path:
    """A result in a folder as ``nnx run`` leaves it, but for its figures."""
    kept = RunFolder.create(folder)
    kept.write_training(result)
    reports.report(result, folder)
    kept.write(result)
    return folder


def make(place: Path) -> dict[str, Path]:
    """XOR twice, two autoencoders, an SVM and a classifier that err, an own table, a made-up comparison."""
    digits = datasets.load_digits()
    coded = autoencoder.run(autoencoder.Config("shallow", "digits", epochs=3, device="cpu"), data=digits)
    folders = {"autoencoder": keep(coded, place / "autoencoder")}
    config = autoencoder.Config("variational", "digits", epochs=2, device="cpu")
    folders["variational"] = keep(autoencoder.run(config, data=digits), place / "variational")
    model = str(folders["autoencoder"])
    poor = replace(digits, x_train=digits.x_train[:60], y_train=digits.y_train[:60])
    folders["svm"] = keep(svm.run(svm.Config(model, device="cpu"), data=poor), place / "svm")
    config = classifier.Config("digits", epochs=1, device="cpu")
    folders["classifier"] = keep(classifier.run(config, data=poor), place / "classifier")
    table = place / "rows.csv"
    rows = [f"{a},{b},{'far' if a + b > 6 else 'near'}" for a in range(6) for b in range(6)]
    table.write_text("\n".join(["a,b,place", *rows]), encoding="utf-8")
    own = own_data.run(own_config.Config(str(table), target=("place",), epochs=2, device="cpu"))
    folders["train"] = keep(own, place / "train")
    rows = [f"{a},{b},{a + 2 * b},{a - b}" for a in range(6) for b in range(6)]
    table = place / "values.csv"
    table.write_text("\n".join(["a,b,sum,difference", *rows]), encoding="utf-8")
    config = own_config.Config(str(table), "regression", ("sum", "difference"), epochs=2, device="cpu")
    folders["values"] = keep(own_data.run(config), place / "values")
    for name, preset, epochs in (("xor", "deep", 1000), ("other", "shallow", 30)):
        folders[name] = keep(xor.run(xor.Config(preset, epochs, device="cpu")), place / name)
    steps = np.arange(1, 51)
    compared = Result("compare", "", "digits", "cpu", "numpy", "float64", 0, {"agree": False})
    check = {"problem": "deep", "dtype": "float64", "steps": 50, "keras": 1e-9, "keras_xla": 0.5,
             "tolerance": 1e-8, "agree": False}  # fmt: skip
    compared.metrics["agreement"] = {"deep_float64": check}
    compared.arrays = {"deep_nnx": 1.0 / steps, "deep_keras": 1.0 / steps + 1e-9,
                       "xor_deep_nnx": 2.0 / steps, "xor_deep_epochs": 1 + 100 * (steps - 1)}  # fmt: skip
    folders["compare"] = keep(compared, place / "compare")
    return folders
