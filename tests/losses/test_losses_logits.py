"""Cross-entropies: the networks they accept, and the same value from logits and from probabilities."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from support.small_networks import forward, host

import nnx
from nnx.errors import ConfigurationError, DataError

pytestmark = pytest.mark.usefixtures("device")

RNG = np.random.default_rng(3)
X = RNG.normal(size=(24, 3))
LABELS = RNG.integers(0, 4, 24)
BINARY, CLASSES = nnx.BinaryCrossEntropy, nnx.CategoricalCrossEntropy
ENDS = {BINARY: nnx.Sigmoid, CLASSES: nnx.Softmax}
TARGETS = {BINARY: np.eye(4)[LABELS], CLASSES: LABELS}


def network_of(*layers: nnx.Layer, **options: Any) -> nnx.Network:
    return nnx.Network(list(layers), **{"seed": 0, "dtype": "float64", **options})


def fit(network: nnx.Network, loss: nnx.Loss, y: Any, **options: Any) -> nnx.History:
    return network.fit(
        X,
        y,
        loss=loss,
        **{"optimizer": nnx.SGD(0.1), "epochs": 2, "batch_size": 8, "shuffle": False, **options},
    )


class Own(nnx.Layer):
    """A user's last layer: y = scale x."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward_into(self, x: Any, y: Any, cache: Any) -> None:
        y[...] = self.scale * x

    def backward_into(self, dy: Any, dx: Any, cache: Any) -> None:
        if dx is not None:
            dx[...] = self.scale * dy


# ------------------------------------------------------- without an activation


@pytest.mark.parametrize("kind", ENDS)
@pytest.mark.parametrize(
    "last", [[], [nnx.ReLU], [nnx.Identity], [nnx.Tanh], [nnx.LayerNorm], [nnx.Softplus, nnx.Identity]]
)
def test_probabilities_want_a_final_activation(kind: type[nnx.Loss], last: list[type[nnx.Layer]]) -> None:
    network = network_of(nnx.Dense(3, 4), *(layer() for layer in last))
    before = host(network[0].W).copy()
    message = (
        rf"{kind.__name__} needs probabilities, but the network ends with .*: add "
        rf"nnx.{ENDS[kind].__name__}\(\) as its last layer, or use nnx.{kind.__name__}\(from_logits=True\)"
    )
    y = TARGETS[kind]
    with pytest.raises(ConfigurationError, match=message):
        fit(network, kind(), y)
    with pytest.raises(ConfigurationError, match=message):
        network.evaluate(X, y, loss=kind())
    with pytest.raises(ConfigurationError, match=message):
        nnx.gradcheck.check(network, X, y, kind())
    np.testing.assert_array_equal(host(network[0].W), before)


@pytest.mark.parametrize("kind", ENDS)
def test_what_counts_as_the_final_activation(kind: type[nnx.Loss]) -> None:
    final = ENDS[kind]
    for tail in (
        [final()],
        [final(), nnx.Identity()],
        [final(), nnx.Dropout(0.0)],
        [type("Mine", (final,), {})()],
    ):
        network = network_of(nnx.Dense(3, 4), *tail)
        assert fit(network, kind(), TARGETS[kind])["loss"][0] > 0.0
    shorthand = network_of(nnx.Dense(3, 4, activation=final.__name__.lower()))
    assert fit(shorthand, kind(), TARGETS[kind])["loss"][0] > 0.0
    whole = network_of(nnx.Dense(3, 3), nnx.ReLU(), nnx.Dense(4), final())
    assert fit(whole[2:], kind(), TARGETS[kind])["loss"][0] > 0.0
    with pytest.raises(ConfigurationError, match=r"probabilities.* dense_2"):
        fit(whole[:3], kind(), TARGETS[kind])


def test_sigmoids_are_no_distribution_over_classes() -> None:
    network = network_of(nnx.Dense(3, 4), nnx.Sigmoid())
    with pytest.raises(ConfigurationError, match=r"ends with .*nnx.Softmax\(\) instead") as error:
        fit(network, CLASSES(), LABELS)
    assert "from_logits" not in str(error.value)  # which is refused as well, so it is no advice
    with pytest.raises(ConfigurationError, match=r"ends with sigmoid_1\(\): remove that layer$"):
        fit(network, CLASSES(from_logits=True), LABELS)
    softmax = network_of(nnx.Dense(3, 4), nnx.Softmax())
    assert fit(softmax, BINARY(), np.eye(4)[LABELS])["loss"][0] > 0.0  # each is a probability


