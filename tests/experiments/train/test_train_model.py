"""Own data: scalings without loss, ranges, weights, metrics, hidden layers, and ``nnx predict``."""

from __future__ import annotations

import csv
import json
import os
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn import metrics as sklearn_metrics
from support.command_line import invoke

import nnx
from nnx.cli.main import cli
from nnx.datasets import load_digits
from nnx.experiments import autoencoder, svm
from nnx.experiments.result import RunFolder
from nnx.experiments.train import experiment as own_data
from nnx.experiments.train import metrics as own_metrics
from nnx.experiments.train.applying import Model
from nnx.experiments.train.config import Config
from nnx.experiments.train.labelled import load_labelled
from nnx.experiments.train.networks import build
from nnx.experiments.train.ranges import Range, Watch
from nnx.experiments.train.scaling import ScaledRows, Scaling, extent, moments

pytestmark = pytest.mark.usefixtures("on_cpu")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def trained(*arguments, out="run"):
    return json.loads(invoke("train", *arguments, "--out", out, "-q", "--json").stdout)


def table(text):
    return list(csv.reader(text.splitlines()))


def write(path, header, rows):
    with Path(path).open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def classes(rows=120, share=0.25, name="t.csv"):
    """Two classes of different size, told apart by one of two features; each row has a name and a weight."""
    rng = np.random.default_rng(0)
    label = rng.random(rows) < share
    x = rng.normal(size=(rows, 2)) + np.outer(label, [3.0, 0.0])
    weight = rng.integers(1, 5, rows)
    lines = [(f"r{k}", *x[k], weight[k], "rare" if label[k] else "common") for k in range(rows)]
    return write(name, ["name", "a", "b", "w", "kind"], lines)


# --------------------------------------------------------------------------- scaled and undone without loss


@pytest.mark.parametrize(("offset", "spread"), [(1.7e9, 60.0), (2460000.5, 1.0), (-5.3e6, 10.0)])
def test_values_with_a_large_mean_keep_their_digits(offset, spread):
    a = np.random.default_rng(0).uniform(size=200)
    lines = [(float(offset + spread * v), float(offset + spread * v**2)) for v in a]
    write("t.csv", ["a", "y"], lines)
    result = trained("t.csv", "--target", "y", "--task", "regression", "--epochs", 100)
    assert result["dtype"] == "float32"
    assert result["metrics"]["r2"] > 0.999
    done = table(invoke("predict", "run", "t.csv").stdout)
    given = np.array(done[1:], float)[:, 0]
    assert len(np.unique(given)) == 200
    assert 1.0 - np.mean((given - [y for _, y in lines]) ** 2) / np.var(spread * a**2) > 0.999
    invoke("predict", "run", "t.csv", "--out", "p.npy")
    np.testing.assert_array_equal(np.load("p.npy")[:, 0], given)


def test_an_autoencoder_gives_data_with_a_large_mean_back():
    z = 1.7e9 + np.random.default_rng(0).uniform(0, 60, (200, 2))
    np.save("z.npy", z)
    result = trained("z.npy", "--layers", "2", "--epochs", 100, "--learning-rate", 0.02)
    assert result["metrics"]["r2"] > 0.99
    invoke("reconstruct", "run", "z.npy", "--out", "again.npy")
    again = np.load("again.npy")
    assert again.dtype == np.float64
    assert np.mean((again - z) ** 2) < 0.01 * z.var()
    invoke("encode", "run", "z.npy", "--out", "codes.npy")
    assert np.load("codes.npy").dtype == np.float32


def test_a_small_spread_around_a_large_mean_is_no_constant():
    x = 2460000.5 + np.random.default_rng(0).uniform(0, 1e-5, (100_000, 1))
    given = x.copy()
    mean, deviation = moments(x)
    np.testing.assert_array_equal(x, given)
    assert mean[0] == pytest.approx(2460000.5 + 5e-6, abs=1e-8)
    assert deviation[0] == pytest.approx(x.std(), rel=1e-3)
    assert Scaling.fitted("standard", x).scale[0] == deviation[0]


def test_a_weight_is_a_row_that_occurs_so_often_in_every_measure(monkeypatch):
    monkeypatch.setattr("nnx.experiments.train.scaling._BLOCK", 40)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 3)) * [1, 1e-3, 1e4] + [0, 5, 1e6]
    w = rng.integers(0, 4, 100)
    repeated = np.repeat(x, w, axis=0)
    x[w == 0] = 1e9
    for measured, right in ((moments(x, None, w), (repeated.mean(0), repeated.std(0))),
                            (extent(x, None, w), (repeated.min(0), repeated.max(0)))):  # fmt: skip
        np.testing.assert_allclose(measured, right, rtol=1e-9)
    for kind in ("standard", "minmax"):
        weighted, plain = Scaling.fitted(kind, x, None, w.astype(float)), Scaling.fitted(kind, repeated)
        np.testing.assert_allclose(weighted.scale, plain.scale, rtol=1e-9)


