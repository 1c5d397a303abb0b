"""Networks with tied weights and contractive encoders in files of other libraries: the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.keras_twins import CLOSE, outputs
from support.onnx_graphs import run

import nnx
from nnx.interop import keras as to_keras
from nnx.interop import onnx as to_onnx
from nnx.interop.tied import untied

pytestmark = pytest.mark.usefixtures("on_cpu")
X = np.random.default_rng(2).standard_normal((7, 6)).astype(np.float32)


def network() -> nnx.Network:
    first, second = nnx.Dense(5), nnx.Dense(3)
    made = nnx.Network(
        [
            nnx.Contractive([first, nnx.Tanh(), second, nnx.Sigmoid()], 0.1),
            nnx.Residual([nnx.BatchNorm(), nnx.Dense(3)]),
            nnx.TiedDense(second), nnx.Tanh(), nnx.TiedDense(first),
        ],
        seed=0,
    )  # fmt: skip
    made.encoder_length = 2
    made.fit(X, X, loss="mse", optimizer=nnx.Adam(0.05), epochs=5, batch_size=7)
    return made


def test_a_network_without_ties_is_returned_itself():
    made = nnx.Network([nnx.Dense(6, 3)])
    assert untied(made) is made


def test_dense_layers_have_copies_of_the_weights():
    made = network()
    plain = untied(made)
    assert [type(layer).__name__ for layer in plain.layers] == [
        "Contractive", "Residual", "Dense", "Tanh", "Dense"
    ]  # fmt: skip
    np.testing.assert_allclose(plain.predict(X), made.predict(X), rtol=1e-6)
    assert plain.encoder_length == 2
    decoder = untied(made[2:])
    codes = made[:2].predict(X)
    np.testing.assert_allclose(decoder.predict(codes), made.predict(X), rtol=1e-5)


def test_an_onnx_file_computes_the_same(tmp_path: Path):
    pytest.importorskip("onnx", reason="needs onnx: pip install 'nnx-arrays[onnx]'")
    made = network()
    to_onnx.export(made, tmp_path / "model.onnx")
    np.testing.assert_allclose(run(tmp_path / "model.onnx", X), made.predict(X), **CLOSE)


@pytest.mark.keras
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")
def test_a_keras_model_computes_the_same(keras):
    made = network()
    np.testing.assert_allclose(outputs(to_keras.to_keras(made), X), made.predict(X), **CLOSE)
