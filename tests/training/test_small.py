"""Small networks in the compiled loop train exactly as step by step; other networks are left out."""

from __future__ import annotations

import numpy as np
import pytest

import nnx
from nnx.errors import TrainingError
from nnx.training import small

pytest.importorskip("numba", reason="Numba is not installed: pip install 'nnx-arrays[fast]'")

RNG = np.random.default_rng(3)
X = RNG.normal(size=(37, 3))
Y = np.tanh(X @ RNG.normal(size=(3, 4)))
SHARES = np.exp(Y) / np.exp(Y).sum(axis=1, keepdims=True)

LOSSES = {
    "mse": (nnx.MeanSquaredError, [], Y),
    "sum": (lambda: nnx.MeanSquaredError("sum_over_features"), [], Y),
    "mse sigmoid": (nnx.MeanSquaredError, [nnx.Sigmoid], SHARES),
    "binary": (nnx.BinaryCrossEntropy, [nnx.Sigmoid], SHARES),
    "categorical": (nnx.CategoricalCrossEntropy, [nnx.Softmax], SHARES),
}
OPTIMIZERS = {
    "sgd": lambda: nnx.SGD(0.1),
    "decay": lambda: nnx.SGD(nnx.Cosine(0.1, 50), weight_decay=0.01, l2=0.02),
    "adam": lambda: nnx.Adam(nnx.Warmup(0.01, 10)),
    "adamw": lambda: nnx.AdamW(0.01, l2=0.01),
}
ACTIVATIONS = [nnx.ReLU, nnx.Tanh, nnx.Sigmoid, nnx.LeakyReLU, nnx.Identity]