@pytest.mark.parametrize(("kind", "last"), [(CLASSES, nnx.Softmax), (BINARY, nnx.Softmax), (CLASSES, None)])
def test_a_softmax_of_one_output_is_always_one(kind: type[nnx.Loss], last: type[nnx.Layer] | None) -> None:
    network = network_of(nnx.Dense(3, 1), *([last()] if last else []))
    loss = kind() if last else kind(from_logits=True)
    with pytest.raises(
        ConfigurationError, match=r"which is always 1: end the network with nnx.Dense\(1\), nnx.Sig"
    ):
        fit(network, loss, np.ones((24, 1)))


@pytest.mark.parametrize("kind", ENDS)
def test_a_users_layer_is_judged_by_its_values(kind: type[nnx.Loss]) -> None:
    fine = network_of(nnx.Dense(3, 4), ENDS[kind](), Own(0.9))
    assert fit(fine, kind(), TARGETS[kind])["loss"][0] > 0.0
    wrong = network_of(nnx.Dense(3, 4), Own(1.0))
    with pytest.raises(DataError, match=r"\[0, 1\].*\[-.*, .*\]"):
        fit(wrong, kind(), TARGETS[kind])
    with pytest.raises(DataError, match="needs probabilities in"):
        wrong.evaluate(X, TARGETS[kind], loss=kind())


@pytest.mark.parametrize("kind", ENDS)
def test_by_hand_predictions_out_of_range_are_refused(kind: type[nnx.Loss], dtype: np.dtype) -> None:
    network = network_of(nnx.Dense(3, 4), dtype=dtype)
    y = network.asarray(np.eye(4)[LABELS])
    z = network.forward(network.asarray(X), training=True)
    for call in (kind(), kind().gradient):
        with pytest.raises(DataError, match=r"nnx.\w+\(\).*from_logits=True"):
            call(y, z)
    rounded = network.asarray(np.full((24, 4), 1.0 + 5e-7))
    assert float(kind()(y, rounded)) >= 0.0
    assert float(kind(from_logits=True)(y, z)) > 0.0


# ------------------------------------------------------------------ from logits


@pytest.mark.parametrize("kind", ENDS)
def test_logits_train_as_the_fused_activation_does(kind: type[nnx.Loss], dtype: np.dtype) -> None:
    ends = [[ENDS[kind]()], []]
    networks = [network_of(nnx.Dense(3, 5), nnx.Tanh(), nnx.Dense(4), *end, dtype=dtype) for end in ends]
    losses = [kind(), kind(from_logits=True)]
    options = {"validation": (X, TARGETS[kind]), "metrics": ["accuracy"], "epochs": 4}
    histories = [fit(n, loss, TARGETS[kind], **options) for n, loss in zip(networks, losses, strict=True)]
    for name in ("loss", "val_loss", "val_accuracy"):
        assert histories[0][name] == histories[1][name], name
    assert networks[0].arena.values.tobytes() == networks[1].arena.values.tobytes()
    logits = networks[1].predict(X)
    assert logits.min() < 0.0
    probabilities = host(forward(network_of(ENDS[kind](), dtype=dtype), logits))
    np.testing.assert_allclose(probabilities, networks[0].predict(X), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", ENDS)
@pytest.mark.parametrize("final", ENDS.values())
def test_logits_want_no_final_activation(kind: type[nnx.Loss], final: type[nnx.Layer]) -> None:
    network = network_of(nnx.Dense(3, 4), final(), nnx.Identity())
    with pytest.raises(ConfigurationError, match=r"ends with s.*remove"):
        fit(network, kind(from_logits=True), TARGETS[kind])


@pytest.mark.parametrize("kind", ENDS)
def test_logits_in_config_and_gradient_check(kind: type[nnx.Loss]) -> None:
    loss = kind(epsilon=1e-5, from_logits=True)
    assert loss.config() == {"epsilon": 1e-5, "from_logits": True}
    assert repr(kind(**loss.config())) == repr(loss) == f"{kind.__name__}(epsilon=1e-05, from_logits=True)"
    assert repr(kind()) == f"{kind.__name__}(epsilon=1e-07, from_logits=False)"
    assert nnx.gradcheck.check(loss).passed
    report = nnx.gradcheck.check(network_of(nnx.Dense(3, 4)), X, TARGETS[kind], loss)
    assert report.passed, report.message


# ------------------------------------------------------- one loss, one function


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ENDS)
@pytest.mark.parametrize("size", [1.0, 5.0, 15.0, 17.0, 40.0, 1e3, 1e6])
def test_training_validation_and_evaluation_take_the_same_loss(
    kind: type[nnx.Loss], dtype: str, size: float
) -> None:
    """A logit of `size` where its target is 0: log(1 + e^size), by hand, which clipped would be 16.1."""
    outputs = 1 if kind is BINARY else 2
    x, y = np.ones((6, 1)), np.zeros((6, 1)) if kind is BINARY else np.ones(6, int)
    expected = size + math.log1p(math.exp(-size))
    for logits in (False, True):
        network = network_of(nnx.Dense(1, outputs), *([] if logits else [ENDS[kind]()]), dtype=dtype)
        network[0].W[...] = network.asarray([[size, 0.0][:outputs]])
        loss = kind(from_logits=logits)
        weights = np.linspace(0.5, 2.0, 6)
        for extra in ({}, {"sample_weight": weights}):
            validation = (x, y, *extra.values())
            history = network.fit(
                x, y, loss=loss, optimizer=nnx.SGD(0.0), batch_size=6, validation=validation, **extra
            )
            found = network.evaluate(x, y, loss=loss, **extra)["loss"]
            for value in (history["loss"][0], history["val_loss"][0], found):
                assert value == pytest.approx(expected, rel=2e-7 if dtype == "float32" else 1e-14)
            assert found == history["val_loss"][0]


