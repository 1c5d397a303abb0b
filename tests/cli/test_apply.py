"""``nnx encode``, ``reconstruct`` and ``predict``: a trained model on files of each format."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest
from support.command_line import command

import nnx
from nnx import checkpoints
from nnx.datasets import load_digits


def write_idx(path, images):
    header = struct.pack(">BBBB3I", 0, 0, 8, 3, *images.shape)
    path.write_bytes(gzip.compress(header + images.tobytes()))


def inputs(folder):
    """The same twenty images in each format, as numbers in [0, 1]."""
    x = load_digits().x_test[:20]
    images = np.round(x * 255).astype(np.uint8).reshape(-1, 8, 8)
    x = images.reshape(20, 64).astype(np.float32) / np.float32(255)
    np.save(folder / "x.npy", x)
    np.savetxt(folder / "x.csv", x, delimiter=",", fmt="%.9g")
    write_idx(folder / "x-idx3-ubyte.gz", images)
    return x


@pytest.mark.parametrize("source", ["x.npy", "x.csv", "x-idx3-ubyte.gz"])
@pytest.mark.parametrize("name", ["encode", "reconstruct"])
def test_a_model_is_applied_to_files_of_each_format(trained, tmp_path, name, source, answer):
    folder, _ = trained
    x = inputs(tmp_path)
    done = answer(name, folder, source, "--out", "out/y.npy")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    network = nnx.load(folder / "model.safetensors")
    expected = (network[: network.encoder_length] if name == "encode" else network).predict(x)
    result = np.load(tmp_path / "out" / "y.npy", allow_pickle=False)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-6)
    assert done.stderr == f"out/y.npy: 20 rows of {16 if name == 'encode' else 64}\n"


def test_predict_writes_csv_that_gives_the_same_numbers(trained, tmp_path):
    folder, _ = trained
    x = inputs(tmp_path)
    done = command(tmp_path, "predict", folder / "model.safetensors", "x.npy", "--out", "y.csv")
    assert done.returncode == 0, done.stderr
    expected = nnx.load(folder / "model.safetensors").predict(x)
    result = np.loadtxt(tmp_path / "y.csv", delimiter=",").astype(np.float32)
    np.testing.assert_array_equal(result, expected)


def test_codes_are_turned_back_by_the_decoder(trained, tmp_path, answer):
    """Encode by one command, decode the file by another: together they reconstruct."""
    folder, _ = trained
    inputs(tmp_path)
    network = nnx.load(folder / "model.safetensors")
    network[network.encoder_length :].save(tmp_path / "decoder.safetensors")
    for line in (
        f"encode {folder} x.npy --out codes.csv",
        "predict decoder.safetensors codes.csv --out y.npy",
        f"reconstruct {folder} x.npy --out whole.npy",
    ):
        assert answer(*line.split()).returncode == 0
    decoded, whole = np.load(tmp_path / "y.npy"), np.load(tmp_path / "whole.npy")
    np.testing.assert_allclose(decoded, whole, rtol=0, atol=1e-6)


def test_models_and_inputs_that_do_not_fit_are_named(trained, tmp_path, answer):
    folder, _ = trained
    inputs(tmp_path)
    np.save(tmp_path / "narrow.npy", np.zeros((3, 5), np.float32))
    np.save(tmp_path / "nan.npy", np.full((3, 64), np.nan, np.float32))
    np.save(tmp_path / "object.npy", np.array([[{}]]), allow_pickle=True)
    nnx.Network([nnx.Dense(64, 3)], device="cpu").save(tmp_path / "plain.safetensors")
    whole = (folder / "model.safetensors").read_bytes()
    (tmp_path / "short.safetensors").write_bytes(whole[:-100])
    (tmp_path / "flipped.safetensors").write_bytes(whole[:-9] + bytes([whole[-9] ^ 64]) + whole[-8:])
    weights, config = checkpoints.read(folder / "model.safetensors")
    config["layers"][0]["config"]["units"] = 38
    checkpoints.write(tmp_path / "misfit.safetensors", weights, config, {})
    for line, status, text in (
        (f"encode {folder} narrow.npy", 1, "5"),
        (f"predict {folder} narrow.npy", 1, "5 features"),
        (f"predict {folder} nan.npy", 1, "not finite"),
        (f"predict {folder} object.npy", 1, "object"),
        ("encode plain.safetensors x.npy", 2, "is not an autoencoder, it has no code"),
        ("reconstruct plain.safetensors x.npy", 2, "is not an autoencoder, it has no code"),
        ("predict short.safetensors x.npy", 1, "short.safetensors"),
        ("predict flipped.safetensors x.npy", 1, "checksum"),
        ("predict misfit.safetensors x.npy", 1, "misfit.safetensors"),
        ("predict x.npy x.npy", 1, "x.npy"),
        (f"predict {folder} x.npy --device gpu:7", 1, "gpu"),
    ):
        done = answer(*line.split(), "--out", "y.npy")
        assert done.returncode == status, (line, done.stderr)
        assert (done.stdout, len(done.stderr.splitlines())) == ("", 1), line
        assert text.lower() in done.stderr.lower(), line
        assert not (tmp_path / "y.npy").exists()
    done = answer("predict", folder, "x.npy", "--out", "x.npy/below/y.npy")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
