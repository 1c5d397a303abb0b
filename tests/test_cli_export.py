"""``nnx export``: what a run trained, in the files of other programs."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from command_line import command

import nnx
from nnx.datasets import load_digits
from nnx.datasets.labelled import Layout
from nnx.experiments.preparation import Preparation
from nnx.experiments.scaling import Scaling


@pytest.mark.parametrize("name", ["onnx", pytest.param("keras", marks=pytest.mark.keras)])
def test_a_run_s_model_is_written_for_others(trained, tmp_path, name):
    pytest.importorskip(name, reason=f"needs {name}, which is not installed")
    folder, _ = trained
    done = command(tmp_path, "export", folder, "--out", f"out/model.{name}")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    network = nnx.load(folder / "model.safetensors")
    written = getattr(nnx.interop, name).load(tmp_path / "out" / f"model.{name}")
    x = load_digits().x_test
    np.testing.assert_array_equal(written.predict(x), network.predict(x))
    assert f"out/model.{name}: {len(network)} layers" in done.stderr


def test_what_cannot_be_written_is_one_line(trained, tmp_path):
    folder, _ = trained
    for line, status, text in (
        (f"export {folder} --out model.pt", 2, "must end in .onnx or .keras"),
        (f"export {tmp_path} --out model.onnx", 1, "model"),
        ("export nowhere --out model.onnx", 2, "nowhere"),
    ):
        done = command(tmp_path, *line.split())
        assert (done.returncode, len(done.stderr.splitlines())) == (status, 1), done.stderr
        assert text in done.stderr
    assert not list(tmp_path.glob("model.*"))


def test_without_onnx_the_command_says_what_to_install(trained, tmp_path):
    folder, _ = trained
    (tmp_path / "onnx.py").write_text("raise ImportError('no onnx here')")
    path = os.pathsep.join([str(tmp_path), str(Path(nnx.__file__).parents[1])])
    done = command(tmp_path, "export", folder, "--out", "model.onnx", PYTHONPATH=path)
    assert done.returncode == 1
    assert done.stderr == ("nnx: this needs the library onnx (no onnx here): pip install onnx\n")


@pytest.mark.parametrize("task", ["classification", "regression", "autoencoding"])
def test_a_model_of_one_s_own_data_takes_them_as_they_are(tmp_path, rng, task):
    """The scaling that `nnx train` keeps beside a network is in the file that leaves nnx."""
    pytest.importorskip("onnx", reason="needs onnx, which is not installed")
    x = rng.normal([10.0, -3.0, 0.5, 100.0], [2.0, 0.1, 7.0, 30.0], (50, 4))
    network = nnx.Network([nnx.Dense(4, 3), nnx.Tanh(), nnx.Dense(4)], dtype="float64", seed=0)
    network.code = 2 if task == "autoencoding" else None
    prepared = Preparation(
        task=task,
        layout=Layout(features=4),
        inputs=Scaling.fitted("standard", x),
        outputs=Scaling(np.full(4, 3.0), np.full(4, 20.0)) if task == "regression" else None,
        classes=tuple("abcd") if task == "classification" else (),
    )
    network.save(tmp_path / "model.safetensors", {"preparation": prepared.to_metadata()})
    done = command(tmp_path, "export", "model.safetensors", "--out", "model.onnx")
    assert done.returncode == 0, done.stderr
    written = nnx.interop.onnx.load(tmp_path / "model.onnx")
    np.testing.assert_allclose(written.predict(x), prepared.predict(network, x), rtol=1e-9, atol=1e-9)
    assert written.code == (3 if task == "autoencoding" else None)
