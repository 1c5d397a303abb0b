"""Bad input, one case for each mistake: the class of the error and the words in its line."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import nnx
from nnx.layers.activations import make

pytestmark = pytest.mark.usefixtures("device")

X = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
Y = np.zeros((10, 2), np.float32)
LABELS = np.arange(10) % 2
MSE, BCE, CCE = nnx.MeanSquaredError(), nnx.BinaryCrossEntropy(), nnx.CategoricalCrossEntropy()


def regressor():
    return nnx.Network([nnx.Dense(3, 4), nnx.ReLU(), nnx.Dense(2)], seed=0)


def classifier():
    return nnx.Network([nnx.Dense(3, 2), nnx.Softmax()], seed=0)


def binary():
    return nnx.Network([nnx.Dense(3, 2), nnx.Sigmoid()], seed=0)


def fit(network=None, x=X, y=Y, **options):
    defaults = {"loss": MSE, "optimizer": nnx.Adam(), "batch_size": 5}
    return (network or regressor()).fit(x, y, **(defaults | options))


def forward(x, network=None, **options):
    network = network or regressor()
    return network.forward(network.backend.asarray(x), **options)


def backward_without_forward():
    network = regressor()
    network.backward(network.asarray(Y))


def backward_of_another_shape():
    network = regressor()
    forward(X, network, training=True)
    network.backward(network.asarray(Y[:, :1]))


def layer_alone(x):
    layer = nnx.Dense(3, 4, seed=0)
    layer.build()
    return layer.forward(x)


def layer_backward(dy):
    layer = nnx.Dense(3, 4, seed=0)
    layer.forward(X)
    return layer.backward(dy)


DATA = {
    "x too wide": (lambda: fit(x=np.ones((10, 5))), ["5 features", "dense_1(3, 4)", "takes 3"]),
    "x flat": (lambda: fit(x=np.ones(10)), ["x of shape (10,)", "two dimensions", "reshape"]),
    "x with three dimensions": (lambda: fit(x=np.ones((10, 3, 1))), ["x must have shape", "(10, 3, 1)"]),
    "x a number": (lambda: fit(x=3.0), ["x must have shape", "()"]),
    "x empty": (lambda: fit(x=np.ones((0, 3)), y=np.ones((0, 2))), ["none of them may be 0", "(0, 3)"]),
    "x without features": (lambda: fit(x=np.ones((10, 0))), ["none of them may be 0", "(10, 0)"]),
    "x of text": (lambda: fit(x=np.full((10, 3), "a")), ["x must hold numbers", "<U1"]),
    "x of objects": (lambda: fit(x=np.full((10, 3), None)), ["x must hold numbers", "object"]),
    "x complex": (lambda: fit(x=X + 1j), ["x must hold numbers", "complex"]),
    "x of dates": (lambda: fit(x=np.zeros((10, 3), "datetime64[s]")), ["x must hold numbers", "datetime64"]),
    "x ragged": (lambda: fit(x=[[1.0, 2.0, 3.0], [1.0]]), ["x is not an array", "differ in length"]),
    "y shorter": (lambda: fit(y=Y[:7]), ["(10, 3)", "(7, 2)", "equally many rows"]),
    "y a number": (lambda: fit(y=1.0), ["(10, 3)", "()", "equally many rows"]),
    "y too narrow": (lambda: fit(y=Y[:, :1]), ["targets of shape (10, 1)", "output of shape (10, 2)"]),
    "y flat for two outputs": (lambda: fit(y=Y[:, 0]), ["targets of shape (10, 1)", "(10, 2)"]),
    "y of text": (lambda: fit(y=np.full((10, 2), "a")), ["y holds text, not numbers"]),
    "validation of another width": (
        lambda: fit(validation=(np.ones((4, 5)), Y[:4])), ["5 features", "takes 3"],
    ),
    "validation shorter": (lambda: fit(validation=(X, Y[:4])), ["(10, 3)", "(4, 2)"]),
    "weights shorter": (lambda: fit(sample_weight=np.ones(7)), ["must have shape (10,)", "not (7,)"]),
    "weights of two dimensions": (
        lambda: fit(sample_weight=np.ones((10, 1))), ["sample_weight must have shape (10,)", "not (10, 1)"],
    ),
    "weights of text": (lambda: fit(sample_weight=["a"] * 10), ["sample_weight must hold numbers"]),
    "weights negative": (lambda: fit(sample_weight=-np.ones(10)), ["sample_weight", "negative"]),
    "weights all zero": (lambda: fit(sample_weight=np.zeros(10)), ["at least one must be above 0"]),
    "labels too large": (
        lambda: fit(classifier(), y=LABELS + 1, loss=CCE), ["[0, 1] for 2 classes", "found [1, 2]"],
    ),
    "labels negative": (
        lambda: fit(classifier(), y=LABELS - 1, loss=CCE), ["[0, 1] for 2 classes", "found [-1, 0]"],
    ),
    "labels as floats": (
        lambda: fit(classifier(), y=LABELS.astype(float), loss=CCE), ["labels must be integers", "float64"],
    ),
    "labels as text": (
        lambda: fit(classifier(), y=LABELS.astype(str), loss=CCE), ["y holds text", "return_inverse=True"],
    ),
    "labels in the loss": (
        lambda: CCE(np.array([0, 5]), np.full((2, 3), 1 / 3)), ["[0, 2] for 3 classes", "found [0, 5]"],
    ),
    "dense classes out of range": (lambda: fit(classifier(), y=Y + 2, loss=CCE), ["must lie in [0, 1]"]),
    "targets that are no probabilities": (
        lambda: fit(binary(), y=Y - 0.5, loss=BCE), ["targets must lie in [0, 1]", "from -0.5 to -0.5"],
    ),
    "labels for a loss of values": (
        lambda: fit(classifier(), y=LABELS), ["targets of shape (10, 1)", "(10, 2)"],
    ),
    "predict a flat row": (lambda: regressor().predict(X[0]), ["shape (rows, inputs)", "(3,)"]),
    "predict nothing": (lambda: regressor().predict(X[:0]), ["at least a row", "(0, 3)"]),
    "predict too wide": (lambda: regressor().predict(np.ones((2, 9))), ["9 features", "dense_1(3, 4)"]),
    "predict text": (lambda: regressor().predict([["a", "b", "c"]]), ["x must hold numbers"]),
    "predict ragged": (lambda: regressor().predict([[1.0], [1.0, 2.0]]), ["differ in length"]),
    "forward a list": (lambda: regressor().forward(X.tolist()), ["list", "network.asarray(x)"]),
    "forward a flat row": (lambda: forward(X[0]), ["(rows, inputs)", "(3,)"]),
    "forward another dtype": (
        lambda: forward(X.astype(np.float64)), ["float32", "float64", "network.asarray(x)"],
    ),
    "forward too wide": (lambda: forward(np.ones((2, 9), np.float32)), ["9 features", "takes 3"]),
    "forward nothing": (lambda: forward(X[:0]), ["no rows"]),
    "backward of another shape": (backward_of_another_shape, ["(10, 1)", "dense_2", "(10, 2)"]),
    "a layer alone, too wide": (lambda: layer_alone(np.ones((2, 5))), ["(2, 5)", "Dense(3, 4)", "(rows, 3)"]),
    "a layer alone, flat": (lambda: layer_alone(X[0]), ["Dense(3, 4)", "(3,)"]),
    "a layer alone, backward": (lambda: layer_backward(np.ones((10, 3))), ["(10, 3)", "(10, 4)"]),
    "loss of two shapes": (lambda: MSE(Y, Y[:, :1]), ["(10, 2)", "(10, 1)", "equal shapes"]),
    "loss never broadcasts": (lambda: MSE(Y[:1], Y), ["(1, 2)", "(10, 2)"]),
    "loss of flat predictions": (lambda: MSE(Y[:, 0], Y[:, 0]), ["y_pred", "(10,)"]),
    "loss of integer predictions": (lambda: MSE(Y, Y.astype(int)), ["y_pred", "floats", "int64"]),
    "loss of a list": (lambda: MSE([[1.0]], [[1.0]]), ["y_pred must be an array", "list"]),
    "loss with weights of another length": (lambda: MSE(Y, Y, np.ones(3)), ["shape (10,)", "not (3,)"]),
    "gradient of two shapes": (lambda: BCE.gradient(Y, Y[:5]), ["(10, 2)", "(5, 2)"]),
    "weights that do not fit": (
        lambda: regressor().set_weights({"dense_1.X": Y}), ["has no dense_1.X", "dense_1.W is missing"],
    ),
}  # fmt: skip

CONFIGURATION = {
    "no layers": (lambda: nnx.Network([]), ["at least one layer"]),
    "one layer outside a list": (lambda: nnx.Network(nnx.Dense(2, 2)), ["list"]),
    "layers of an iterator": (lambda: nnx.Network(iter([nnx.Dense(2, 2)])), ["list"]),
    "a class for a layer": (
        lambda: nnx.Network([nnx.Dense(2, 2), nnx.ReLU]), ["layer 1 is not an nnx layer"],
    ),
    "a name for a layer": (lambda: nnx.Network(["relu"]), ["layer 0", "'relu'"]),
    "widths that do not fit": (
        lambda: nnx.Network([nnx.Dense(3, 4), nnx.ReLU(), nnx.Dense(5, 2)]),
        ["dense_2(5, 2)", "expects 5 inputs", "before it has 4"],
    ),
    "an unknown device": (
        lambda: nnx.Network([nnx.Dense(1, 1)], device="gpuu"), ["'gpuu'", "did you mean 'gpu'"],
    ),
    "an unknown dtype": (
        lambda: nnx.Network([nnx.Dense(1, 1)], dtype="floot32"), ["float32 or float64", "floot32"],
    ),
    "a dtype too small": (lambda: nnx.Network([nnx.Dense(1, 1)], dtype="float16"), ["float16"]),
    "an integer dtype": (lambda: nnx.Network([nnx.Dense(1, 1)], dtype=int), ["float32 or float64"]),
    "a negative seed": (lambda: nnx.Network([nnx.Dense(1, 1)], seed=-1), ["seed", "-1"]),
    "a seed with a fraction": (lambda: nnx.Network([nnx.Dense(1, 1)], seed=0.5), ["seed", "0.5"]),
    "a width of zero": (lambda: nnx.Dense(0), ["Dense: units", "0"]),
    "a negative width": (lambda: nnx.Dense(-3, 2), ["Dense: inputs", "-3"]),
    "a width with a fraction": (lambda: nnx.Dense(2.5), ["Dense: units", "2.5"]),
    "a width of text": (lambda: nnx.Dense("8"), ["Dense: units", "'8'"]),
    "a width of truth": (lambda: nnx.Dense(True), ["Dense: units", "True"]),
    "an unknown activation": (lambda: nnx.Dense(3, activation="rellu"), ["'rellu'", "did you mean 'relu'"]),
    "a capital activation": (lambda: make("ReLU"), ["'ReLU'", "did you mean 'relu'"]),
    "an unlike activation": (lambda: nnx.Dense(3, activation="zzz"), ["'zzz'", "choose from", "sigmoid"]),
    "an unknown initializer": (
        lambda: nnx.Dense(3, initializer="glorot_unifrom"), ["did you mean 'glorot_uniform'"],
    ),
    "a number for an initializer": (lambda: nnx.Dense(3, initializer=0.1), ["initializer", "0.1"]),
    "a class for an initializer": (
        lambda: nnx.Dense(3, initializer=nnx.initializers.Normal), ["initializer", "Normal"],
    ),
    "an unknown metric": (
        lambda: fit(validation=0.2, metrics=["acuracy"]), ["'acuracy'", "did you mean 'accuracy'"],
    ),
    "metrics without validation": (lambda: fit(metrics=["mse"]), ["validation"]),
    "a dropout rate of one": (lambda: nnx.Dropout(1.0), ["rate", "[0, 1)", "1.0"]),
    "a dropout rate that is no number": (lambda: nnx.Dropout(float("nan")), ["rate", "nan"]),
    "a negative slope": (lambda: nnx.LeakyReLU(-0.1), ["LeakyReLU: alpha", "-0.1"]),
    "an infinite slope": (lambda: nnx.ELU(float("inf")), ["ELU: alpha", "inf"]),
    "a momentum of one": (lambda: nnx.BatchNorm(momentum=1.0), ["BatchNorm: momentum", "1.0"]),
    "an epsilon of zero": (lambda: nnx.LayerNorm(epsilon=0.0), ["LayerNorm: epsilon", "0.0"]),
    "an unknown reduction": (lambda: nnx.MeanSquaredError("sum"), ["sum_over_features", "'sum'"]),
    "a delta of zero": (lambda: nnx.Huber(0.0), ["Huber: delta", "0.0"]),
    "a clip of one half": (lambda: nnx.BinaryCrossEntropy(0.5), ["BinaryCrossEntropy: epsilon", "0.5"]),
    "a negative learning rate": (lambda: nnx.SGD(-0.1), ["learning rate", "-0.1"]),
    "an infinite learning rate": (lambda: nnx.Adam(float("inf")), ["learning rate", "inf"]),
    "a learning rate of text": (lambda: nnx.Adam("fast"), ["learning rate", "'fast'"]),
    "a momentum of text": (lambda: nnx.SGD(0.1, momentum="x"), ["SGD: momentum", "'x'"]),
    "a momentum too large": (lambda: nnx.SGD(0.1, momentum=1.5), ["SGD: momentum", "[0, 1)", "1.5"]),
    "nesterov without momentum": (lambda: nnx.SGD(0.1, nesterov=True), ["nesterov", "momentum"]),
    "a beta of one": (lambda: nnx.Adam(beta2=1.0), ["Adam: beta2", "1.0"]),
    "an epsilon of zero in Adam": (lambda: nnx.AdamW(epsilon=0.0), ["AdamW: epsilon", "0.0"]),
    "a clip of zero": (lambda: nnx.Adam(clip_norm=0.0), ["Adam: clip_norm", "0.0"]),
    "a decay that is no number": (lambda: nnx.Adagrad(weight_decay=float("nan")), ["weight_decay", "nan"]),
    "a schedule without steps": (lambda: nnx.Cosine(0.1, 0), ["Cosine: steps", "0"]),
    "a schedule of half steps": (lambda: nnx.Step(0.1, every=1.5), ["Step: every", "1.5"]),
    "a batch larger than the data": (lambda: fit(batch_size=11), ["batch_size=11", "10 rows"]),
    "a batch larger than what validation leaves": (
        lambda: fit(batch_size=9, validation=0.2), ["batch_size=9", "8 rows"],
    ),
    "a batch of nothing": (lambda: fit(batch_size=0), ["batch_size", "0"]),
    "a batch with a fraction": (lambda: fit(batch_size=2.0), ["batch_size", "2.0"]),
    "no epochs": (lambda: fit(epochs=0), ["epochs", "0"]),
    "an unknown loss": (lambda: fit(loss="msee"), ["unknown loss 'msee'", "'mse'"]),
    "a class for a loss": (lambda: fit(loss=nnx.MeanSquaredError), ["loss", "MeanSquaredError"]),
    "an unknown optimizer": (lambda: fit(optimizer="adan"), ["unknown optimizer 'adan'", "'adam'"]),
    "a loss for an optimizer": (lambda: fit(optimizer=MSE), ["optimizer"]),
    "predict in batches of nothing": (lambda: regressor().predict(X, batch_size=0), ["batch_size", "0"]),
    "a stride": (lambda: regressor()[::2], ["neighbouring"]),
    "backward before forward": (backward_without_forward, ["before backward"]),
    "a layer's backward before forward": (lambda: nnx.Dense(2, 2).backward(Y), ["before backward"]),
    "parameters before the width is known": (
        lambda: list(nnx.Network([nnx.Dense(2)]).parameters()), ["input width", "build(inputs)"],
    ),
    "a step before the width is known": (
        lambda: nnx.SGD(0.1).step(nnx.Network([nnx.Dense(2)])), ["input width"],
    ),
    "a slice before the width is known": (lambda: nnx.Network([nnx.Dense(2)])[:1], ["input width"]),
    "an unknown monitor": (
        lambda: fit(validation=0.2, callbacks=[nnx.EarlyStopping("val_los")]), ["did you mean 'val_loss'"],
    ),
    "a monitor that needs validation": (
        lambda: fit(callbacks=[nnx.EarlyStopping()]), [
            "EarlyStopping: val_loss needs validation data",
            'validation=0.2 in fit, or monitor="loss"',
        ],
    ),
    "a callback in no list": (
        lambda: fit(callbacks=nnx.EarlyStopping("loss")), ["callbacks must be a list", "callbacks=[…]"],
    ),
    "a callback's class": (lambda: fit(callbacks=[nnx.EarlyStopping]), ["callbacks must be a list"]),
    "metrics in no list": (lambda: fit(validation=0.2, metrics="mae"), ["metrics=['mae']"]),
    "an unknown mode": (lambda: nnx.EarlyStopping(mode="up"), ["mode", "'up'"]),
    "a patience of half an epoch": (lambda: nnx.EarlyStopping(patience=2.5), ["patience", "2.5"]),
    "a negative patience": (lambda: nnx.EarlyStopping(patience=-1), ["patience", "-1"]),
    "progress every zero epochs": (lambda: nnx.Progress(every=0), ["every", "0"]),
}  # fmt: skip


def check(action, parts, kind):
    with pytest.raises(kind) as caught:
        action()
    text = str(caught.value)
    assert type(caught.value) is kind
    assert "\n" not in text
    for part in parts:
        assert part in text


@pytest.mark.parametrize("mistake", DATA)
def test_data_that_does_not_fit(mistake):
    check(*DATA[mistake], nnx.DataError)


@pytest.mark.parametrize("mistake", CONFIGURATION)
def test_invalid_options(mistake):
    check(*CONFIGURATION[mistake], nnx.ConfigurationError)


def test_a_mistake_in_the_data_changes_no_parameter():
    network = regressor()
    before = network.arena.values.tobytes()
    for x, y in ((np.ones((10, 5)), Y), (X, Y[:3]), (X * np.nan, Y), (X[:0], Y[:0])):
        with pytest.raises(nnx.DataError):
            fit(network, x=x, y=y)
    assert network.arena.values.tobytes() == before
    assert np.isfinite(fit(network)["loss"]).all()


@pytest.mark.parametrize("callback", [nnx.CSVLog, nnx.JSONLog, nnx.BestCheckpoint])
@pytest.mark.parametrize("where", ["missing folder", "file for a folder", "folder for a file"])
def test_a_log_that_cannot_be_written_is_named(callback, where, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    path: Path = {
        "missing folder": tmp_path / "none" / "out",
        "file for a folder": tmp_path / "file" / "out",
        "folder for a file": tmp_path / "folder",
    }[where]
    with pytest.raises(nnx.OutputError, match=f"cannot write {re.escape(str(path))}"):
        fit(validation=0.2, callbacks=[callback(path)])
    assert sorted(entry.name for entry in tmp_path.rglob("*")) == ["file", "folder"]