@pytest.fixture
def loops(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each fit, whether it got a compiled loop."""
    found: list[bool] = []
    asked: list[object] = []
    genuine = small.SmallTrainer._program

    def program(trainer, run: nnx.callbacks.Run):
        made = genuine(trainer, run)
        if not any(trainer is other for other in asked):  # the first block of a fit
            asked.append(trainer)
            found.append(made is not None)
        return made

    monkeypatch.setattr(small.SmallTrainer, "_program", program)
    return found


def network(*last: type[nnx.Layer], hidden: type[nnx.Layer] = nnx.Tanh, dtype: str = "float64", **options):
    layers = [nnx.Dense(3, 5), hidden(), nnx.Dense(4), *(layer() for layer in last)]
    return nnx.Network(layers, **{"device": "numba", "dtype": dtype, "seed": 4, **options})


def fit(net: nnx.Network, y=Y, loss=None, optimizer=None, **options) -> nnx.History:
    chosen = {"epochs": 6, "batch_size": 8} | options
    return net.fit(X, y, loss=loss or nnx.MeanSquaredError(), optimizer=optimizer or nnx.SGD(0.1), **chosen)


def same(a: nnx.Network, b: nnx.Network, tolerance: float = 1e-12) -> None:
    for (name, value, gradient), (_, other, slope) in zip(a.parameters(), b.parameters(), strict=True):
        np.testing.assert_allclose(value, other, rtol=tolerance, atol=tolerance, err_msg=name)
        np.testing.assert_allclose(gradient, slope, rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("batch_size", [37, 8, 1])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("loss", LOSSES)
def test_it_trains_as_numpy_does(loops: list[bool], loss: str, optimizer: str, batch_size: int) -> None:
    make, last, y = LOSSES[loss]
    nets = [network(*last, device=device) for device in ("numba", "numpy")]
    histories = [fit(net, y, make(), OPTIMIZERS[optimizer](), batch_size=batch_size) for net in nets]
    assert loops == [True, False]
    same(*nets)
    np.testing.assert_allclose(*(history["loss"] for history in histories), rtol=1e-12)
    assert histories[0].epochs == histories[1].epochs == [1, 2, 3, 4, 5, 6]
    assert histories[0].steps == histories[1].steps == nets[0].arena.step == nets[1].arena.step


@pytest.mark.parametrize("hidden", ACTIVATIONS, ids=lambda layer: layer.__name__)
def test_every_activation_it_knows(loops: list[bool], hidden: type[nnx.Layer]) -> None:
    nets = [network(hidden=hidden, device=device) for device in ("numba", "numpy")]
    for net in nets:
        fit(net)
    assert loops == [True, False]
    same(*nets)


def test_float32_is_trained_in_float32(loops: list[bool]) -> None:
    nets = [network(dtype="float32", device=device) for device in ("numba", "numpy")]
    values = [fit(net)["loss"] for net in nets]
    assert loops == [True, False]
    same(*nets, tolerance=1e-5)  # 30 steps of a smooth network: a few hundred roundings of 6e-8
    np.testing.assert_allclose(*values, rtol=1e-5)


def test_several_fits_equal_one_long_fit() -> None:
    whole, halves = network(), network()
    fit(whole, optimizer=nnx.Adam(0.01), epochs=6)
    optimizer = nnx.Adam(0.01)
    for _ in range(2):
        fit(halves, optimizer=optimizer, epochs=3)
    same(whole, halves, tolerance=0.0)


def test_more_epochs_than_a_block_holds(loops: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    whole, parts = network(), network()
    history = fit(whole, epochs=20)
    monkeypatch.setattr(small, "BLOCK", 15)
    assert fit(parts, epochs=20)["loss"] == history["loss"]
    assert loops == [True, True]
    same(whole, parts, tolerance=0.0)


def test_callbacks_and_validation_see_every_epoch(loops: list[bool]) -> None:
    class Seen(nnx.Callback):
        def __init__(self) -> None:
            self.epochs: list[tuple[int, float]] = []

        def on_epoch_end(self, run) -> None:
            self.epochs.append((run.epoch, run.history["val_loss"][-1]))
            if run.epoch == 4:
                run.stop = "enough"

    seen, twin = Seen(), Seen()
    nets = [network(device=device) for device in ("numba", "numpy")]
    for net, callback in zip(nets, (seen, twin), strict=True):
        assert fit(net, validation=(X, Y), callbacks=[callback]).epochs == [1, 2, 3, 4]
    np.testing.assert_allclose(seen.epochs, twin.epochs, rtol=1e-12)
    assert loops == [True, False]


def test_a_callback_is_called_every_n_epochs_and_after_the_last(loops: list[bool]) -> None:
    lines: list[str] = []
    history = fit(network(), epochs=12, callbacks=[nnx.Progress(lines.append, every=5)])
    assert loops == [True]
    assert [line.split()[1] for line in lines] == ["5/12", "10/12", "12/12"]
    assert history.epochs == list(range(1, 13))
    assert 0.0 < history.first_step_seconds < history.training_seconds < history.seconds


@pytest.mark.parametrize("batch_size", [37, 8])
def test_a_fault_stops_it_as_it_stops_the_others(loops: list[bool], batch_size: int) -> None:
    messages, nets = [], [network(hidden=nnx.ReLU, device=device) for device in ("numba", "numpy")]
    for net in nets:
        with pytest.raises(TrainingError) as caught:
            fit(net, optimizer=nnx.SGD(1e8), epochs=50, batch_size=batch_size)
        messages.append(str(caught.value).partition(": the loss")[0])
        assert np.isfinite(net.arena.values).all()
    assert loops == [True, False]
    assert messages[0] == messages[1]
    assert nets[0].arena.step == nets[1].arena.step
    for (_, value, _), (_, other, _) in zip(*(net.parameters() for net in nets), strict=True):
        np.testing.assert_allclose(value, other, rtol=1e-6)


def test_what_a_callback_changes_is_seen_by_the_next_epoch() -> None:
    class Freeze(nnx.Callback):
        def on_epoch_end(self, run) -> None:
            if run.epoch == 2:
                run.network.layers[0].trainable = False
            run.optimizer.weight_decay = 0.1

    nets = [network(device=device) for device in ("numba", "numpy")]
    for net in nets:
        fit(net, callbacks=[Freeze()])
    same(*nets, tolerance=1e-10)


def test_a_callback_without_every_n_epochs_is_called_after_every_epoch() -> None:
    seen: list[int] = []
    callback = nnx.Callback()
    callback.on_epoch_end = lambda run: seen.append(run.epoch)  # type: ignore[method-assign]
    callback.every = 5  # type: ignore[attr-defined] # a name of the user's own
    fit(network(), callbacks=[callback])
    assert seen == [1, 2, 3, 4, 5, 6]


def test_an_interrupt_within_a_block_leaves_counters_and_parameters_together() -> None:
    class Interrupted(KeyboardInterrupt):
        pass

    def schedule_of(loop):
        genuine = loop.run

        def run(*arguments: object) -> None:
            genuine(*arguments)
            if len(calls) == 1:
                raise Interrupted
            calls.append(1)

        return run

    calls: list[int] = []
    net, twin = network(), network()
    loop = net.backend.small_loop()
    optimizer, other = nnx.Adam(0.01), nnx.Adam(0.01)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "run", schedule_of(loop))
        with pytest.raises(Interrupted):
            fit(net, optimizer=optimizer, epochs=6)
    fit(twin, optimizer=other, epochs=6)
    assert net.arena.step == twin.arena.step == 30
    fit(net, optimizer=optimizer, epochs=2), fit(twin, optimizer=other, epochs=2)
    same(net, twin, tolerance=0.0)


class Halved(nnx.MeanSquaredError):
    def evaluate(self, backend, y_true, y_pred, value, dy, weights=None, kind=None):
        super().evaluate(backend, y_true, y_pred, value, dy, weights, kind)
        if dy is not None:
            dy *= 0.5


class Own(nnx.Dense):
    def forward_into(self, x, y, cache):
        super().forward_into(x, y, cache)


@pytest.mark.parametrize(
    "case",
    [
        "clip",
        "momentum",
        "frozen",
        "weights",
        "augment",
        "steps",
        "layer",
        "subclass",
        "fuse",
        "huber",
        "large",
        "evaluate",
    ],
)
def test_what_it_does_not_know_is_trained_step_by_step(loops: list[bool], case: str) -> None:
    class Steps(nnx.Callback):
        def on_step_end(self, run) -> None:
            self.last = run.step

    options: dict[str, object] = {
        "clip": {"optimizer": nnx.SGD(0.1, clip_norm=1.0)},
        "momentum": {"optimizer": nnx.SGD(0.1, momentum=0.9)},
        "weights": {"sample_weight": np.linspace(0.5, 1.0, len(X))},
        "augment": {"augment": lambda generator, x, y: (x + 0.1, y)},
        "steps": {"callbacks": [Steps()]},
        "huber": {"loss": nnx.Huber()},
        "evaluate": {"loss": Halved()},
    }.get(case, {})
    hidden = {"layer": lambda: nnx.Dropout(0.2)}.get(case, nnx.Tanh)
    width = 2000 if case == "large" else 5
    nets = []
    for device in ("numba", "numpy"):
        kind = Own if case == "subclass" else nnx.Dense
        net = nnx.Network(
            [kind(3, width), hidden(), nnx.Dense(4)], device=device, dtype="float64", seed=1,
            fuse=case != "fuse",
        )  # fmt: skip
        net.layers[0].trainable = case != "frozen"
        fit(net, **options)
        nets.append(net)
    same(*nets, tolerance=1e-10)
    if case == "steps":
        assert options["callbacks"][0].last == 30
    elif case not in ("weights", "augment"):
        assert loops
        assert not any(loops)
