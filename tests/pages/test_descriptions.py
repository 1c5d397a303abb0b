"""Networks to the engine's descriptions and back."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest
from support.engine import ROWS, node, rows_for
from support.engine_cases import CASES, LAYERS

import nnx
from nnx.pages import build, describe, descriptions


@pytest.fixture(autouse=True)
def numpy_only():
    """The kernels of Numba would be compiled for these few steps."""
    with nnx.use("numpy"):
        yield


def test_it_names_what_the_engine_has(tmp_path):
    offers, defaults = node("answer = [nnxEngine.offers, nnxEngine.defaults];", None, tmp_path)
    assert set(defaults["layers"]) == descriptions.LAYERS
    assert set(offers["losses"]) == descriptions.LOSSES
    assert set(offers["optimizers"]) == descriptions.OPTIMIZERS
    assert set(offers["initializers"]) == descriptions.INITIALIZERS


@pytest.mark.parametrize("name", [*LAYERS, "initializer uniform", "Poisson, not fused"])
def test_a_description_makes_the_same_network_again(name):
    one = CASES[name]
    network = build(one)
    x, y = rows_for(one)
    loss, optimizer = nnx.losses.get(one["loss"]), nnx.optimizers.get(one["optimizer"])
    network.fit(x, y, loss=loss, optimizer=optimizer, epochs=3, batch_size=5)
    described = json.loads(json.dumps(describe(network, loss, optimizer)))
    again = build(described)
    np.testing.assert_array_equal(again.predict(x), network.predict(x))
    assert again.config() == network.config()
    assert again.arena.step == network.arena.step == 9
    assert nnx.losses.get(described["loss"]).config() == loss.config()
    assert nnx.optimizers.get(described["optimizer"]).config() == optimizer.config()


@pytest.mark.parametrize(
    "optimizer", [nnx.SGD(0.05, 0.9), nnx.Adam(0.005), nnx.RMSprop(0.001), nnx.Adagrad(0.05)]
)
def test_the_engine_continues_a_training(optimizer, tmp_path):
    """With the optimizer's moments, and the masks of the steps that follow."""
    one = LAYERS["deep"] | {"layers": [*LAYERS["deep"]["layers"][:-1], {"kind": "Dense", "units": 4}]}
    one["loss"] = "mean_squared_error"
    x, y = rows_for(one)
    network = build(one)
    settings = {"loss": "mean_squared_error", "optimizer": optimizer, "batch_size": ROWS}
    network.fit(x, y, epochs=7, **settings)
    given = {"description": describe(network, "mean_squared_error", optimizer)}
    given |= {"x": x.ravel().tolist(), "y": y.ravel().tolist()}
    program = f"""
    const net = nnxEngine.network(given.description), x = Float64Array.from(given.x);
    for (let i = 0; i < 20; i++) net.step(x, Float64Array.from(given.y), {ROWS});
    answer = Array.from(net.predict(x, {ROWS}));
    """
    there = node(program, given, tmp_path)
    network.fit(x, y, epochs=20, **settings)
    np.testing.assert_allclose(there, network.predict(x).ravel(), rtol=1e-9, atol=1e-9)


def test_large_seeds_keep_all_digits(tmp_path):
    """In the engine, in its files and in its code; JavaScript's own numbers are exact below 2^53."""
    network = nnx.Network(
        [nnx.Dense(2, 3), nnx.Dense(2, seed=2**59 + 1)], precision="float64", seed=2**60 + 1
    )
    described = describe(network)
    assert build(json.loads(json.dumps(described))).config() == network.config()
    del described["weights"]
    program = """
    const net = nnxEngine.network(given);
    answer = [Array.from(net.predict(Float64Array.of(1, 2), 1)), nnxEngine.pythonCode(net)];
    answer.push(Buffer.from(nnxEngine.modelFile(net)).toString("base64"));
    """
    predictions, code, file = node(program, described, tmp_path)
    (tmp_path / "model.safetensors").write_bytes(base64.b64decode(file))
    names = {}
    exec(code, names)
    x = np.array([[1.0, 2.0]])
    for made in (names["network"], nnx.load(tmp_path / "model.safetensors")):
        assert (made.seed, made.layers[1].seed) == (2**60 + 1, 2**59 + 1)
        np.testing.assert_allclose(made.predict(x)[0], predictions, rtol=1e-14)


class Own(nnx.Tanh):
    """A layer of a user."""


@pytest.mark.parametrize(
    ("layers", "options", "told"),
    [
        ([nnx.Embedding(3, 2), nnx.Flatten(), nnx.Dense(1)], {}, "has no layer Embedding"),
        ([nnx.Conv2D(2, 3)], {}, "rows of features"),
        ([nnx.Dense(2), Own()], {}, "has no layer Own"),
        ([nnx.Dense(2, sparse=True)], {}, "dense rows"),
        ([nnx.Dense(2)], {"loss": nnx.Pinball((0.1, 0.9))}, "no loss 'pinball'"),
        ([nnx.Dense(2)], {"optimizer": nnx.LBFGS()}, "no optimizer 'lbfgs'"),
        ([nnx.Dense(2)], {"optimizer": nnx.Adam(nnx.Cosine(0.1, 10))}, "without a schedule"),
        ([nnx.Dense(2)], {"optimizer": nnx.SGD(groups={"*.b": {"l2": 0.1}})}, "without groups"),
    ],
)
def test_what_the_engine_cannot_compute_is_refused(layers, options, told):
    shape = (4, 4, 1) if isinstance(layers[0], nnx.Conv2D) else 4
    network = nnx.Network(layers).build(shape)
    with pytest.raises(nnx.ConfigurationError, match=told):
        describe(network, **options)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"kind": "Dens", "units": 2}, "Dense"),
        ({"kind": "Dense", "unit": 2}, "unit"),
        ({"kind": "Dropout", "rate": 2}, "rate"),
    ],
)
def test_a_wrong_description_is_refused(entry, told):
    with pytest.raises(nnx.ConfigurationError, match=told):
        build({"inputs": 2, "layers": [entry]})


def test_weights_that_do_not_fit_are_refused():
    with pytest.raises(nnx.DataError, match=r"dense_1\.W has shape"):
        build(
            {
                "inputs": 2,
                "layers": [{"kind": "Dense", "units": 2}],
                "weights": {"dense_1.W": [1], "dense_1.b": [0, 0]},
            }
        )