# ------------------------------------------------------------------ cross-entropies and what leaves [0, 1]


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
    _, rows = own_data.split(load_labelled("wine.npy"), 0.2, 0)
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


def test_clipped_rows_of_a_file_are_those_of_memory():
    np.save("x.npy", np.linspace(-1, 2, 12).reshape(6, 2))
    x, scaling = np.load("x.npy", mmap_mode="r"), Scaling(np.zeros(1), np.ones(1))
    rows = ScaledRows(x, np.arange(1, 6), scaling, "float32", clip=True)
    np.testing.assert_array_equal(np.asarray(rows[1:3]), x[2:4].clip(0, 1).astype(np.float32))
    assert rows.astype("float64")[np.array([0])].max() <= 1.0


def test_a_scale_that_a_loss_cannot_take_is_named():
    np.save("x.npy", np.random.default_rng(0).normal(size=(30, 2)))
    with pytest.raises(
        nnx.ConfigurationError, match=r"with scale standard it goes from -.*choose scale minmax"
    ):
        trained("x.npy", "--loss", "binary_cross_entropy", "--scale", "standard")


@pytest.mark.parametrize("scale", ["auto", "standard", "minmax"])
def test_reconstructed_images_are_drawn_as_pixels_whatever_the_scale(scale):
    images = np.round(load_digits().x_train[:200] * 255).astype(np.uint8).reshape(-1, 8, 8)
    np.save("x.npy", images)
    result = own_data.run(Config("x.npy", scale=scale, layers=("16",), epochs=40, loss="mse"))
    _, rows = own_data.split(load_labelled("x.npy"), 0.2, 0)
    originals, again = result.arrays["originals"], result.arrays["reconstructions"]
    np.testing.assert_allclose(originals, images.reshape(200, 64)[rows] / 255)
    assert np.mean((again - originals) ** 2) * 255**2 == pytest.approx(result.metrics["mse"], rel=1e-5)


# --------------------------------------------------------------------------- the range of the training's data


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


def test_columns_too_large_to_scale_are_named():
    x = np.random.default_rng(0).uniform(1, 100, (50, 2))
    for at, name in enumerate(("a", "y")):
        values = x.copy()
        values[3, at] = 1e300
        write("t.csv", ["a", "y"], values)
        with pytest.raises(nnx.DataError, match=rf"column {name} holds values .* too large to scale"):
            trained("t.csv", "--target", "y", "--task", "regression")
    values[3] = (1e39, 1.0)
    write("t.csv", ["a", "y"], values)
    with pytest.raises(nnx.DataError, match=r"in float32, numbers above 3.4e38 are infinite"):
        trained("t.csv", "--target", "y", "--task", "regression", "--scale", "none")


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


# ------------------------------------------------------------------------------------------ hidden layers


@pytest.mark.parametrize(
    ("layers", "task", "right"),
    [
        ("64,32", "regression", "Dense ReLU Dense ReLU Dense"),
        ("64,32", "classification", "Dense ReLU Dense ReLU Dense Softmax"),
        ("64 linear,32", "regression", "Dense Dense ReLU Dense"),
        ("64,batch_norm,tanh,32", "regression", "Dense BatchNorm Tanh Dense ReLU Dense"),
        ("64,dropout 0.1,32 tanh", "regression", "Dense ReLU Dropout Dense Tanh Dense"),
        ("16,4", "autoencoding", "Dense ReLU Dense Dense ReLU Dense"),
        ("16,tanh,4", "autoencoding", "Dense Tanh Dense Dense Tanh Dense"),
        ("16,4 tanh", "autoencoding", "Dense ReLU Dense Tanh Dense ReLU Dense"),
        ("4", "autoencoding", "Dense Dense"),
    ],
)
def test_a_width_without_an_activation_has_relu_but_for_a_code(layers, task, right):
    config = Config("x", layers=tuple(layers.split(",")))
    loss = "cross_entropy" if task == "classification" else "mse"
    network = build(config, task, 6, 6, loss)
    names = [type(layer).__name__ for layer in network if type(layer).__name__ != "Identity"]
    assert " ".join(names) == right
    if task == "autoencoding":
        assert network[: network.encoder_length].outputs == 4


