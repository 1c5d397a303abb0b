"""`fit` equals a loop written by hand, and handles bad data and failed training."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from support.small_networks import X37 as X
from support.small_networks import Y37 as Y
from support.small_networks import Recorder, fit, host, regressor

import nnx
from nnx import training

pytestmark = pytest.mark.usefixtures("device")

RNG = np.random.default_rng(12)
LABELS = RNG.integers(0, 3, 37)


def classifier(seed=0, **options):
    layers = [nnx.Dense(3, 6), nnx.ReLU(), nnx.Dense(3), nnx.Softmax()]
    return nnx.Network(layers, seed=seed, **options)


def same_bytes(a, b):
    assert {name: value.tobytes() for name, value in a.weights().items()} == {
        name: value.tobytes() for name, value in b.weights().items()
    }


# ------------------------------------------------------- the loop, and history


def test_the_hand_written_loop_of_the_full_batch_is_fit():
    by_fit, by_hand = regressor(), regressor()
    history = fit(by_fit, batch_size=37, epochs=20)

    loss, optimizer = nnx.MeanSquaredError(), nnx.Adam(0.01)
    x, y = by_hand.asarray(X), by_hand.asarray(Y)
    values = []
    for _ in range(20):
        y_pred = by_hand.forward(x, training=True)
        values.append(float(loss(y, y_pred)))
        by_hand.backward(loss.gradient(y, y_pred))
        optimizer.step(by_hand)

    np.testing.assert_allclose(history["loss"], values, rtol=1e-6)
    for name, value in by_fit.weights().items():
        np.testing.assert_allclose(by_hand.weights()[name], value, rtol=1e-5, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shuffle", [True, False])
def test_the_hand_written_loop_over_batches_is_fit(shuffle, dtype):
    by_fit, by_hand = classifier(dtype=dtype), classifier(dtype=dtype)
    loss = nnx.CategoricalCrossEntropy()
    history = fit(by_fit, y=LABELS, loss=loss, shuffle=shuffle, epochs=3)

    optimizer = nnx.Adam(0.01)
    means = []
    for _ in range(3):
        order = training.epoch_order(0, by_hand.arena.step, 37) if shuffle else np.arange(37)
        total = 0.0
        for start in range(0, 37, 8):
            rows = order[start : start + 8]
            y_pred = by_hand.forward(by_hand.asarray(X[rows]), training=True)
            total += float(loss(LABELS[rows], y_pred)) * len(rows)
            by_hand.backward(loss.gradient(LABELS[rows], y_pred))
            optimizer.step(by_hand)
        means.append(total / 37)

    tolerance = 1e-5 if dtype == "float32" else 1e-9
    np.testing.assert_allclose(history["loss"], means, rtol=tolerance)
    for name, value in by_fit.weights().items():
        np.testing.assert_allclose(by_hand.weights()[name], value, rtol=1e-4, atol=tolerance, err_msg=name)


def test_training_learns_xor():
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    y = np.array([0, 1, 1, 0])
    network = nnx.Network([nnx.Dense(2, 4), nnx.Tanh(), nnx.Dense(1), nnx.Sigmoid()], seed=0)
    network.fit(x, y, loss=nnx.BinaryCrossEntropy(), optimizer=nnx.Adam(0.05), epochs=500, batch_size=4)
    np.testing.assert_allclose(network.predict(x)[:, 0], y, atol=0.05)


def test_history_records_each_epoch():
    history = fit(regressor(), epochs=5, validation=0.2, metrics=["mae", lambda y, p: float(len(p))])
    assert history.epochs == [1, 2, 3, 4, 5]
    assert set(history.metrics) == {"loss", "val_loss", "val_mae", "val_<lambda>"}
    assert all(len(values) == 5 for values in history.metrics.values())
    assert history["val_<lambda>"] == [7.0] * 5
    assert history.steps == 5 * 4  # 30 rows in batches of 8
    assert history.seconds > 0.0
    assert history["loss"][-1] < history["loss"][0]
    assert history.last()["loss"] == history["loss"][-1]
    with pytest.raises(KeyError, match="did you mean 'val_loss'"):
        history["val_los"]


def test_the_loss_of_an_epoch_is_the_mean_over_rows_and_not_over_batches():
    network = regressor()
    before = network.evaluate(X, Y, loss=nnx.MeanSquaredError())["loss"]
    history = fit(network, optimizer=nnx.SGD(0.0), epochs=1, batch_size=36)  # the last batch: one row
    assert history["loss"][0] == pytest.approx(before, rel=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("batch_size", [8, 36, 37])
def test_the_loss_of_an_epoch_is_that_of_evaluate(batch_size, weighted):
    """However unequal the weights of the batches are; the parameters stand still."""
    weights = np.geomspace(1e-3, 10.0, 37) if weighted else None
    network = regressor(dtype="float64")
    expected = network.evaluate(X, Y, loss=nnx.MeanSquaredError(), sample_weight=weights)["loss"]
    for shuffle in (False, True):
        history = fit(network, optimizer=nnx.SGD(0.0), epochs=2, batch_size=batch_size, shuffle=shuffle,
                      sample_weight=weights)  # fmt: skip
        np.testing.assert_allclose(history["loss"], expected, rtol=1e-12)


def test_data_is_left_as_it_was_given():
    x, y, weights = X.copy(), Y.copy(), np.ones(37, np.float32)
    for rows in (8, 37):
        fit(regressor(), x=x, y=y, batch_size=rows, sample_weight=weights)
    autoencoder = nnx.Network([nnx.Dense(3, 2), nnx.Dense(3)], seed=0)
    fit(autoencoder, x=x, y=x)
    assert (x.tobytes(), y.tobytes()) == (X.tobytes(), Y.tobytes())
    assert (weights == 1.0).all()


def test_lists_and_integers_are_data_too():
    a, b = regressor(), regressor()
    fit(a, x=X.astype(int).tolist(), y=Y.tolist()), fit(b, x=X.astype(int).astype(np.float32))
    same_bytes(a, b)


def test_one_array_given_twice_trains_like_two_equal_ones():
    for rows in (8, 37):
        a, b = (nnx.Network([nnx.Dense(3, 2), nnx.Dense(3)], seed=0) for _ in "ab")
        fit(a, x=X, y=X, batch_size=rows), fit(b, x=X, y=X.copy(), batch_size=rows)
        same_bytes(a, b)


def test_one_column_of_targets_may_be_flat():
    def one(y):
        network = nnx.Network([nnx.Dense(3, 4), nnx.ReLU(), nnx.Dense(1)], seed=0)
        fit(network, y=y, validation=0.1)
        return network

    same_bytes(one(Y[:, 0]), one(Y[:, :1]))


# ---------------------------------------------------- validation and the rest


def test_a_share_for_validation_is_the_last_rows_before_any_shuffle():
    a, b = regressor(), regressor()
    ha = fit(a, validation=0.25)
    cut = 37 - round(37 * 0.25)
    hb = fit(b, x=X[:cut], y=Y[:cut], validation=(X[cut:], Y[cut:]))
    same_bytes(a, b)
    assert ha.metrics == hb.metrics
    assert ha["val_loss"][-1] == pytest.approx(
        float(np.mean((a.predict(X[cut:]) - Y[cut:]) ** 2)), rel=1e-5
    )  # fmt: skip


def test_validation_changes_nothing_about_training():
    a, b = regressor(), regressor()
    fit(a), fit(b, validation=(X, Y), metrics=["r2"])
    same_bytes(a, b)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, 0.001, 0.999])
def test_a_share_that_leaves_nothing_is_refused(fraction):
    with pytest.raises(nnx.ConfigurationError, match="leaves no rows"):
        fit(regressor(), validation=fraction)


def test_evaluate_is_the_loss_over_all_rows_whatever_their_number():
    network = classifier()
    x = RNG.normal(size=(2500, 3)).astype(np.float32)
    labels = RNG.integers(0, 3, 2500)
    results = network.evaluate(x, labels, loss=nnx.CategoricalCrossEntropy(), metrics=["accuracy"])
    p = network.predict(x)
    assert results["loss"] == pytest.approx(-np.log(p[np.arange(2500), labels]).mean(), rel=1e-5)
    assert results["accuracy"] == pytest.approx((p.argmax(axis=1) == labels).mean())
    weights = RNG.random(2500)
    weighted = network.evaluate(x, labels, loss=nnx.CategoricalCrossEntropy(), sample_weight=weights)
    expected = -(np.log(p[np.arange(2500), labels]) * weights).sum() / weights.sum()
    assert weighted["loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "loss",
    [
        nnx.MeanSquaredError(),
        nnx.MeanSquaredError("sum_over_features"),
        nnx.MeanAbsoluteError(),
        nnx.Huber(0.3),
    ],
    ids=repr,
)
def test_weight_two_is_the_row_twice(loss):
    weights = np.ones(37)
    weights[:9] = 2.0
    a, b = regressor(dtype="float64"), regressor(dtype="float64")
    ha = fit(a, batch_size=37, sample_weight=weights, loss=loss)
    hb = fit(b, x=np.vstack([X, X[:9]]), y=np.vstack([Y, Y[:9]]), batch_size=46, loss=loss)
    np.testing.assert_allclose(ha["loss"], hb["loss"], rtol=1e-9)
    for name, value in a.weights().items():
        np.testing.assert_allclose(b.weights()[name], value, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("fuse", [True, False])
def test_weight_two_is_the_row_twice_for_labels(fuse):
    weights = np.ones(37)
    weights[:9] = 2.0
    a, b = (classifier(dtype="float64", fuse=fuse) for _ in "ab")
    loss = nnx.CategoricalCrossEntropy()
    fit(a, y=LABELS, batch_size=37, sample_weight=weights, loss=loss)
    fit(b, x=np.vstack([X, X[:9]]), y=np.append(LABELS, LABELS[:9]), batch_size=46, loss=loss)
    for name, value in a.weights().items():
        np.testing.assert_allclose(b.weights()[name], value, rtol=1e-8, atol=1e-12)


def test_weights_follow_their_rows_through_the_shuffle():
    """Rows of weight zero, however wild, change nothing but the sizes of batches."""
    y = Y.copy()
    y[::3] = 1e3
    weights = np.ones(37)
    weights[::3] = 0.0
    network = regressor()
    fit(network, y=y, sample_weight=weights, epochs=100)
    kept = weights > 0
    assert np.mean((network.predict(X[kept]) - Y[kept]) ** 2) < 0.1


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("rows", [8, 37])
@pytest.mark.parametrize("kind", [np.int32, np.uint8, np.int64])
def test_labels_and_one_hot_targets_train_alike(fuse, rows, kind):
    a, b = classifier(fuse=fuse), classifier(fuse=fuse)
    loss = nnx.CategoricalCrossEntropy()
    ha = fit(a, y=LABELS.astype(kind), loss=loss, batch_size=rows, validation=None)
    hb = fit(b, y=np.eye(3)[LABELS], loss=loss, batch_size=rows)
    np.testing.assert_allclose(ha["loss"], hb["loss"], rtol=1e-5)
    np.testing.assert_allclose(a.predict(X), b.predict(X), rtol=1e-4, atol=1e-6)


# ------------------------------------------------------ optimizers in the run


@pytest.mark.parametrize(
    "make",
    [
        lambda: nnx.SGD(0.05, momentum=0.9), lambda: nnx.Adam(0.01), lambda: nnx.RMSprop(0.01, momentum=0.5),
        lambda: nnx.Adagrad(0.1), lambda: nnx.Adam(nnx.Cosine(0.05, 25)),
    ],
)  # fmt: skip
def test_fitting_on_with_the_same_optimizer_is_fitting_longer(make):
    a, b = regressor(), regressor()
    optimizer = make()
    fit(a, optimizer=optimizer, epochs=2, shuffle=False)
    fit(a, optimizer=optimizer, epochs=3, shuffle=False)
    fit(b, optimizer=make(), epochs=5, shuffle=False)
    same_bytes(a, b)
    assert a.arena.step == b.arena.step == 25


def test_another_optimizer_starts_with_new_moments():
    a, b = regressor(), regressor()
    fit(a, optimizer=nnx.Adam(0.01))
    b.set_weights(a.weights())
    fit(a, optimizer=nnx.Adam(0.01), shuffle=False), fit(b, optimizer=nnx.Adam(0.01), shuffle=False)
    same_bytes(a, b)
    optimizer = nnx.SGD(0.1)
    fit(a, optimizer=optimizer, epochs=1)
    assert list(a.arena.states) == [optimizer]  # the others' states went with them
    assert a.arena.states[optimizer].slots == {}
    assert a.arena.states[optimizer].step == 5


def test_one_optimizer_serves_several_networks():
    optimizer = nnx.Adam(0.01)
    a, b, c = regressor(), regressor(), regressor()
    fit(a, optimizer=optimizer), fit(b, optimizer=optimizer), fit(c, optimizer=nnx.Adam(0.01))
    same_bytes(a, b)
    same_bytes(a, c)


def test_a_schedule_is_followed_step_by_step():
    schedule = nnx.Warmup(nnx.Step(0.1, every=3, factor=0.5), steps=4)
    network, seen = regressor(), []
    x, y = network.asarray(X), network.asarray(Y)
    loss, optimizer = nnx.MeanSquaredError(), nnx.SGD(schedule)
    for step in range(12):
        network.backward(loss.gradient(y, network.forward(x, training=True)))
        before, gradient = network[0].W.copy(), network[0].dW.copy()
        optimizer.step(network)
        seen.append(float(np.median(host((before - network[0].W) / gradient))))
        assert seen[-1] == pytest.approx(optimizer.schedule(step), rel=1e-3)
    expected = [0.025, 0.05, 0.075, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.025, 0.025]
    np.testing.assert_allclose(seen, expected, rtol=1e-3)


# -------------------------------------------------------------------- callbacks


def test_callbacks_are_called_in_order():
    recorder = Recorder()
    fit(regressor(), epochs=2, batch_size=20, callbacks=[recorder])
    assert recorder.calls == ["begin", "step 1", "step 2", "epoch 1", "step 3", "step 4", "epoch 2", "end"]


def test_early_stopping_puts_the_best_epoch_back():
    class Spoil(nnx.Callback):
        """From the fourth epoch on, make everything worse."""

        def on_epoch_end(self, run):
            self.weights = getattr(self, "weights", {})
            self.weights[run.epoch] = run.network.weights()

        def on_step_end(self, run):
            if run.epoch >= 3:
                run.network[2].b[...] += 10.0

    spoil, stopping = Spoil(), nnx.EarlyStopping(patience=2)
    network = regressor()
    history = fit(network, epochs=50, validation=0.2, callbacks=[spoil, stopping])
    assert stopping.best_epoch == 3
    assert history["val_loss"].index(min(history["val_loss"])) == 2
    assert 5 <= history.epochs[-1] <= 6
    for name, value in network.weights().items():
        assert value.tobytes() == spoil.weights[3][name].tobytes()


def test_best_checkpoint_keeps_the_best_epoch(tmp_path):
    path = tmp_path / "best.safetensors"

    class Spoil(nnx.Callback):
        def on_step_end(self, run):
            if run.epoch >= 2:
                run.network[2].b[...] += 10.0

    network = regressor()
    history = fit(network, epochs=5, validation=0.2, callbacks=[Spoil(), nnx.BestCheckpoint(path)])
    best = nnx.load(path).evaluate(X[30:], Y[30:], loss=nnx.MeanSquaredError())["loss"]
    assert best == pytest.approx(min(history["val_loss"]), rel=1e-5)
    assert [file.name for file in tmp_path.iterdir()] == ["best.safetensors"]


def test_the_csv_log_holds_the_history(tmp_path):
    path = tmp_path / "history.csv"
    history = fit(regressor(), epochs=3, validation=0.2, metrics=["mse"], callbacks=[nnx.CSVLog(path)])
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3]
    for name in ("loss", "val_loss", "val_mse"):
        assert [float(row[name]) for row in rows] == history[name]
