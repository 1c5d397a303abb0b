"""Parameter groups: the same numbers as one optimizer for each group and as PyTorch, and their errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import nnx
from nnx.backends import Backend
from nnx.errors import ConfigurationError

pytestmark = pytest.mark.usefixtures("on_cpu")

X = np.random.default_rng(5).normal(size=(12, 4))
Y = np.random.default_rng(6).normal(size=(12, 3))
TINY = 1e-30  # where epsilon stands differs between frameworks: this one changes no digit
OPTIMIZERS = {
    "SGD": lambda **o: nnx.SGD(0.05, **o),
    "momentum": lambda **o: nnx.SGD(0.05, 0.9, **o),
    "Nesterov": lambda **o: nnx.SGD(0.05, 0.9, True, **o),
    "Adam": lambda **o: nnx.Adam(0.01, epsilon=TINY, **o),
    "AdamW": lambda **o: nnx.AdamW(0.01, epsilon=TINY, weight_decay=0.1, **o),
    "RMSprop": lambda **o: nnx.RMSprop(0.01, epsilon=TINY, **o),
    "RMSprop-momentum": lambda **o: nnx.RMSprop(0.01, momentum=0.9, epsilon=TINY, **o),
    "Adagrad": lambda **o: nnx.Adagrad(0.02, epsilon=TINY, **o),
}
every_optimizer = pytest.mark.parametrize("kind", OPTIMIZERS)


def network_of(device: Any) -> nnx.Network:
    layers = [nnx.Dense(4, 5), nnx.Tanh(), nnx.Dense(6), nnx.LayerNorm(), nnx.Dense(3)]
    return nnx.Network(layers, device=device, dtype="float64", seed=2)


def trained(device: Any, optimizer: nnx.Optimizer, epochs: int = 4, **options: Any) -> dict[str, np.ndarray]:
    network = network_of(device)
    network.fit(
        X, Y, loss=nnx.MeanSquaredError(), optimizer=optimizer, epochs=epochs, batch_size=4, shuffle=False,
        **options,
    )  # fmt: skip
    return network.weights()


def stepped(backend: Backend, optimizer: nnx.Optimizer) -> dict[str, np.ndarray]:
    """Parameters after steps along the same gradients, whatever the parameters are."""
    network = network_of(backend)
    for step in range(5):
        for place, (_, _, gradient) in enumerate(network.parameters()):
            drawn = np.random.default_rng([step, place]).normal(size=gradient.shape)
            gradient[...] = backend.asarray(drawn)
        optimizer.step(network)
    return network.weights()


# --------------------------------------------------------------------- the same numbers


@every_optimizer
def test_each_parameter_moves_as_under_an_optimizer_with_its_settings(backend: Backend, kind: str) -> None:
    make = OPTIMIZERS[kind]
    rate = nnx.Cosine(0.03, 4)
    groups = {
        "*.b": {"weight_decay": 0.0, "l2": 0.0},
        "dense_2.*": {"learning_rate": rate},
        "layernorm_1.gamma": {"learning_rate": 0.004, "weight_decay": 0.5},
        "*.W": {"l2": 0.3},
    }
    shared = {"weight_decay": 0.2, "l2": 0.1} if kind != "AdamW" else {"l2": 0.1}
    found = stepped(backend, make(**shared, groups=groups))
    none = {"weight_decay": 0.0, "l2": 0.0}
    own = {
        "dense_1.W": ({"l2": 0.3}, None), "dense_1.b": (none, None),
        "dense_2.W": ({"l2": 0.3}, rate), "dense_2.b": (none, rate),
        "layernorm_1.gamma": ({"weight_decay": 0.5}, 0.004), "layernorm_1.beta": ({}, None),
        "dense_3.W": ({"l2": 0.3}, None), "dense_3.b": (none, None),
    }  # fmt: skip
    assert set(own) == set(found)
    for name, (settings, learning_rate) in own.items():
        optimizer = make()
        for setting, value in (shared | settings).items():
            setattr(optimizer, setting, value)
        if learning_rate is not None:
            optimizer.learning_rate = learning_rate
        expected = stepped(backend, optimizer)[name]
        np.testing.assert_array_equal(found[name], expected, err_msg=name)


TORCH = {
    "SGD": ("SGD", {"lr": 0.05}),
    "momentum": ("SGD", {"lr": 0.05, "momentum": 0.9}),
    "Nesterov": ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    "Adam": ("Adam", {"lr": 0.01, "eps": TINY}),
    "AdamW": ("AdamW", {"lr": 0.01, "eps": TINY, "weight_decay": 0.1}),
    "RMSprop": ("RMSprop", {"lr": 0.01, "alpha": 0.9, "eps": TINY}),
    "RMSprop-momentum": ("RMSprop", {"lr": 0.01, "alpha": 0.9, "momentum": 0.9, "eps": TINY}),
    "Adagrad": ("Adagrad", {"lr": 0.02, "initial_accumulator_value": 0.1, "eps": TINY}),
}


@every_optimizer
def test_pytorch_with_the_same_groups_gives_the_same_parameters(kind: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    decay = "weight_decay" if kind == "AdamW" else "l2"  # PyTorch's other optimizers add it to the gradient
    # PyTorch multiplies the velocity by the step's learning rate, Keras and nnx the gradient that enters it
    falls = 0.5 if kind not in ("momentum", "Nesterov", "RMSprop-momentum") else 1.0
    groups = {
        "*.b": {decay: 0.0},
        "dense_1.*": {"learning_rate": nnx.Exponential(0.03, 3, falls)},
        "dense_3.W": {decay: 0.4},
    }
    ours = OPTIMIZERS[kind](**({} if kind == "AdamW" else {"l2": 0.05}), groups=groups)
    network = network_of("numpy")
    start = network.weights()

    parameters = {
        name: torch.nn.Parameter(torch.tensor(value if name[-1] != "W" else value.T.copy()))
        for name, value in start.items()
    }  # fmt: skip
    their, options = TORCH[kind]
    shared = options.get("weight_decay", 0.05)
    listed = [
        {"params": [parameters["dense_1.W"]], "weight_decay": shared},
        {"params": [parameters["dense_1.b"]], "weight_decay": 0.0},
        {"params": [parameters["dense_2.W"], parameters["layernorm_1.gamma"], parameters["layernorm_1.beta"]],
         "weight_decay": shared},
        {"params": [parameters["dense_2.b"], parameters["dense_3.b"]], "weight_decay": 0.0},
        {"params": [parameters["dense_3.W"]], "weight_decay": 0.4},
    ]  # fmt: skip
    reference = getattr(torch.optim, their)(listed, **options)
    f = torch.nn.functional
    for step in range(12):
        for group in reference.param_groups[:2]:
            group["lr"] = 0.03 * falls ** (step / 3)
        rows = slice(4 * (step % 3), 4 * (step % 3) + 4)
        z = torch.tanh(f.linear(torch.tensor(X[rows]), parameters["dense_1.W"], parameters["dense_1.b"]))
        z = f.linear(z, parameters["dense_2.W"], parameters["dense_2.b"])
        epsilon = network.layers[3].epsilon
        z = f.layer_norm(z, (6,), parameters["layernorm_1.gamma"], parameters["layernorm_1.beta"], epsilon)
        z = f.linear(z, parameters["dense_3.W"], parameters["dense_3.b"])
        reference.zero_grad()
        f.mse_loss(z, torch.tensor(Y[rows])).backward()
        reference.step()

    found = trained("numpy", ours)
    for name, value in parameters.items():
        expected = value.detach().numpy()
        np.testing.assert_allclose(
            found[name], expected.T if name[-1] == "W" else expected, rtol=1e-9, atol=1e-12, err_msg=name
        )


def test_groups_that_change_nothing_give_the_same_bytes(backend: Backend) -> None:
    plain = stepped(backend, nnx.Adam(0.01, weight_decay=0.1))
    same = stepped(backend, nnx.Adam(0.01, weight_decay=0.1, groups={"*.b": {"weight_decay": 0.1}}))
    for name, value in plain.items():
        np.testing.assert_array_equal(same[name], value, err_msg=name)


def test_a_small_network_with_groups_is_not_given_to_the_compiled_loop() -> None:
    """One group for all parameters is one span, as without groups."""
    for device in ("numpy", "cpu"):
        found = trained(device, nnx.SGD(0.05, groups={"*": {"learning_rate": 0.01}}), epochs=3)
        expected = trained(device, nnx.SGD(0.01), epochs=3)
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-12, err_msg=name)


# --------------------------------------------------------------------------- how many calls


class Counting(nnx.SGD):
    """Notes the learning rate and the decay of each call."""

    calls: list[tuple[int, float, float]] = []  # noqa: RUF012

    def update(self, backend: Any, span: Any, fault: Any, learning_rate: float, step: int) -> None:
        self.calls.append((span.values.size, learning_rate, self.weight_decay))
        super().update(backend, span, fault, learning_rate, step)


@pytest.fixture
def calls() -> Iterator[list[tuple[int, float, float]]]:
    Counting.calls.clear()
    yield Counting.calls
    Counting.calls.clear()


def test_there_is_one_call_for_each_span_with_its_own_settings(calls: list[Any]) -> None:
    network = network_of("numpy")
    Counting(0.1).step(network)
    assert len(calls) == 1
    calls.clear()
    Counting(0.1, groups={"dense_3.*": {"learning_rate": 0.2}, "dense_2.*": {"l2": 0.0}}).step(network)
    assert [rate for _, rate, _ in calls] == [0.1, 0.1, 0.1, 0.2]  # dense_2 has an l2 of its own
    calls.clear()
    Counting(0.1, groups={"layernorm_1.*": {"weight_decay": 0.5}, "dense_3.W": {"weight_decay": 0.5}}).step(
        network
    )
    assert [decay for _, _, decay in calls] == [0.0, 0.5, 0.0]
    assert sum(size for size, _, _ in calls) == network.arena.values.size


def test_a_frozen_layer_stays_and_divides_a_span(calls: list[Any]) -> None:
    network = network_of("numpy")
    network.layers[2].trainable = False
    before = network.weights()
    for _, _, gradient in network.parameters():
        gradient[...] = 1.0
    optimizer = Counting(0.1, groups={"*.b": {"learning_rate": 0.01}})
    optimizer.step(network)
    assert [rate for _, rate, _ in calls] == [0.1, 0.01, 0.1, 0.01]
    network.layers[2].trainable = True
    calls.clear()
    optimizer.step(network)
    assert [rate for _, rate, _ in calls] == [0.1, 0.01, 0.1, 0.01, 0.1, 0.01]
    after = network.weights()
    np.testing.assert_allclose(after["dense_2.W"], before["dense_2.W"] - 0.1, rtol=1e-12)
    np.testing.assert_allclose(after["dense_1.b"], before["dense_1.b"] - 0.02, rtol=1e-12)


def test_a_slice_knows_its_parameters_by_the_networks_names(calls: list[Any]) -> None:
    network = network_of("numpy")
    before = network.weights()
    for _, _, gradient in network.parameters():
        gradient[...] = 1.0
    Counting(0.1, groups={"dense_3.b": {"learning_rate": 0.01}}).step(network[4:])
    after = network.weights()
    np.testing.assert_array_equal(after["dense_2.W"], before["dense_2.W"])
    np.testing.assert_allclose(after["dense_3.W"], before["dense_3.W"] - 0.1, rtol=1e-12)
    np.testing.assert_allclose(after["dense_3.b"], before["dense_3.b"] - 0.01, rtol=1e-12)
    assert len(calls) == 2


def test_layers_in_containers_are_named_by_their_path() -> None:
    block = nnx.Residual([nnx.Dense(5), nnx.Sequential([nnx.Tanh(), nnx.Dense(4)])])
    network = nnx.Network([nnx.Dense(3, 4), block, nnx.Dense(2)], device="numpy", dtype="float64", seed=0)
    before = network.weights()
    for _, _, gradient in network.parameters():
        gradient[...] = -1.0
    groups = {"residual_1.*.b": {"learning_rate": 0.5}, "*sequential_1.*": {"learning_rate": 0.25}}
    nnx.SGD(0.125, groups=groups).step(network)
    moved = {name: np.unique((value - before[name]).round(12)) for name, value in network.weights().items()}
    for name, found in moved.items():
        inner = 0.25 if "sequential" in name else 0.125
        assert found.tolist() == [0.5 if name.startswith("residual") and name[-1] == "b" else inner], name
    assert len(moved) == 8


def test_other_groups_take_effect_from_the_next_step(calls: list[Any]) -> None:
    network, optimizer = network_of("numpy"), Counting(0.1)
    optimizer.step(network)
    optimizer.groups = {"*.b": {"learning_rate": 0.01}}
    optimizer.step(network)
    optimizer.groups = None
    optimizer.step(network)
    assert [len({rate for _, rate, _ in calls[start:stop]}) for start, stop in ((0, 1), (1, 7), (7, 8))] == [
        1,
        2,
        1,
    ]


def test_the_norm_is_that_of_all_groups_together() -> None:
    def grouped(**options: Any) -> dict[str, np.ndarray]:
        return stepped(nnx.backends.resolve("numpy"), nnx.SGD(0.1, clip_norm=0.5, **options))

    expected, found = grouped(), grouped(groups={"*.b": {"learning_rate": 0.1}})
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-13, err_msg=name)


# ------------------------------------------------------------------ resumed, copied, written


class KilledError(Exception):
    pass


class Change(nnx.Callback):
    def on_epoch_end(self, run: Any) -> None:
        if run.epoch == 2:
            _, ((_, rate),) = run.optimizer._groups[1]
            rate.learning_rate *= 0.5
        if run.epoch == 3:
            run.optimizer.groups = run.optimizer.groups | {"*.W": {"weight_decay": 0.2}}


@pytest.mark.parametrize("callbacks", [[], [Change()]], ids=["as it began", "changed by a callback"])
@pytest.mark.parametrize("kind", ["Adam", "momentum"])
def test_a_resumed_run_gives_the_same_bytes(tmp_path: Any, kind: str, callbacks: list[nnx.Callback]) -> None:
    class Stop(nnx.Callback):
        def on_step_end(self, run: Any) -> None:
            if run.step == 11:
                raise KilledError

    def make() -> nnx.Optimizer:
        groups = {"*.b": {"l2": 0.5}, "dense_2.*": {"learning_rate": nnx.Cosine(0.03, 18)}}
        return OPTIMIZERS[kind](groups=groups)

    whole = trained("numpy", make(), epochs=6, callbacks=callbacks)
    kept = nnx.Checkpoint(tmp_path, every=1)
    with pytest.raises(KilledError):
        trained("numpy", make(), epochs=6, callbacks=[*callbacks, Stop()], checkpoint=kept)
    kept = nnx.Checkpoint(tmp_path, every=1, resume=True)
    resumed = trained("numpy", make(), epochs=6, callbacks=callbacks, checkpoint=kept)
    for name, value in whole.items():
        np.testing.assert_array_equal(resumed[name], value, err_msg=name)


@every_optimizer
def test_config_makes_the_optimizer_again(kind: str) -> None:
    groups = {"*.b": {"weight_decay": 0.0}, "dense_?.W": {"learning_rate": nnx.Warmup(nnx.Cosine(0.1, 9), 2)}}
    first = OPTIMIZERS[kind](clip_norm=1.0, groups=groups)
    again = type(first)(**first.config())
    assert again.config() == first.config()
    assert repr(again) == repr(first)
    for step in range(12):
        assert again._groups[1][1][0][1](step) == first._groups[1][1][0][1](step)


# ----------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("groups", "says"),
    [
        ({"*.c": {"l2": 0.0}}, r"SGD: groups\['\*\.c'\] matches no parameter: choose from dense_1\.W"),
        ({"dense_4.W": {"l2": 0.0}}, r"matches no parameter: did you mean 'dense_\d\.W'"),
        ({"*": {"l2": 0.1}, "*.b": {"l2": 0.0}}, r"groups\['\*\.b'\] changes nothing, because"),
        ({"*.b": {"weight_decy": 0.0}}, r"unknown setting 'weight_decy': did you mean 'weight_decay'"),
        ({"*.b": {"momentum": 0.5}}, "momentum is the same for all parameters; a group may set"),
        ({"*.b": {"clip_norm": 0.5}}, "clip_norm is the same for all parameters"),
        ({"*.b": {"l2": -1}}, r"SGD: groups\['\*\.b'\]: l2 must lie in \[0, inf\), not -1"),
        ({"*.b": {"learning_rate": "low"}}, "learning rate must be a number or a schedule, not 'low'"),
        ({"*.b": {"learning_rate": {"name": "cosin"}}}, "unknown schedule 'cosin': did you mean 'cosine'"),
        ({"*.b": {}}, "must be a pattern with a dict of settings"),
        ({"*.b": 0.1}, "must be a pattern with a dict of settings"),
        ({3: {"l2": 0.1}}, "must be a pattern with a dict of settings"),
        ([("*.b", {"l2": 0.1})], "groups must be a dict of patterns"),
    ],
)  # fmt: skip
def test_groups_that_make_no_sense(groups: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        nnx.SGD(0.1, groups=groups).step(network_of("numpy"))


def test_a_pattern_without_effect_is_refused_before_anything_changes() -> None:
    network = network_of("numpy")
    before = network.weights()
    with pytest.raises(ConfigurationError, match="matches no parameter"):
        network.fit(
            X, Y, loss=nnx.MeanSquaredError(), optimizer=nnx.Adam(groups={"nothing.*": {"l2": 1.0}}),
            batch_size=4,
        )  # fmt: skip
    for name, value in network.weights().items():
        np.testing.assert_array_equal(value, before[name])
    assert network.arena.step == 0
