"""The range of the data that a model was trained on, and values that leave it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.command_line import invoke
from support.own_models import here, trained, write  # noqa: F401

import nnx
from nnx.datasets import load_digits
from nnx.experiments import autoencoder, svm
from nnx.experiments.result import RunFolder
from nnx.experiments.train import experiment as own_data
from nnx.experiments.train import problem
from nnx.experiments.train.applying import Model
from nnx.experiments.train.config import Config
from nnx.experiments.train.labelled import load_labelled
from nnx.experiments.train.ranges import Range, Watch
from nnx.experiments.train.scaling import Scaling

pytestmark = pytest.mark.usefixtures("on_cpu")


def test_what_rounding_puts_outside_of_0_and_1_fits_a_cross_entropy():
    from sklearn.datasets import load_breast_cancer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler

    from nnx.estimators import Autoencoder

    x = load_breast_cancer().data
    assert MinMaxScaler().fit_transform(x).max() > 1.0
    coder = Autoencoder(2, loss="binary_cross_entropy", epochs=2, random_state=0)
    codes = make_pipeline(MinMaxScaler(), coder).fit_transform(x)
    assert codes.shape == (569, 2)


@pytest.mark.parametrize("kind", [nnx.BinaryCrossEntropy, nnx.CategoricalCrossEntropy])
def test_targets_just_outside_count_as_0_and_1_and_others_are_named_with_their_digits(kind):
    last = nnx.Sigmoid() if kind is nnx.BinaryCrossEntropy else nnx.Softmax()
    network = nnx.Network([nnx.Dense(2, 3), last], dtype="float64", seed=0)
    x, y = np.random.default_rng(0).normal(size=(6, 2)), np.tile([0.0, 1.0, 0.5], (2, 1)).repeat(3, axis=0)
    right = network.evaluate(x, y, loss=kind())["loss"]
    near = y.copy()
    near[0] = [-1e-9, 1.0 + 1e-9, 0.5]
    given = near.copy()
    assert network.evaluate(x, near, loss=kind())["loss"] == right
    np.testing.assert_array_equal(near, given)
    near[0, 1] = 1.000002
    with pytest.raises(nnx.DataError, match=r"from -1e-09 to 1\.000002"):
        network.evaluate(x, near, loss=kind())


@pytest.mark.parametrize("mapped", [False, True])
def test_held_out_rows_outside_of_the_range_are_said_and_measured_as_they_are(monkeypatch, mapped):
    from sklearn.datasets import load_wine

    x = load_wine().data
    np.save("wine.npy", x)
    if mapped:
        monkeypatch.setattr("nnx.experiments.train.scaling.READ_WHOLE", 1)
        monkeypatch.setattr("nnx.data.samples.READ_WHOLE", 1)
    config = Config("wine.npy", scale="minmax", loss="binary_cross_entropy", layers=("4",), epochs=5)
    result = own_data.run(config)
    _, rows = problem.split(load_labelled("wine.npy"), 0.2, 0)
    scaling = Scaling.fitted("minmax", np.delete(x, rows, axis=0))
    z = scaling.apply(x[rows], "float32")
    p = result.network.predict(z).astype(np.float64)
    t = z.clip(0.0, 1.0)
    entropy = -(t * np.log(p) + (1 - t) * np.log1p(-p)).mean()
    assert result.metrics["validation_loss"] == pytest.approx(entropy, rel=1e-5)
    assert result.metrics["mse"] == pytest.approx(np.mean((scaling.undo(p) - x[rows]) ** 2), rel=1e-5)
    outside = int(((z < 0) | (z > 1)).any(axis=1).sum())
    assert outside > 0
    assert any(note.startswith(f"{outside} of 36 rows held out leave the range") for note in result.notes)


def test_a_scale_that_a_loss_cannot_take_is_named():
    np.save("x.npy", np.random.default_rng(0).normal(size=(30, 2)))
    with pytest.raises(nnx.ConfigurationError, match=r"scale standard .*-.*scale minmax"):
        trained("x.npy", "--loss", "binary_cross_entropy", "--scale", "standard")


@pytest.fixture(scope="module")
def run_on_digits(tmp_path_factory):
    """The folder of a short run, as ``nnx run autoencoder`` writes it."""
    result = autoencoder.run(autoencoder.Config(dataset="digits", epochs=2, device="cpu"))
    folder = RunFolder.create(tmp_path_factory.mktemp("digits"))
    folder.write_training(result)
    return folder.path


@pytest.fixture
def coder(run_on_digits):
    """That folder as ``run``, and twenty images of bytes."""
    Path("run").symlink_to(run_on_digits)
    return np.round(load_digits().x_test[:20] * 255).astype(np.uint8)


@pytest.mark.parametrize("kind", ["int64.npy", "float.npy", "bytes.csv"])
@pytest.mark.parametrize("command", ["reconstruct", "encode", "predict"])
def test_pixels_from_0_to_255_are_taken_as_bytes_are(coder, kind, command):
    np.save("u1.npy", coder)
    invoke(command, "run", "u1.npy", "--out", "right.npy")
    if kind.endswith("csv"):
        np.savetxt(kind, coder, fmt="%d", delimiter=",")
    else:
        np.save(kind, coder.astype(kind.removesuffix(".npy")))
    done = invoke(command, "run", kind, "--out", "out.npy")
    np.testing.assert_array_equal(np.load("out.npy"), np.load("right.npy"))
    assert done.stderr.count("note:") == 1
    assert f"note: {kind}: numbers from 0 to 255 are taken for pixels, and divided by 255" in done.stderr


def test_pixels_that_are_surely_nothing_are_said_and_not_scaled(coder):
    for factor, said in ((1 / 255, ""), (16 / 255, "20 of 20 rows are far outside"), (1.0, "are taken for")):
        x = coder * factor if factor < 0.01 else np.round(coder * factor)
        np.save("x.npy", x)
        done = invoke("predict", "run", "x.npy", "--out", "y.npy")
        assert (said in done.stderr) if said else ("note" not in done.stderr)
    np.save("x.npy", (coder > 99).astype(np.uint8))
    assert "the bytes are all 0 or 1" in invoke("predict", "run", "x.npy", "--out", "y.npy").stderr


def test_bytes_of_another_type_fit_a_model_of_bytes():
    images = np.round(load_digits().x_train[:60] * 255).astype(np.uint8)
    np.save("u1.npy", images)
    trained("u1.npy", "--epochs", 1, "--layers", 4)
    invoke("reconstruct", "run", "u1.npy", "--out", "right.npy")
    np.save("i8.npy", images.astype(np.int64))
    done = invoke("reconstruct", "run", "i8.npy", "--out", "out.npy")
    np.testing.assert_array_equal(np.load("out.npy"), np.load("right.npy"))
    assert "note: i8.npy: numbers from 0 to 255 are taken for bytes" in done.stderr
    for wrong in (images / 255, images.astype(int) - 1, images.astype(int) * 2, images > 99):
        np.save("wrong.npy", wrong.astype(float))
        with pytest.raises(nnx.DataError, match="trained on bytes, from 0 to 255: multiply"):
            invoke("predict", "run", "wrong.npy")


def test_bytes_fit_a_model_of_numbers_only_within_its_range():
    x = np.round(load_digits().x_train[:60] * 255)
    np.save("numbers.npy", x)
    trained("numbers.npy", "--epochs", 1, "--layers", 4, out="large")
    np.save("small.npy", x / 255)
    trained("small.npy", "--epochs", 1, "--layers", 4, out="small")
    np.save("u1.npy", x.astype(np.uint8))
    for source in ("numbers", "u1"):
        invoke("predict", "large", f"{source}.npy", "--out", f"of-{source}.npy")
    np.testing.assert_array_equal(np.load("of-u1.npy"), np.load("of-numbers.npy"))
    with pytest.raises(nnx.DataError, match=r"holds bytes .* trained on numbers from 0 to 1"):
        invoke("predict", "small", "u1.npy")


def test_the_column_that_is_far_outside_is_named_once():
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, (50, 3)) * [1, 100, 0] + [0, 0, 7]
    write("t.csv", ["a", "b", "c", "y"], np.hstack([x, x[:, :1]]))
    trained("t.csv", "--target", "y", "--task", "regression", "--epochs", 1)
    write("near.csv", ["a", "b", "c"], [(1.5, -80, 7), (0, 0, 7)])
    assert invoke("predict", "run", "near.csv").stderr == ""
    write("far.csv", ["a", "b", "c"], [(1, 4000, 7), (0, 0, 7), (0, 1, 7)])
    done = invoke("predict", "run", "far.csv", "far.csv")
    assert done.stderr.count("note:") == 1
    assert "1 of 3 rows are far outside of what the network was trained on: column b from" in done.stderr
    assert "to 4000, in training from" in done.stderr
    write("other.csv", ["a", "b", "c"], [(5, 0, 70)])
    done = invoke("predict", "run", "other.csv")
    assert "column c from 70 to 70, in training from 7 to 7 (and 1 more columns)" in done.stderr


def test_rows_that_are_all_much_too_small_are_told():
    x = np.random.default_rng(0).uniform(1, 100, (50, 4))
    write("percent.csv", list("abcd"), x)
    trained("percent.csv", "--epochs", 1, "--layers", 2)
    for factor, told in ((1.0, False), (0.1, False), (0.01, True), (0.0, False)):
        write("new.csv", list("abcd"), x * factor)
        done = invoke("reconstruct", "run", "new.csv")
        assert ("no value is more than 0.01 of the largest" in done.stderr) == told
    write("new.csv", list("abcd"), x[:1] * 0.01)  # a few numbers may be small by chance
    assert "note" not in invoke("reconstruct", "run", "new.csv").stderr


def test_a_watch_sees_block_by_block_what_it_sees_at_once():
    known = Range(np.zeros(2), np.array([1.0, 0.0]))
    x = np.array([[0.5, 0.0], [2.5, 0.5], [-3.0, 1.5], [1.0, 0.0]])
    whole, parts = Watch(known), Watch(known)
    whole.see(x)
    for row in x:
        parts.see(row[None])
    assert (whole.far, whole.rows) == (2, 4)
    assert whole.note() == parts.note()
    assert "number 1 of a row from -3 to 2.5, in training from 0 to 1" in whole.note()


def test_a_model_without_a_range_is_applied_without_a_word_and_a_damaged_one_is_refused():
    network = nnx.Network([nnx.Dense(2, 1)], seed=0)
    network.save("old.safetensors", {})
    np.save("x.npy", np.full((3, 2), 1e6))
    assert invoke("predict", "old.safetensors", "x.npy").stderr == ""
    good = Range.of_pixels().to_metadata()
    for damage in (
        {"low": [0.0, 0.0, 0.0]},
        {"high": [-1.0]},
        {"low": ["a"]},
        {"low": None},
        {"high": [[1.0]]},
    ):
        network.save("odd.safetensors", {"range": good | damage})
        with pytest.raises(nnx.FileFormatError, match="the range of its data is damaged"):
            Model.load("odd.safetensors")
    network.save("odd.safetensors", {"range": 3})
    with pytest.raises(nnx.FileFormatError, match="the range of its data is damaged"):
        Model.load("odd.safetensors")


def test_an_svm_scales_what_its_model_was_trained_on_scaled():
    data = load_digits()
    np.save("u1.npy", np.round(data.x_train * 255).astype(np.uint8))
    result = own_data.run(Config("u1.npy", scale="standard", layers=("32 relu", "16"), epochs=10))
    RunFolder.create(Path("run")).write_training(result)
    model = Model.load("run")
    right = model.prepared.predict(model.network[: model.network.encoder_length], np.load("u1.npy"))
    seen = {}
    compute = svm.compute

    def watched(asked, network, data, train, test, notes):
        seen["codes"] = train
        return compute(asked, network, data, train, test, notes)

    svm.compute = watched
    try:
        found = svm.run(svm.Config(model="run", dataset="digits", svm_engine="sklearn"))
    finally:
        svm.compute = compute
    np.testing.assert_allclose(seen["codes"], right, rtol=1e-5, atol=1e-5)
    assert found.metrics["accuracy"] > 0.8
