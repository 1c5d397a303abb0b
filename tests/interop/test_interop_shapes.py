"""Rows of several axes and containers go to Keras and ONNX and come back.

In float64 all programs agree to 1e-12. In float32 they round each number by 6e-8 of its size, in another
order. The networks here sum at most 24 products for each number, so 5e-6 is enough for ten such layers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.command_line import command
from support.onnx_branches import ROWS, close, run
from support.small_networks import randomized

import nnx
from nnx.cli.export import _compare as compare

pytestmark = [
    pytest.mark.usefixtures("on_cpu"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy"),  # in Keras itself
]

EPSILON = 2.0**-10  # ONNX stores it in 32 bits
D = nnx.Dense
NETWORKS: dict[str, tuple[tuple[int, ...], Any]] = {
    "residual": ((5,), lambda: [
        D(8), nnx.Residual([nnx.LayerNorm(EPSILON), D(8), nnx.SiLU(), nnx.Dropout(0.2), D(8)]), D(2)
    ]),
    "projection": ((5,), lambda: [nnx.Residual([D(4), nnx.Tanh()], projection=D(4)), nnx.Sigmoid()]),
    "rank 3": ((3, 4), lambda: [
        D(8), nnx.BatchNorm(epsilon=EPSILON), nnx.Residual([D(6), nnx.Tanh()], projection=[D(6), nnx.ReLU()]),
        nnx.Flatten(), D(2), nnx.Softmax(),
    ]),
    "rank 4": ((2, 3, 4), lambda: [
        nnx.Concatenate([[], [D(5), nnx.ReLU()], [nnx.Residual([nnx.Tanh()])]]), nnx.LayerNorm(EPSILON),
        nnx.BatchNorm(epsilon=EPSILON), nnx.Reshape((6, -1)), nnx.Softmax(), nnx.Rescale(2.0, 0.5),
    ]),
    "reshaped": ((12,), lambda: [nnx.Reshape((3, 4)), D(5), nnx.Flatten()]),
    "nested": ((4,), lambda: [
        nnx.Residual([nnx.Residual([D(4)], projection=[D(4)])], projection=[D(4), nnx.Tanh()]),
        nnx.Residual([nnx.Concatenate([[D(2)], [D(2)]])]),
    ]),
    "one branch": ((4,), lambda: [nnx.Concatenate([[]])]),
}  # fmt: skip


def made(name: str, dtype: Any, rng: np.random.Generator) -> tuple[nnx.Network, np.ndarray]:
    """A network with drawn values, and rows for it."""
    shape, layers = NETWORKS[name]
    network = randomized(nnx.Network(layers(), seed=0, dtype=dtype).build(shape), rng)
    return network, rng.standard_normal((ROWS, *shape)).astype(dtype)


def structure(layers: Any) -> list[Any]:
    return [
        (type(layer).__name__, [structure(branch) for branch in layer.branches], layer.output_shape)
        for layer in layers
    ]


def same(back: nnx.Network, network: nnx.Network, x: np.ndarray) -> None:
    """See that two networks have the same layers, names and bits."""
    assert structure(back.layers) == structure(network.layers)
    assert list(back.weights()) == list(network.weights())
    np.testing.assert_array_equal(back.predict(x), network.predict(x))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_goes_to_onnx_and_comes_back(tmp_path: Path, rng, name: str, dtype):
    network, x = made(name, dtype, rng)
    path = tmp_path / "model.onnx"
    nnx.interop.onnx.export(network, path)
    np.testing.assert_allclose(run(path, x), network.predict(x), **close(dtype))
    np.testing.assert_allclose(run(path, x[:1]), network.predict(x[:1]), **close(dtype))
    same(nnx.interop.onnx.load(path), network, x)


@pytest.mark.keras
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_goes_to_keras_and_comes_back(keras, tmp_path: Path, rng, name: str, dtype):
    network, x = made(name, dtype, rng)
    network.layers[0].trainable = False
    model = nnx.interop.keras.to_keras(network)
    y = keras.ops.convert_to_numpy(model(x, training=False))
    np.testing.assert_allclose(y, network.predict(x), **close(dtype))
    nnx.interop.keras.export(network, tmp_path / "model.keras")
    for back in (nnx.interop.keras.from_keras(model), nnx.interop.keras.load(tmp_path / "model.keras")):
        same(back, network, x)
        assert [layer.trainable for layer in back.layers] == [layer.trainable for layer in network.layers]


@pytest.mark.keras
def test_the_layers_of_a_sequential_are_written_one_by_one(keras, tmp_path: Path, rng):
    inner = nnx.Sequential([D(3), nnx.Sequential([nnx.Tanh()])])
    network = nnx.Network([inner, nnx.Flatten(), D(4)], seed=0).build(4)
    network.encoder_length = 1
    x = rng.standard_normal((ROWS, 4)).astype(np.float32)
    model = nnx.interop.keras.to_keras(network)
    assert [layer.name for layer in model.layers][:2] == [
        "sequential_1.dense_1",
        "sequential_1.sequential_1.tanh_1",
    ]
    nnx.interop.onnx.export(network, tmp_path / "model.onnx")
    back = nnx.interop.onnx.load(tmp_path / "model.onnx")
    assert [type(layer).__name__ for layer in back.layers] == ["Dense", "Tanh", "Dense"]
    assert back.encoder_length == 2  # its layers, after which the encoder ends
    np.testing.assert_array_equal(back.predict(x), network.predict(x))


@pytest.mark.keras
def test_nnx_export_writes_containers_and_compares_them(keras, tmp_path: Path, rng):
    network, _ = made("rank 3", "float32", rng)
    network.save(tmp_path / "model.safetensors")
    for name in ("model.onnx", "model.keras"):
        done = command(tmp_path, "export", "model.safetensors", "--out", name)
        assert done.returncode == 0, done.stderr
        assert "largest difference to nnx predict" in done.stderr
        assert (tmp_path / name).is_file()
    spoiled = nnx.Network([nnx.Reshape((2, 3)), nnx.Rescale(1.01)]).build(6)  # outputs of two axes
    nnx.interop.onnx.export(nnx.Network([nnx.Reshape((2, 3))]).build(6), tmp_path / "other.onnx")
    with pytest.raises(nnx.OutputError, match=r"output [1-6] differs"):
        compare(nnx.interop.onnx, tmp_path / "other.onnx", spoiled, None, {})


class Own(nnx.Layer):
    def forward_into(self, x, y, workspace):
        y[...] = x

    def backward_into(self, dy, dx, workspace):
        dx[...] = dy


@pytest.mark.keras
def test_a_layer_of_your_own_inside_a_container_is_named(keras, tmp_path: Path):
    network = nnx.Network([nnx.Residual([D(4), Own()])]).build(4)
    for act in (
        lambda: nnx.interop.keras.to_keras(network),
        lambda: nnx.interop.onnx.export(network, tmp_path / "model.onnx"),
    ):
        with pytest.raises(nnx.ConfigurationError, match=r"residual_1\.own_1") as caught:
            act()
        assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
