"""``nnx export --to c``: the model with its scaling and its names, as code that checks itself."""

from __future__ import annotations

import numpy as np
import pytest
from support.compiled_c import Compiled, checked

import nnx
from nnx.experiments.train.labelled import Layout
from nnx.experiments.train.preparation import MEAN_AND_SPREAD, Preparation
from nnx.experiments.train.scaling import Scaling


def saved(folder, rng, **more):
    """A model as nnx train saves it, on data far from 0, and rows of these data."""
    x = rng.normal([10.0, -3.0, 1e7, 100.0], [2.0, 0.1, 7.0, 30.0], (50, 4))
    last = [nnx.Dense(4), nnx.Reshape((2, 2))] if "several" in more else [nnx.Dense(4)]
    network = nnx.Network([nnx.Dense(4, 3), nnx.Tanh(), *last], seed=0, device="numpy")
    network.encoder_length = 2 if more["task"] == "autoencoding" else None
    layout = Layout(features=4, columns=("a", "b b", "*/", "é"), chosen=(0, 1, 2, 3), width=4)
    prepared = Preparation(layout=layout, inputs=Scaling.fitted("standard", x), **more)
    network.save(folder / "model.safetensors", {"preparation": prepared.to_metadata()})
    return network, prepared, x


@pytest.mark.parametrize(
    "more",
    [
        {"task": "classification", "classes": ("one", "two", "three", 'four "')},
        {
            "task": "regression", "outputs": Scaling(np.full(4, 1e6), np.full(4, 20.0)),
            "targets": ("p", "q", "r", "s"),
        },
        {
            "task": "regression", "outputs": Scaling(np.array([3.0, 1e6]), np.array([20.0, 5.0])),
            "targets": ("p", "q"), "several": MEAN_AND_SPREAD,
        },
        {
            "task": "regression", "outputs": Scaling(np.array([3.0, 1e6]), np.array([20.0, 5.0])),
            "several": ("0.1", "0.9"),
        },
        {"task": "autoencoding"},
    ],
    ids=["classification", "regression", "spread", "quantiles", "autoencoding"],
)  # fmt: skip
def test_a_model_of_one_s_own_data_takes_them_as_they_are(tmp_path, answer, rng, more):
    network, prepared, x = saved(tmp_path, rng, **more)
    done = answer("export", "model.safetensors", "--to", "c")
    assert done.returncode == 0, done.stderr
    assert "model.c: 3 layers" in done.stderr or "model.c: 4 layers" in done.stderr
    assert "C99 with float: weights " in done.stderr
    assert "it checks itself on 8 rows" in done.stderr
    y = prepared.predict(network, x, whole=True).reshape(50, -1)
    np.testing.assert_allclose(Compiled(tmp_path, "model").predict(x), y, rtol=1e-5, atol=1e-5)
    said = checked(tmp_path, "model")
    assert [name for name in more.get("classes", ()) if f"class {name}\n" in said][1:] == []
    assert ("class " in said) == ("classes" in more)


def test_a_run_of_an_autoencoder_is_code_that_checks_itself(trained, tmp_path, answer):
    folder, _ = trained
    done = answer("export", str(folder), "--to", "c", "--type", "double")
    assert done.returncode == 0, done.stderr
    assert "C99 with double" in done.stderr
    assert f"from {folder}" in (tmp_path / "ae.c").read_text()
    assert "self-check on 8 rows" in checked(tmp_path, "ae")


def test_a_bfloat16_network_is_written_in_float32(tmp_path, answer):
    network = nnx.Network([nnx.Dense(30, 20), nnx.ReLU(), nnx.Dense(4)], precision="bfloat16", device="numpy")
    network.save(tmp_path / "m.safetensors")
    done = answer("export", "m.safetensors", "--to", "c")
    assert done.returncode == 0, done.stderr
    assert "the file computes in float32" in done.stderr
    checked(tmp_path, "m")
    with pytest.warns(UserWarning, match="to bfloat16, but the file computes in float32"):
        nnx.standalone.export(network, tmp_path / "m.c")
    checked(tmp_path, "m")


def test_what_cannot_be_written_is_one_line(tmp_path, answer):
    nnx.Network([nnx.Dense(3, 2)], seed=0).save(tmp_path / "m.safetensors")
    (tmp_path / "m.c").write_text("mine")
    for line, status, text in (
        ("export m.safetensors", 2, "give the file to write, --out model.onnx, or its form, --to c"),
        ("export m.safetensors --to c", 2, "m.c exists already: to replace it, add --out m.c"),
        ("export m.safetensors --to cobol", 2, "cobol"),
        ("export m.safetensors --to c --out m.onnx", 2, "--to c: the name must end in .c or .h"),
        ("export m.safetensors --out m.txt", 2, "must end in .onnx or .keras or .c"),
        ("export m.safetensors --out m.onnx --type float", 2, "--type float is for C code"),
    ):
        done = answer(*line.split())
        assert (done.returncode, len(done.stderr.splitlines())) == (status, 1), done.stderr
        assert text in done.stderr
    assert (tmp_path / "m.c").read_text() == "mine"
    assert answer("export", "m.safetensors", "--out", "m.c").returncode == 0
    assert (tmp_path / "m.c").read_text() != "mine"


def test_weights_that_are_not_finite_leave_no_file(tmp_path, answer):
    network = nnx.Network([nnx.Dense(3, 2)], seed=0)
    network.set_weights({"dense_1.W": np.full((3, 2), np.nan), "dense_1.b": np.zeros(2)})
    network.save(tmp_path / "m.safetensors")
    done = answer("export", "m.safetensors", "--to", "c")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert "dense_1(3, 2): block has numbers" in done.stderr or "dense_1(3, 2): W has numbers" in done.stderr
    assert not (tmp_path / "m.c").exists()


@pytest.mark.parametrize(
    "given",
    [
        ("conv-classifier", "--preset", "conv", "--task", "classification"),
        ("conv-autoencoder", "--preset", "conv"),
        (
            "residual",
            "--layers",
            "16 gelu,batch_norm,16 mish",
            "--residual",
            "--scale",
            "minmax",
            "--task",
            "regression",
        ),
    ],
    ids=lambda given: given[0],
)
def test_what_nnx_train_made_predicts_as_nnx_predict_does(tmp_path, answer, rng, given):
    """From files to files: images of bytes, and numbers far from 0."""
    what, *given = given
    x = rng.integers(0, 256, (60, 8, 8)).astype("uint8")
    if what == "residual":
        x = x.reshape(60, 64) * 0.1 + 1e5
    arrays = {"x": x} | ({} if what == "conv-autoencoder" else {"y": np.arange(60) % 3})
    np.savez(tmp_path / "data.npz", **arrays)
    np.save(tmp_path / "rows.npy", x)
    for line in (
        ("train", "data.npz", *given, "--epochs", "2", "--out", "run", "--device", "numpy"),
        ("predict", "run", "rows.npy", "--out", "y.npy", "--device", "numpy"),
        ("export", "run", "--to", "c"),
    ):
        done = answer(*line)
        assert done.returncode == 0, done.stderr
    y = np.load(tmp_path / "y.npy").reshape(60, -1)
    found = Compiled(tmp_path, "run").predict(x)
    np.testing.assert_allclose(found, y, rtol=0, atol=2e-5 * np.abs(y).max())
