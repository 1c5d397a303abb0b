"""``nnx export``: write trained networks as files for other programs."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
from support.command_line import command

import nnx
from nnx.cli.export import _compare as compare
from nnx.datasets import load_digits
from nnx.experiments.train.labelled import Layout
from nnx.experiments.train.preparation import Preparation
from nnx.experiments.train.scaling import Scaling


@pytest.mark.parametrize("name", ["onnx", pytest.param("keras", marks=pytest.mark.keras)])
def test_a_run_s_model_is_written_for_others(trained, tmp_path, name, answer):
    pytest.importorskip(name, reason=f"needs {name}, which is not installed")
    folder, _ = trained
    done = answer("export", folder, "--out", f"out/model.{name}")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    network = nnx.load(folder / "model.safetensors")
    written = getattr(nnx.interop, name).load(tmp_path / "out" / f"model.{name}")
    x = load_digits().x_test
    np.testing.assert_array_equal(written.predict(x), network.predict(x))
    assert f"out/model.{name}: {len(network)} layers" in done.stderr


@pytest.mark.parametrize("name", ["onnx", pytest.param("keras", marks=pytest.mark.keras)])
def test_a_network_of_words_is_compared_on_whole_numbers(tmp_path, name, answer):
    pytest.importorskip(name, reason=f"needs {name}, which is not installed")
    layers = [nnx.Embedding(9, 4), nnx.Conv1D(3, 2), nnx.GlobalMaxPool1D(), nnx.Dense(2)]
    nnx.Network(layers, seed=0).build((6,)).save(tmp_path / "words.safetensors")
    done = answer("export", "words.safetensors", "--out", f"words.{name}")
    assert done.returncode == 0, done.stderr
    assert "largest difference to nnx predict on 256 rows" in done.stderr


def test_what_cannot_be_written_is_one_line(trained, tmp_path, answer):
    folder, _ = trained
    for line, status, text in (
        (f"export {folder} --out model.pt", 2, "must end in .onnx or .keras"),
        (f"export {tmp_path} --out model.onnx", 1, "model"),
        ("export nowhere --out model.onnx", 2, "nowhere"),
    ):
        done = answer(*line.split())
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
def test_a_model_of_one_s_own_data_takes_them_as_they_are(tmp_path, answer, rng, task):
    """The scaling that `nnx train` keeps beside a network is in the file that leaves nnx."""
    pytest.importorskip("onnx", reason="needs onnx, which is not installed")
    x = rng.normal([10.0, -3.0, 0.5, 100.0], [2.0, 0.1, 7.0, 30.0], (50, 4))
    network = nnx.Network([nnx.Dense(4, 3), nnx.Tanh(), nnx.Dense(4)], dtype="float64", seed=0)
    network.encoder_length = 2 if task == "autoencoding" else None
    prepared = Preparation(
        task=task,
        layout=Layout(features=4),
        inputs=Scaling.fitted("standard", x),
        outputs=Scaling(np.full(4, 3.0), np.full(4, 20.0)) if task == "regression" else None,
        classes=tuple("abcd") if task == "classification" else (),
    )
    network.save(tmp_path / "model.safetensors", {"preparation": prepared.to_metadata()})
    done = answer("export", "model.safetensors", "--out", "model.onnx")
    assert done.returncode == 0, done.stderr
    written = nnx.interop.onnx.load(tmp_path / "model.onnx")
    assert "largest difference to nnx predict on 256 rows drawn at random: " in done.stderr
    np.testing.assert_allclose(written.predict(x), prepared.predict(network, x), rtol=1e-9, atol=1e-9)
    assert written.encoder_length == (3 if task == "autoencoding" else None)


def far_from_zero(folder, rng, dtype="float32"):
    """A regression on seconds since 1970, which float32 holds to two minutes, and rows of it."""
    x = 1.7e9 + rng.uniform(0, 3600, (300, 1)).round(3)
    network = nnx.Network([nnx.Dense(1, 8), nnx.Tanh(), nnx.Dense(1)], dtype=dtype, seed=0)
    prepared = Preparation(
        task="regression",
        layout=Layout(features=1),
        inputs=Scaling.fitted("standard", x),
        outputs=Scaling(np.full(1, 1e6), np.full(1, 5.0)),
    )
    np.savetxt(folder / "t.csv", x, fmt="%.3f")
    metadata = {"preparation": prepared.to_metadata(), "dataset": str(folder / "t.csv")}
    network.save(folder / "model.safetensors", metadata)
    return network, prepared, x


@pytest.mark.parametrize("name", ["onnx", pytest.param("keras", marks=pytest.mark.keras)])
def test_a_scaling_that_subtracts_is_computed_in_float64(tmp_path, answer, rng, name):
    pytest.importorskip(name, reason=f"needs {name}, which is not installed")
    network, prepared, x = far_from_zero(tmp_path, rng)
    done = answer("export", "model.safetensors", "--out", f"model.{name}")
    assert done.returncode == 0, done.stderr
    text, difference = re.search(r"on (300|256) rows of (\S+): (\S+) ", done.stderr).group(2, 3)
    assert text == str(tmp_path / "t.csv")
    exchange = getattr(nnx.interop, name)
    y, program = exchange.compute(tmp_path / f"model.{name}", x)
    assert program in done.stderr
    assert y.dtype == np.float64
    own = (network.predict(prepared.inputs.apply(x, "float32")).astype(np.float64)) * 5.0 + 1e6
    np.testing.assert_allclose(y, own, rtol=0, atol=1e-5)  # of float32 between the scalings, times 5
    assert float(difference) < 1e-5
    with pytest.warns(UserWarning, match="float64"):
        again = exchange.load(tmp_path / f"model.{name}")
    assert again.dtype == np.float64
    np.testing.assert_allclose(again.predict(x), own, rtol=0, atol=1e-5)


def test_a_scaling_that_divides_keeps_the_type(tmp_path, rng):
    """Bytes divided by 255 are as precise in float32."""
    onnx = pytest.importorskip("onnx", reason="needs onnx, which is not installed")
    network = nnx.Network([nnx.Dense(4, 2), nnx.Softmax()], seed=0)
    scaling = Scaling(np.zeros(1), np.full(1, 255.0))
    nnx.interop.onnx.export(network, tmp_path / "model.onnx", inputs=scaling)
    graph = onnx.load(tmp_path / "model.onnx").graph
    assert [node.op_type for node in graph.node] == ["Div", "Gemm", "Softmax"]
    x = rng.integers(0, 256, (9, 4)).astype(np.float32)
    y, _ = nnx.interop.onnx.compute(tmp_path / "model.onnx", x)
    np.testing.assert_allclose(y, network.predict(x / 255), rtol=1e-6, atol=1e-6)
    none = Scaling(np.zeros(1), np.ones(1))
    nnx.interop.onnx.export(network, tmp_path / "model.onnx", inputs=none, outputs=none)
    assert [node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node] == ["Gemm", "Softmax"]


@pytest.mark.parametrize("name", ["onnx", pytest.param("keras", marks=pytest.mark.keras)])
def test_a_bfloat16_network_is_written_in_float32_for_onnx_and_with_its_policy_for_keras(
    tmp_path, name, answer
):
    pytest.importorskip(name, reason=f"needs {name}, which is not installed")
    layers = [nnx.Dense(30, 20), nnx.ReLU(), nnx.Dense(4)]
    network = nnx.Network(layers, precision="bfloat16", device="numpy", seed=0)
    network.save(tmp_path / "model.safetensors")
    done = answer("export", "model.safetensors", "--out", f"model.{name}")
    assert done.returncode == 0, done.stderr
    written = getattr(nnx.interop, name).load(tmp_path / f"model.{name}", "numpy")
    assert written.precision == {"onnx": "float32", "keras": "bfloat16"}[name]
    said = "the file computes in float32; the file is compared with nnx predict in float32" in done.stderr
    assert said == (name == "onnx")
    if name == "onnx":
        with pytest.warns(UserWarning, match="to bfloat16, but the file computes in float32"):
            nnx.interop.onnx.export(network, tmp_path / "model.onnx")


def test_a_file_that_computes_another_model_is_noticed(tmp_path):
    """The comparison that precedes every file, on the file of another network."""
    pytest.importorskip("onnx", reason="needs onnx, which is not installed")
    network = nnx.Network([nnx.Dense(3, 6), nnx.Tanh(), nnx.Dense(2)], seed=0)
    exchange, path = nnx.interop.onnx, tmp_path / "model.onnx"
    exchange.export(network, path)
    assert "largest difference to nnx predict on 256 rows" in compare(exchange, path, network, None, {})
    weights = network.weights()
    network.set_weights(weights | {"dense_1.W": weights["dense_1.W"] + 0.01})
    with pytest.raises(nnx.OutputError, match=r"^not written: .* nnx predict"):
        compare(exchange, path, network, None, {})
    network.set_weights(weights | {"dense_2.b": np.full(2, np.nan)})
    with pytest.raises(nnx.OutputError, match="not written"):
        compare(exchange, path, network, None, {})


def test_an_output_that_is_wrong_is_noticed_next_to_a_large_one():
    """Each output is compared with its own spread."""
    network = nnx.Network([nnx.Dense(3, 2)], seed=0)
    weights = network.weights()
    network.set_weights(weights | {"dense_1.W": weights["dense_1.W"] * [[1e6, 1.0]]})
    wrong = 0.0

    class Program:
        @staticmethod
        def compute(path, x):
            return network.predict(x) * np.array([1.0, 1.0 + wrong]), "a program"

    assert "largest difference" in compare(Program, None, network, None, {})
    wrong = 0.01
    with pytest.raises(nnx.OutputError, match=r"not written: a program .* output 2 "):
        compare(Program, None, network, None, {})


def test_outputs_that_vary_by_rounding_alone_may_differ_by_it():
    """A sigmoid far from 0 is 1 or next to it; and two large terms of which only rounding is left."""
    network = nnx.Network([nnx.Dense(3, 2), nnx.Sigmoid()], seed=0)
    network.set_weights({"dense_1.W": np.full((3, 2), 0.3), "dense_1.b": np.array([17.0, 0.0])})

    class Program:
        @staticmethod
        def compute(path, x):
            return np.nextafter(network.predict(x), np.float32(0.0)), "a program"

    assert "largest difference" in compare(Program, None, network, None, {})
    network = nnx.Network([nnx.Dense(1, 2), nnx.Dense(1)], seed=0)
    W = {"dense_1.W": np.array([[0.1, 0.3]]), "dense_2.W": np.array([[3.0], [-1.0]])}
    network.set_weights(W | {"dense_1.b": np.zeros(2), "dense_2.b": np.zeros(1)})

    class Exact:
        @staticmethod
        def compute(path, x):
            h = x.astype(np.float64) @ W["dense_1.W"]
            return h @ W["dense_2.W"], "a program"

    assert "largest difference" in compare(Exact, None, network, None, {})
