"""The metrics that a user chose: their names, and which of two values is better."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from sklearn import metrics as reference

import nnx
from nnx import metrics
from nnx.callbacks import History, Run
from nnx.metrics.choice import direction

pytestmark = pytest.mark.usefixtures("device")

X = np.random.default_rng(8).normal(size=(80, 3)).astype(np.float32)
VALUES = X @ np.array([[1.0], [2.0], [-1.0]], np.float32)
MACRO = functools.partial(reference.f1_score, average="macro")


def fit(y, *, loss, **options):
    network = nnx.Network([nnx.Dense(3, 8), nnx.Tanh(), nnx.Dense(1)], seed=0)
    given = {"optimizer": nnx.Adam(0.05), "validation": (X, y)} | options
    return network, network.fit(X, y, loss=loss, **given)


def worst(y_true, y_pred):
    return float(np.abs(y_true - y_pred).max())


# ------------------------------------------------------------------------------ names


def quantile(y, p, q):
    return float(np.mean(np.maximum(q * (y - p), (q - 1) * (y - p))))


LOW, HIGH = functools.partial(quantile, q=0.1), functools.partial(quantile, q=0.9)


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ([LOW, HIGH], "two metrics are called 'quantile'"),
        ([lambda y, p: 1.0, lambda y, p: 2.0], "two metrics are called '<lambda>'"),
        (["accuracy", metrics.accuracy], "two metrics are called 'accuracy'"),
        ({"loss": LOW}, "a metric is called 'loss'"), ({1: LOW}, "a metric is called 1"),
        ({"": LOW}, "a metric is called ''"),
        ({"mine": "acuracy"}, "unknown metric 'acuracy': did you mean 'accuracy'"),
        ("accuracy", r"must be a list: metrics=\['accuracy'\]"), (LOW, "must be a list"),
    ],
)  # fmt: skip
def test_names_that_are_none_are_refused_before_training_and_by_evaluate(chosen, words):
    network = nnx.Network([nnx.Dense(3, 1)], seed=0)
    before = network.weights()
    options = {"loss": nnx.MeanSquaredError(), "metrics": chosen}
    with pytest.raises(nnx.ConfigurationError, match=words):
        network.fit(X, VALUES, optimizer=nnx.SGD(0.1), validation=0.5, **options)
    with pytest.raises(nnx.ConfigurationError, match=words):
        network.evaluate(X, VALUES, **options)
    np.testing.assert_equal(network.weights(), before)


def test_a_mapping_names_metrics():
    network, history = fit(
        VALUES, loss=nnx.MeanSquaredError(), metrics={"q10": LOW, "q90": HIGH, "error": "mae"}
    )
    p = network.predict(X)
    assert history.last() == {
        "loss": history["loss"][0], "val_loss": history["val_loss"][0], "val_q10": LOW(VALUES, p),
        "val_q90": HIGH(VALUES, p), "val_error": metrics.mean_absolute_error(VALUES, p),
    }  # fmt: skip


def test_one_partial_has_the_name_of_its_function():
    assert metrics.get(LOW)[0] == "quantile"


def test_two_callbacks_that_write_one_file_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pair = [nnx.BestCheckpoint("best.safetensors"), nnx.BestCheckpoint(tmp_path / "best.safetensors", "loss")]
    with pytest.raises(nnx.ConfigurationError, match=r"two callbacks write .*best.safetensors"):
        fit(VALUES, loss=nnx.MeanSquaredError(), callbacks=pair)
    assert not list(tmp_path.iterdir())


def test_a_users_log_writes_its_path_if_its_base_class_does(tmp_path):
    class Log(nnx.CSVLog):
        pass

    class Reader(nnx.Callback):
        path = tmp_path / "history.csv"

    logs = [Log(tmp_path / "history.csv"), nnx.CSVLog(tmp_path / "history.csv")]
    with pytest.raises(nnx.ConfigurationError, match=r"two callbacks write .*history.csv"):
        fit(VALUES, loss=nnx.MeanSquaredError(), callbacks=logs)
    fit(VALUES, loss=nnx.MeanSquaredError(), callbacks=[logs[0], Reader()])


# -------------------------------------------------------------------------- directions


def test_directions_are_those_of_scikit_learns_scorers():
    scorers = [reference.get_scorer(name) for name in reference.get_scorer_names()]
    public = [s for s in scorers if s._score_func.__module__.startswith("sklearn.metrics._") and
              not s._score_func.__module__.endswith("_scorer")]  # fmt: skip
    assert len(public) > 40
    for scorer in public:
        assert direction(scorer._score_func) == ("max" if scorer._sign > 0 else "min"), scorer
    assert direction(MACRO) == "max"
    assert direction(worst) is None


def test_every_metric_of_nnx_has_a_direction():
    rising = {name for name, metric in metrics.NAMES.items() if direction(metric) == "max"}
    assert rising == {
        "accuracy", "binary_accuracy", "subset_accuracy", "f1", "f1_macro", "f1_micro", "f1_weighted",
        "roc_auc", "roc_auc_ovr", "r2",
    }  # fmt: skip
    assert {direction(metric) for metric in metrics.NAMES.values()} == {"max", "min"}


@pytest.mark.parametrize(
    ("monitor", "metric"),
    [
        ("val_r2", "r2"),
        ("val_r2_score", reference.r2_score),
        ("val_mine", {"mine": reference.explained_variance_score}),
    ],
)
def test_the_best_epoch_of_a_metric_that_rises_is_that_of_its_largest_value(monitor, metric, tmp_path):
    stop = nnx.EarlyStopping(monitor, patience=5)
    best = nnx.BestCheckpoint(tmp_path / "best.safetensors", monitor)
    kept = nnx.Checkpoint(tmp_path / "run", every=3, keep=1, best=monitor)
    network, history = fit(
        VALUES, loss=nnx.MeanSquaredError(), optimizer=nnx.SGD(0.9), epochs=12, callbacks=[stop, best],
        checkpoint=kept, metrics=metric if isinstance(metric, dict) else [metric],
    )  # fmt: skip
    values = history[monitor]
    assert stop.best_epoch == int(np.argmax(values)) + 1
    score = metric["mine"] if isinstance(metric, dict) else reference.r2_score
    for found in (network, nnx.load(best.path)):
        assert score(VALUES, found.predict(X)) == pytest.approx(max(values), rel=1e-5)
    assert kept._best["value"] == -max(values)


@pytest.mark.parametrize("make", [
    lambda monitor, path, **mode: {"callbacks": [nnx.EarlyStopping(monitor, **mode)]},
    lambda monitor, path, **mode: {"callbacks": [nnx.BestCheckpoint(path / "b.safetensors", monitor, **mode)]},  # noqa: E501
    lambda monitor, path, **mode: {"checkpoint": nnx.Checkpoint(path / "run", best=monitor, **mode)},
])  # fmt: skip
def test_a_metric_of_unknown_direction_wants_a_mode_before_training(make, tmp_path):
    options = {"loss": nnx.MeanSquaredError(), "metrics": [worst, lambda y, p: 1.0]}
    for monitor in ("val_worst", "val_<lambda>"):
        with pytest.raises(nnx.ConfigurationError, match=f"'{monitor}' .* mode='min' or mode='max'"):
            fit(VALUES, **make(monitor, tmp_path), **options)
    assert not list(tmp_path.glob("*.safetensors"))
    fit(VALUES, **make("val_worst", tmp_path, mode="min"), **options)
    with pytest.raises(nnx.ConfigurationError, match="mode must be auto, min or max, not 'least'"):
        make("val_worst", tmp_path, mode="least")


def test_a_monitor_that_fit_does_not_record_is_named_with_the_nearest():
    with pytest.raises(nnx.ConfigurationError, match=r"'val_los' .*: did you mean 'val_loss'"):
        fit(VALUES, loss=nnx.MeanSquaredError(), callbacks=[nnx.EarlyStopping("val_los")])


def accuracy(y_true, y_pred):
    """A function of the user's by the name of one of nnx's: which is better is not known."""
    return 0.0


def test_a_name_alone_does_not_make_a_direction():
    stop = nnx.EarlyStopping("val_accuracy")
    with pytest.raises(nnx.ConfigurationError, match="_accuracy"):
        fit(VALUES, loss=nnx.MeanSquaredError(), metrics=[accuracy], callbacks=[stop])
    run = Run(None, None, History(), 1, 1)  # what a callback of the user's records has only its name
    stop.on_train_begin(run)
    assert stop._sign == -1.0
    with pytest.raises(nnx.ConfigurationError, match="_accuracy"):
        nnx.EarlyStopping("test_accuracy").on_train_begin(run)


def test_every_name_gives_its_metric():
    for name, metric in metrics.NAMES.items():
        assert metrics.get(name) == (name, metric)
    assert metrics.get(reference.max_error) == ("max_error", reference.max_error)
