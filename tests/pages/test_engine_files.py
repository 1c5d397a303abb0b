"""What leaves a page: a file that `nnx.load` reads, and Python code."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from support.engine import given, node, rows_for
from support.engine_cases import CASES, LAYERS

import nnx


@pytest.fixture(autouse=True)
def numpy_only():
    """The kernels of Numba would be compiled for these few steps."""
    with nnx.use("numpy"):
        yield


CHOSEN = {
    name: CASES[name] for name in (*LAYERS, "initializer uniform", "Poisson, not fused", "huber 0.3, linear")
}
PROGRAM = """
answer = given.map(({ description, x, y, rows }) => {
  const net = nnxEngine.network(description), X = Float64Array.from(x);
  const code = nnxEngine.pythonCode(net, { epochs: 10, batch_size: rows });
  for (let i = 0; i < 10; i++) net.step(X, Float64Array.from(y), rows);
  const file = Buffer.from(nnxEngine.modelFile(net, { trained: "in a page" })).toString("base64");
  return { code, file, predictions: Array.from(net.predict(X, rows)) };
});
"""


@pytest.fixture(scope="module")
def from_page(tmp_path_factory):
    cases = [given(one) for one in CHOSEN.values()]
    return dict(zip(CHOSEN, node(PROGRAM, cases, tmp_path_factory.mktemp("node")), strict=True))


@pytest.mark.parametrize("name", CHOSEN)
def test_nnx_loads_the_file_of_a_page(from_page, name, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(base64.b64decode(from_page[name]["file"]))
    network = nnx.load(path)
    x, _ = rows_for(CHOSEN[name])
    assert (network.precision, network.seed) == ("float64", CHOSEN[name]["seed"])
    np.testing.assert_allclose(network.predict(x).ravel(), from_page[name]["predictions"], rtol=1e-12)
    trainable = [entry.get("trainable", True) for entry in CHOSEN[name]["layers"] if entry["kind"] != "Dense"]
    assert [layer.trainable for layer in network.layers].count(False) >= trainable.count(False)
    assert nnx.checkpoints.read_metadata(path) == {"trained": "in a page"}


@pytest.mark.parametrize("name", CHOSEN)
def test_the_python_code_makes_and_trains_the_same_network(from_page, name, capsys):
    x, y = rows_for(CHOSEN[name])
    names = {"x": x, "y": y}
    exec(from_page[name]["code"], names)
    assert capsys.readouterr().out == f"loss in the last epoch: {names['history']['loss'][-1]}\n"
    predictions = names["network"].predict(x).ravel()
    np.testing.assert_allclose(predictions, from_page[name]["predictions"], rtol=1e-9, atol=1e-12)


def test_the_code_is_short(tmp_path):
    description = {
        "inputs": 2, "seed": 4, "loss": "binary_cross_entropy",
        "layers": [
            {"kind": "Dense", "units": 8, "activation": "tanh"}, {"kind": "Dropout", "rate": 0.1},
            {"kind": "Dense", "units": 1}, {"kind": "Sigmoid"},
        ],
        "optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "nesterov": True},
    }  # fmt: skip
    program = "answer = nnxEngine.pythonCode(nnxEngine.network(given), { epochs: 50 });"
    assert node(program, description, tmp_path) == (
        "import nnx\n"
        "\n"
        "network = nnx.Network(\n"
        "    [\n"
        '        nnx.Dense(2, 8, activation="tanh"),\n'
        "        nnx.Dropout(rate=0.1),\n"
        '        nnx.Dense(8, 1, activation="sigmoid"),\n'
        "    ],\n"
        '    precision="float64", seed=4,\n'
        ")\n"
        "history = network.fit(\n"
        "    x, y,\n"
        "    loss=nnx.BinaryCrossEntropy(),\n"
        "    optimizer=nnx.SGD(0.1, momentum=0.9, nesterov=True),\n"
        "    epochs=50, batch_size=32,\n"
        ")\n"
        'print("loss in the last epoch:", history["loss"][-1])\n'
    )