# ------------------------------------------------------------------------------------ weights and metrics


def test_balanced_factors_and_metrics_count_weights_as_rows():
    rng = np.random.default_rng(1)
    y, w = rng.choice(3, 90, p=[0.6, 0.3, 0.1]), rng.integers(0, 4, 90).astype(float)
    p = rng.dirichlet(np.ones(3), 90) + np.eye(3)[y] * 0.3
    p /= p.sum(axis=1, keepdims=True)
    many = np.repeat(np.arange(90), w.astype(int))
    names = ("a", "b", "c")

    def data(labels, weights):
        return own_data.Labelled("d", "classification", labels[:, None], labels, names, (), None, weights)

    weighted = own_data.class_factors(("balanced",), data(y, w), np.arange(90))
    repeated = own_data.class_factors(("balanced",), data(y[many], None), np.arange(len(many)))
    np.testing.assert_allclose(weighted, repeated)
    sums = np.bincount(y, w * weighted[y])
    np.testing.assert_allclose(sums, sums[0])
    once = own_metrics.of_classes(y, p, names, 0, w)
    often = own_metrics.of_classes(y[many], p[many], names, 0)
    assert once.pop("by_class") == {name: pytest.approx(each) for name, each in often.pop("by_class").items()}
    assert once.pop("classes") == often.pop("classes")
    np.testing.assert_allclose(once.pop("confusion_matrix"), often.pop("confusion_matrix"))
    assert once == pytest.approx(often)
    true, answers = rng.normal(size=(90, 2)) + 1e9, rng.normal(size=(90, 2)) + 1e9
    assert own_metrics.of_values(true, answers, w) == pytest.approx(
        own_metrics.of_values(true[many], answers[many]), rel=1e-6
    )


def test_metrics_are_scikit_learn_s_on_the_rows_held_out():
    classes()
    options = {"target": ["kind"], "ignore": ["name"], "weights": "w", "epochs": 20}
    result = own_data.run(Config.of("t.csv", options))
    data = load_labelled("t.csv", target=["kind"], ignore=["name"], weights="w")
    _, rows = own_data.split(data, 0.2, 0)
    assert data.x.shape == (120, 2)
    RunFolder.create(Path("run")).write_training(result)
    p = Model.load("run").predict(data.x[rows])
    true, w, found = data.y[rows], data.weights[rows], result.metrics
    predicted = p.argmax(axis=1)
    assert found["accuracy"] == pytest.approx(np.average(predicted == true, weights=w))
    assert found["majority_accuracy"] == pytest.approx(np.average(true == 0, weights=w))
    kwargs = {"sample_weight": w}
    assert found["balanced_accuracy"] == pytest.approx(
        sklearn_metrics.balanced_accuracy_score(true, predicted, **kwargs)
    )
    for name in ("precision", "recall", "f1"):
        score = getattr(sklearn_metrics, f"{name}_score")
        assert found[name] == pytest.approx(score(true, predicted, average="macro", **kwargs))
    assert found["roc_auc"] == pytest.approx(sklearn_metrics.roc_auc_score(true, p[:, 1], **kwargs))
    assert found["by_class"]["rare"]["rows"] == pytest.approx(w[true == 1].sum())
    assert np.sum(found["confusion_matrix"]) == pytest.approx(w.sum())


@pytest.mark.parametrize("scale", [1e-60, 1e-3, 1e300])
def test_weights_count_by_their_ratio_however_large_they_are(scale):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(60, 2)), rng.integers(0, 4, 60)
    found = []
    for factor in (1.0, scale):
        np.savez("d.npz", x=x, y=x @ [1.0, 2.0], w=w * factor)
        found.append(trained("d.npz", "--weights", "w", "--epochs", 5, out=f"run{factor}")["metrics"])
    assert found[1]["validation_loss"] == pytest.approx(found[0]["validation_loss"], rel=1e-5)
    assert found[1]["mse"] == pytest.approx(found[0]["mse"], rel=1e-5)


def test_a_class_that_is_missing_from_the_rows_has_no_recall_and_leaves_no_auc():
    p = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.7, 0.3, 0.0]])
    found = own_metrics.of_classes(np.array([0, 1, 1]), p, ("a", "b", "c"), 0)
    assert found["roc_auc"] is None
    assert found["by_class"]["c"] == {"precision": 0.0, "recall": None, "f1": 0.0, "rows": 0}
    assert found["recall"] == found["balanced_accuracy"] == 0.75


