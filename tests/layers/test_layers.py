"""Rows of any shape: a network gives the same results as for their positions one by one."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from support.small_networks import forward, host

import nnx
from nnx.layers import Layer
from nnx.layers.dropout import Dropout

pytestmark = pytest.mark.usefixtures("device")

RNG = np.random.default_rng(3)
SEQUENCES = RNG.normal(size=(24, 5, 6))
TARGETS = RNG.normal(size=(24, 5, 3))
LABELS = RNG.integers(0, 3, (24, 5))
PIXELS = RNG.integers(0, 256, (24, 4, 4, 2), dtype=np.uint8)


class Lookup(Layer):
    """A row of a table for each integer, as an embedding: y = table[x]."""

    layout = "shape"
    input_dtype = "integer"

    def __init__(self, words, size):
        super().__init__()
        self.words, self.size = words, size

    def config(self):
        return {"words": self.words, "size": self.size}

    def shape_after(self, input_shape):
        return (*input_shape, self.size)

    def parameter_shapes(self):
        return {"table": (self.words, self.size)}

    def initial_values(self, generator):
        return {"table": generator.normal(size=(self.words, self.size))}

    def forward_into(self, x, y, workspace):
        y[...] = self.table[x]

    def backward_into(self, dy, dx, workspace):
        assert dx is None, "dx of integers is never asked for"
        xp = workspace.backend.xp
        chosen = workspace.x.reshape(-1, 1) == xp.arange(self.words)
        self.dtable[...] = xp.matmul(chosen.T.astype(dy.dtype), dy.reshape(-1, self.size))


def stack(last: list[Layer] | None = None) -> list[Layer]:
    return [nnx.Dense(7), nnx.LayerNorm(), nnx.Tanh(), nnx.BatchNorm(), nnx.Dense(3), *(last or [])]


def trained(layers, x, y, loss, *, seed=0, **options):
    network = nnx.Network(layers, dtype="float64", seed=seed)
    settings = {"epochs": 3, "batch_size": len(x), "shuffle": False, "optimizer": nnx.Adam(0.01)}
    network.fit(x, y, loss=loss, **(settings | options))
    return network


# ------------------------------------------------------------------- what is computed


@pytest.mark.parametrize(
    ("last", "loss", "y"),
    [
        ([], nnx.MeanSquaredError(), TARGETS),
        ([], nnx.Huber(0.5), TARGETS),
        ([nnx.Sigmoid], nnx.BinaryCrossEntropy(), np.abs(np.sin(TARGETS))),
        ([nnx.Softmax], nnx.CategoricalCrossEntropy(), LABELS),
        ([nnx.Softmax], nnx.CategoricalCrossEntropy(), np.eye(3)[LABELS]),
        ([], nnx.CategoricalCrossEntropy(from_logits=True), LABELS),
    ],
    ids=["squares", "huber", "binary", "labels", "one-hot", "logits"],
)
def test_positions_train_as_separate_rows(last, loss, y):
    """One batch holds everything: the losses' means and the norms' statistics are over the same numbers."""
    kinds = [kind() for kind in last]
    whole = trained(stack(kinds), SEQUENCES, y, loss)
    flat = trained(
        stack([kind() for kind in last]), SEQUENCES.reshape(-1, 6), y.reshape(-1, *y.shape[2:]), loss
    )
    assert whole.input_shape == (5, 6)
    assert whole.output_shape == (5, 3)
    for name, value in whole.weights().items():
        np.testing.assert_allclose(value, flat.weights()[name], rtol=1e-10, atol=1e-13, err_msg=name)
    np.testing.assert_allclose(
        whole.predict(SEQUENCES).reshape(-1, 3), flat.predict(SEQUENCES.reshape(-1, 6)), rtol=1e-10
    )
    mine = whole.evaluate(SEQUENCES, y, loss=loss)["loss"]
    assert mine == pytest.approx(
        flat.evaluate(SEQUENCES.reshape(-1, 6), y.reshape(-1, *y.shape[2:]), loss=loss)["loss"], rel=1e-12
    )


def test_a_weight_counts_for_all_positions_of_its_row():
    weights = RNG.uniform(0.1, 2.0, 24)
    for loss, y in (
        (nnx.MeanSquaredError(), TARGETS),
        (nnx.CategoricalCrossEntropy(from_logits=True), LABELS),
    ):
        whole = trained(stack(), SEQUENCES, y, loss, sample_weight=weights)
        flat = trained(
            stack(),
            SEQUENCES.reshape(-1, 6),
            y.reshape(-1, *y.shape[2:]),
            loss,
            sample_weight=weights.repeat(5),
        )
        for name, value in whole.weights().items():
            np.testing.assert_allclose(value, flat.weights()[name], rtol=1e-9, atol=1e-12, err_msg=name)


def test_fused_and_not_give_the_same_numbers():
    def layers():
        return [nnx.Dense(7), nnx.Tanh(), nnx.Dense(5), nnx.ReLU(), nnx.Dense(3), nnx.Softmax()]

    results = []
    for fuse in (True, False):
        network = nnx.Network(layers(), dtype="float64", seed=1, fuse=fuse)
        network.fit(
            SEQUENCES,
            LABELS,
            loss=nnx.CategoricalCrossEntropy(),
            optimizer=nnx.Adam(0.01),
            epochs=4,
            batch_size=7,
        )
        results.append(network.predict(SEQUENCES))
    np.testing.assert_allclose(*results, rtol=1e-9)


@pytest.mark.parametrize("shape", [(6,), (5, 6), (2, 5, 6)])
def test_a_dropout_mask_is_drawn_over_all_numbers_of_a_row(shape):
    """The mask of a row does not depend on its shape, nor on the batch it comes in."""
    layer = Dropout(0.5)
    layer.seed = 4
    x = np.ones((8, *shape))
    mask = host(layer.build(shape, dtype="float64").forward(x, training=True)) > 0.0
    flat = Dropout(0.5)
    flat.seed = 4
    expected = host(flat.build(x[0].size, dtype="float64").forward(x.reshape(8, -1), training=True)) > 0.0
    assert (mask.reshape(8, -1) == expected).all()
    assert 0.3 < mask.mean() < 0.7
    assert len({row.tobytes() for row in mask.reshape(8, -1)}) > 1


def test_a_step_on_rows_of_any_shape_allocates_nothing_large():
    network = nnx.Network(
        [nnx.Dense(32), nnx.ReLU(), nnx.Dense(32), nnx.Tanh(), nnx.Dense(8)], device="numpy", seed=0
    )
    x = np.ones((64, 16, 32), np.float32)
    loss, dy = nnx.MeanSquaredError(), np.ones((64, 16, 8), np.float32)
    y = np.zeros((64, 16, 8), np.float32)
    value = np.empty(1, np.float32)
    network.build((16, 32))

    def step():
        loss.evaluate(network.backend, y, network.forward(x, training=True), value, dy)
        network.backward(dy)

    step()
    tracemalloc.start()
    try:
        step()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 65_536, "a batch of the first layer's outputs takes 131,072 bytes"


# ---------------------------------------------------------------------- how rows come


def test_images_come_to_the_network_as_they_are():
    """Bytes on the device, streamed, and floats: the same training."""
    y = PIXELS[:, :, :, :1] / 255.0

    def run(x, **options):
        network = nnx.Network([nnx.Dense(4), nnx.ReLU(), nnx.Dense(1)], dtype="float64", seed=0)
        network.fit(
            x, y, loss=nnx.MeanSquaredError(), optimizer=nnx.Adam(0.01), epochs=2, batch_size=7, **options
        )
        return network.predict(x)

    expected = run(PIXELS / 255.0)
    assert expected.shape == (24, 4, 4, 1)
    np.testing.assert_allclose(run(nnx.Rows(PIXELS, divisor=255)), expected, rtol=1e-12)
    np.testing.assert_allclose(run(nnx.Rows([PIXELS[:9], PIXELS[9:]], divisor=255), shuffle=False),
                               run(PIXELS / 255.0, shuffle=False), rtol=1e-12)  # fmt: skip


def test_images_are_streamed_from_files(tmp_path, monkeypatch):
    monkeypatch.setattr("nnx.data.samples.READ_WHOLE", 0)
    np.save(tmp_path / "x.npy", PIXELS)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    results = []
    for x in (PIXELS.astype(np.float32), mapped):
        network = nnx.Network([nnx.Dense(4), nnx.ReLU(), nnx.Dense(2)], seed=0)
        network.fit(x, x, loss=nnx.MeanSquaredError(), optimizer=nnx.Adam(0.01), epochs=2, batch_size=7)
        results.append(network.weights())
    for name, value in results[0].items():
        np.testing.assert_allclose(value, results[1][name], rtol=1e-5, atol=1e-7)


def test_augmentation_sees_the_shape_of_the_rows():
    seen = []

    def augment(generator, x, y):
        seen.append((x.shape, y.shape))
        return x[:, ::-1], y[:, ::-1]

    trained(stack(), SEQUENCES, TARGETS, nnx.MeanSquaredError(), augment=augment, batch_size=10)
    assert seen[:3] == [((10, 5, 6), (10, 5, 3)), ((10, 5, 6), (10, 5, 3)), ((4, 5, 6), (4, 5, 3))]


def test_metrics_count_positions():
    network = nnx.Network([*stack(), nnx.Softmax()], seed=0, dtype="float64")
    network.build((5, 6))
    weights = RNG.uniform(0.1, 2.0, 24)
    weights[3] = 0.0
    from sklearn.metrics import f1_score

    def macro_f1(y_true, y_pred, sample_weight=None):
        return f1_score(
            y_true.reshape(-1), y_pred.reshape(-1, 3).argmax(axis=1), average="macro",
            sample_weight=None if sample_weight is None else sample_weight.repeat(5),
        )  # fmt: skip

    from functools import partial

    chosen = {"accuracy": "accuracy", "mine": macro_f1, "theirs": partial(f1_score, average="macro")}
    loss = nnx.CategoricalCrossEntropy()
    flat = nnx.Network([*stack(), nnx.Softmax()], seed=0, dtype="float64")
    for sample_weight in (None, weights):
        repeated = None if sample_weight is None else sample_weight.repeat(5)
        found = network.evaluate(SEQUENCES, LABELS, loss=loss, metrics=chosen, sample_weight=sample_weight)
        expected = flat.evaluate(
            SEQUENCES.reshape(-1, 6),
            LABELS.reshape(-1),
            loss=loss,
            metrics=["accuracy"],
            sample_weight=repeated,
        )
        assert found["loss"] == pytest.approx(expected["loss"], rel=1e-12)
        assert found["accuracy"] == pytest.approx(expected["accuracy"], rel=1e-12)
        assert found["theirs"] == pytest.approx(found["mine"], rel=1e-12)
    one_hot = network.evaluate(SEQUENCES, np.eye(3)[LABELS], loss=loss, metrics=["accuracy"])
    assert one_hot == network.evaluate(SEQUENCES, LABELS, loss=loss, metrics=["accuracy"])


def test_numbers_of_images_have_the_metrics_of_numbers():
    y = RNG.normal(size=(6, 2, 3))
    p = y + RNG.normal(size=y.shape)
    for name in ("mse", "mae", "r2"):
        metric = nnx.metrics.NAMES[name]
        assert metric(y, p) == pytest.approx(metric(y.reshape(6, -1), p.reshape(6, -1)), rel=1e-12)


def test_fit_takes_metrics_of_sequences():
    network = nnx.Network([*stack(), nnx.Softmax()], seed=0)
    history = network.fit(
        SEQUENCES, LABELS, loss=nnx.CategoricalCrossEntropy(), optimizer=nnx.Adam(0.01), epochs=2,
        batch_size=8, validation=0.25, metrics=["accuracy"],
    )  # fmt: skip
    assert len(history.metrics["val_accuracy"]) == 2


# ---------------------------------------------------------------------------- integers


def test_integers_reach_a_layer_that_takes_them():
    words = RNG.integers(0, 9, (24, 5))
    report = nnx.gradcheck.check(Lookup(9, 4), x=words[:6])
    assert report.passed, report.message
    results = []
    for dtype in (np.int64, np.uint8, np.int16):
        network = nnx.Network([Lookup(9, 4), nnx.Dense(3), nnx.Softmax()], seed=0)
        x = words.astype(dtype)
        network.fit(
            x, LABELS, loss=nnx.CategoricalCrossEntropy(), optimizer=nnx.Adam(0.1), epochs=9, batch_size=7
        )
        assert network.input_shape == (5,)
        assert network.output_shape == (5, 3)
        results.append(network.predict(x))
        seen = network.forward(network.asarray(x))
        assert seen.shape == (24, 5, 3)
    assert all(np.array_equal(one, results[0]) for one in results)
    copied = network.copy()
    assert np.array_equal(copied.predict(x), results[0])
    assert nnx.gradcheck.check(network, words, LABELS, nnx.CategoricalCrossEntropy()).passed


def test_floats_for_a_layer_of_integers_are_refused():
    network = nnx.Network([Lookup(9, 4), nnx.Dense(3)], seed=0)
    options = {"loss": nnx.MeanSquaredError(), "optimizer": nnx.SGD(0.1)}
    with pytest.raises(nnx.DataError, match=r"integers.*float64"):
        network.fit(SEQUENCES[:, :, 0], TARGETS, **options)
    with pytest.raises(nnx.DataError, match=r"integers.*float64"):
        network.predict(SEQUENCES[:, :, 0])
    with pytest.raises(nnx.DataError, match=r"integers.*float"):
        network.fit(nnx.Rows(PIXELS.reshape(24, -1), divisor=255), TARGETS, **options)
    with pytest.raises(nnx.ConfigurationError, match="takes integers"):
        nnx.Network([nnx.Dense(4, 3), Lookup(9, 4)])
    network.build(5)
    network.forward(network.asarray(np.zeros((2, 5), int)), training=True)
    with pytest.raises(nnx.ConfigurationError, match="integers"):
        network.backward(network.backend.asarray(np.zeros((2, 5, 3)), "float32"), input_gradient=True)


# --------------------------------------------------------------- files, errors, exports


def test_shapes_are_saved_with_a_network(tmp_path):
    network = trained(stack(), SEQUENCES, TARGETS, nnx.MeanSquaredError())
    network.save(tmp_path / "net.safetensors")
    loaded = nnx.load(tmp_path / "net.safetensors")
    assert loaded.input_shape == (5, 6)
    assert np.array_equal(loaded.predict(SEQUENCES), network.predict(SEQUENCES))
    assert network[1:3].input_shape == (5, 7)
    assert np.array_equal(
        host(forward(network[:2], SEQUENCES)).copy(), host(forward(network.copy()[:2], SEQUENCES))
    )


def test_rows_of_features_are_described_as_in_version_0_1():
    assert nnx.Network([nnx.Dense(3, 4), nnx.Tanh()]).config()["inputs"] == 3


@pytest.mark.parametrize(
    ("act", "parts"),
    [
        (lambda n: n.predict(SEQUENCES[:, :4]), ["(4, 6)", "(5, 6)"]),
        (lambda n: n.predict(SEQUENCES[:, 0]), ["(24, 6)", "(rows, 5, 6)"]),
        (lambda n: n.build((5, 7)), ["(5, 7)", "(5, 6)"]),
        (lambda n: n.evaluate(SEQUENCES, TARGETS[:, 0], loss=nnx.MeanSquaredError()),
         ["(24, 5, 3)", "Flatten"]),
        (lambda n: n.evaluate(SEQUENCES, LABELS[:, 0], loss=nnx.CategoricalCrossEntropy(from_logits=True)),
         ["(24, 5, 3)", "(24,)", "Flatten"]),
        (lambda n: n.evaluate(SEQUENCES, LABELS + 1, loss=nnx.CategoricalCrossEntropy(from_logits=True)),
         ["[0, 2]", "3"]),
        (lambda n: n.backward(n.asarray(np.zeros((24, 3)))), ["(24, 3)", "(24, 5, 3)"]),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_with_its_shape(act, parts):
    network = nnx.Network(stack(), seed=0).build((5, 6))
    network.forward(network.asarray(SEQUENCES), training=True)
    with pytest.raises(nnx.NnxError) as caught:
        act(network)
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


def test_a_network_of_features_still_refuses_other_rows():
    network = nnx.Network([nnx.Dense(6, 3)], seed=0)
    for act in (lambda: network.predict(SEQUENCES), lambda: network.forward(network.asarray(SEQUENCES))):
        with pytest.raises(nnx.DataError, match=r"\(rows, inputs\), not \(24, 5, 6\)"):
            act()
    with pytest.raises(nnx.DataError, match=r"\(rows, features\).*\(24, 5, 6\)"):
        network.fit(SEQUENCES, TARGETS, loss=nnx.MeanSquaredError(), optimizer=nnx.SGD(0.1))


def test_the_summary_shows_shapes():
    text = nnx.Network(stack(), seed=0).build((5, 6)).summary()
    assert "[5, 7]" in text
    assert "[5, 3]" in text


def test_a_loss_writes_a_gradient_that_is_not_contiguous() -> None:
    loss: Any = nnx.MeanSquaredError()
    y, p = RNG.normal(size=(2, 4, 5, 3))
    out = np.zeros((4, 3, 5)).transpose(0, 2, 1)
    loss.evaluate(nnx.resolve("numpy"), y, p, None, out)
    np.testing.assert_allclose(out, loss.gradient(y, p), rtol=1e-15)