def test_unfused_training_and_evaluation_agree_too() -> None:
    network = network_of(nnx.Dense(1, 1), nnx.Sigmoid(), fuse=False)
    network[0].W[...] = 40.0
    x, y = np.ones((6, 1)), np.zeros((6, 1))
    history = network.fit(x, y, loss=BINARY(), optimizer=nnx.SGD(0.0), batch_size=6, validation=(x, y))
    assert history["loss"] == history["val_loss"] == [pytest.approx(-math.log(1e-7), rel=1e-9)]


@pytest.mark.parametrize("kind", ENDS)
def test_metrics_see_what_predict_gives(kind: type[nnx.Loss]) -> None:
    seen = []

    def spread(y: Any, p: Any) -> float:
        seen.append(p.copy())
        return float(p.max())

    network = network_of(nnx.Dense(3, 4), ENDS[kind](), dtype="float32")
    network.evaluate(X, TARGETS[kind], loss=kind(), metrics=[spread])
    np.testing.assert_allclose(seen[0], network.predict(X), rtol=1e-6)


class Steps(nnx.Callback):
    """Being told of each step, it keeps `fit` from the compiled loop."""

    def on_step_end(self, run: Any) -> None:
        pass


@pytest.mark.parametrize("top", [0.0, 100.0, 1e4, 1e7, 1e30])
@pytest.mark.parametrize("kind", ENDS)
def test_the_compiled_loop_takes_the_loss_of_the_steps(kind: type[nnx.Loss], top: float) -> None:
    """Equal logits, however large: log 2 for classes, and for y = 1 nothing is left of a large logit."""
    found = set()
    for callbacks in ([], [Steps()]):
        network = network_of(nnx.Dense(1, 2), ENDS[kind](), dtype="float32")
        network[0].W[...], network[0].b[...] = 0.0, top
        y = np.array([[1.0, 0.0]]) if kind is CLASSES else np.ones((1, 2))
        history = network.fit(
            np.ones((1, 1)), y, loss=kind(), optimizer=nnx.SGD(0.0), batch_size=1, callbacks=callbacks
        )
        found.add(history["loss"][0])
    expected = math.log(2.0) if kind is CLASSES else math.log1p(math.exp(-top))
    assert all(value == pytest.approx(expected, rel=2e-7, abs=1e-37) for value in found), found


def test_many_rows_with_large_logits_that_are_right_have_no_loss() -> None:
    """Sums of large terms that cancel would leave their rounding: about 1 for this many."""
    z = np.where(RNG.random((50_000, 4)) > 0.5, 1e4, -1e4).astype(np.float32)
    network = network_of(nnx.Sigmoid(), dtype="float32")
    assert network.evaluate(z, (z > 0).astype(float), loss=BINARY())["loss"] == 0.0