def test_rare_classes_count_where_they_are_balanced_or_given_a_factor():
    rng = np.random.default_rng(0)
    y = (rng.random(300) < 0.1).astype(int)
    np.savez("d.npz", x=rng.normal(size=(300, 2)) + y[:, None], y=y, w=np.full(300, 3))
    plain = trained("d.npz", "--epochs", 30, out="plain")["metrics"]
    same = trained("d.npz", "--epochs", 30, "--weights", "w", out="same")["metrics"]
    balanced = trained("d.npz", "--epochs", 30, "--class-weight", "balanced", out="balanced")["metrics"]
    factor = trained("d.npz", "--epochs", 30, "--class-weight", "1=9", out="factor")["metrics"]
    assert same["accuracy"] == pytest.approx(plain["accuracy"])
    assert same["validation_loss"] == pytest.approx(plain["validation_loss"], rel=1e-3)
    assert np.sum(same["confusion_matrix"]) == 3 * np.sum(plain["confusion_matrix"])
    for found in (balanced, factor):
        assert found["by_class"]["1"]["recall"] > plain["by_class"]["1"]["recall"]


def test_weighted_counts_are_shown_as_they_are():
    classes()
    Path("t.csv").write_text(Path("t.csv").read_text().replace(",1,", ",0.5,"))
    done = invoke("train", "t.csv", "--target", "kind", "--ignore", "name", "--weights", "w", "--epochs", 2,
                  "--out", "run", "-q")  # fmt: skip
    matrix = np.array(json.loads(Path("run/result.json").read_text())["metrics"]["confusion_matrix"])
    assert matrix.sum() % 1 == 0.5
    assert f"{np.trace(matrix):,.2f} of {matrix.sum():,.2f} right" in Path("run/report.html").read_text()
    assert f"{matrix[1].sum():,.2f}" in done.stdout


@pytest.mark.parametrize("task", ["classification", "regression", "autoencoding"])
def test_a_model_no_better_than_the_simplest_guess_is_called_so(task):
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(200, 3)), rng.normal(size=200)
    good = {"classification": x[:, 0] > 0, "regression": x @ [1.0, 2.0, 3.0], "autoencoding": None}[task]
    bad = {"classification": noise > 0.9, "regression": noise, "autoencoding": None}[task]
    words = {
        "classification": "no better than always naming the commonest class, 0: accuracy",
        "regression": "for target 1 the model is no better than always answering with the mean",
        "autoencoding": "no better than the mean of each column would",
    }[task]
    for name, y, epochs in (("bad", bad, 1), ("good", good, 80)):
        arrays = {} if y is None else {"y": y.astype(int) if task == "classification" else y}
        np.savez(f"{name}.npz", x=x, **arrays)
        rate = () if name == "good" else ("--learning-rate", 1e-9)
        done = invoke("train", f"{name}.npz", "--epochs", epochs, *rate, "--out", name, "-q",
                      "--layers", "8 tanh,3")  # fmt: skip
        notes = json.loads(Path(name, "result.json").read_text())["notes"]
        assert [words in note for note in notes] == ([True] if name == "bad" else [])
        assert (words in done.stderr) == (name == "bad")


@pytest.mark.parametrize("task", ["regression", "autoencoding"])
def test_the_loss_has_its_metric_in_the_same_unit(task):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 2)) * [1.0, 1000.0]
    np.savez("d.npz", x=x, **({"y": x * [1.0, 3.0]} if task == "regression" else {}))
    found = trained("d.npz", "--epochs", 5, "--loss", "mse", "--layers", "4,1")["metrics"]
    assert found["scaled"]["mse"] == pytest.approx(found["validation_loss"], rel=1e-5)
    assert found["mse"] > 1000 * found["scaled"]["mse"]


MISTAKES = {
    "--class-weight balanced --target a --ignore kind --task regression": "is for classification",
    "--class-weight rare=-1 --target kind": "the factor of 'rare' must be a number of at least 0, not -1",
    "--class-weight rare=x --target kind": "the factor of 'rare' must be a number of at least 0, not x",
    "--class-weight rear=2 --target kind": "there is no class 'rear': did you mean 'rare'?",
    "--class-weight rare --target kind": "'rare' is neither 'balanced' nor NAME=FACTOR",
    "--validation 0 --target kind": "--validation: must be a number above 0 and below 1, not 0",
    "--loss log_loss --target kind": "'log_loss'",
    "--weights v --target kind": "has no column 'v'",
    "--weights kind --target kind": "weights: leave one out",
    "--weights zero --target kind": "all weights are 0",
    "--weights neg --target kind": "at least 0, but that of row 3 is -2",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_named_in_the_words_of_the_command_line(line):
    lines = [(k, "rare" if k % 4 == 0 else "common", 0, -2 if k == 2 else 1) for k in range(20)]
    write("t.csv", ["a", "kind", "zero", "neg"], lines)
    done = CliRunner().invoke(
        cli, ["train", "t.csv", *shlex.split(line), "--out", "run"], standalone_mode=False
    )
    assert isinstance(done.exception, Exception)
    assert MISTAKES[line] in str(done.exception)
    assert "\n" not in str(done.exception)
    assert not Path("run").exists()


@pytest.mark.parametrize("weights", [np.ones(5), np.ones((6, 2)), np.array([1.0, np.nan, 1, 1, 1, 1])])
def test_weights_of_arrays_are_checked(weights):
    np.savez("d.npz", x=np.zeros((6, 2)), y=np.arange(6) % 2, w=weights)
    with pytest.raises(nnx.DataError, match="weight"):
        load_labelled("d.npz", weights="w")
    np.save("x.npy", np.zeros((6, 2)))
    np.save("w.npy", weights)
    with pytest.raises(nnx.DataError, match="weight"):
        load_labelled("x.npy", weights="w.npy")
    with pytest.raises(nnx.ConfigurationError, match="has no array 'v'"):
        load_labelled("d.npz", weights="v")


# -------------------------------------------------------------------------------------------- nnx predict


@pytest.fixture
def model():
    classes()
    trained("t.csv", "--target", "kind", "--ignore", "name,w", "--epochs", 2)
    return table(Path("t.csv").read_text())


def test_answers_are_named_numbered_and_written_to_standard_output(model):
    plain = table(invoke("predict", "run", "t.csv").stdout)
    assert plain[0] == ["kind"]
    assert len(plain) == 121
    assert {row[0] for row in plain[1:]} <= {"rare", "common"}
    for identity, cells in (("name", [row[0] for row in model]), ("1", [row[0] for row in model]),
                            ("row", ["row", *map(str, range(1, 121))])):  # fmt: skip
        done = table(invoke("predict", "run", "t.csv", "--id", identity).stdout)
        assert [row[0] for row in done] == cells
        assert [row[1:] for row in done] == plain
    done = table(invoke("predict", "run", "t.csv", "--id", "name", "--probabilities").stdout)
    assert done[0] == ["name", "kind", "common", "rare"]
    np.testing.assert_allclose(np.array(done[1:])[:, 2:].astype(float).sum(axis=1), 1.0, rtol=1e-6)


def test_several_files_are_answered_in_their_order(model):
    write("two.csv", model[0], model[1:6])
    done = table(invoke("predict", "run", "t.csv", "two.csv", "--id", "name").stdout)
    assert done[0] == ["name", "file", "kind"]
    assert [row[1] for row in done[1:]] == ["t.csv"] * 120 + ["two.csv"] * 5
    assert [row[2] for row in done[121:]] == [row[2] for row in done[1:6]]
    invoke("predict", "run", "two.csv", "two.csv", "--out", "both.npy")
    assert np.load("both.npy").shape == (10, 2)


@pytest.mark.parametrize("kind", ["the same", "a link", "another spelling", "one of several"])
def test_an_input_is_not_written_over_unless_forced(model, kind):
    before = Path("t.csv").read_bytes()
    Path("sub").mkdir()
    write("two.csv", model[0], model[1:3])
    out = {"a link": "link.csv", "another spelling": "sub/../t.csv"}.get(kind, "t.csv")
    if kind == "a link":
        os.link("t.csv", out)
    inputs = ["two.csv", "t.csv"] if kind == "one of several" else ["t.csv"]
    with pytest.raises(nnx.ConfigurationError, match=r"is also an INPUT, and would replace it.*--force"):
        invoke("predict", "run", *inputs, "--out", out)
    assert Path("t.csv").read_bytes() == before
    invoke("predict", "run", *inputs, "--out", out, "--force")
    assert Path(out).read_text().splitlines()[0] in ("kind", "file,kind")


def test_what_an_id_cannot_be_is_named(model):
    np.save("x.npy", np.zeros((2, 2)))
    assert invoke("predict", "run", "x.npy", "--id", "row").stdout.startswith("row,kind\n1,")
    for line, words in (
        ("x.npy --id name", "has no named columns, so there is no column 'name': use --id row"),
        ("t.csv --id nam", "did you mean 'name'?"),
        ("t.csv --id name --out y.npy", "adds a column to a .csv file"),
    ):
        with pytest.raises(nnx.ConfigurationError) as caught:
            invoke("predict", "run", *line.split())
        assert words in str(caught.value)
