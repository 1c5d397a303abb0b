"""A run with another network or other options is not resumed, and the error names the difference."""

from __future__ import annotations

import pytest
from support.resumed import X, Y, killed, network, train

import nnx
from nnx.training.checkpoints.identity import difference

DIFFERENT = {
    "batch_size": ({"batch_size": 9}, "batch_size 8, not 9"),
    "optimizer": ({"optimizer": nnx.SGD(0.5)}, r'optimizer "Adam", not "SGD"'),
    "learning rate": (
        {"optimizer": nnx.Adam(nnx.Cosine(0.02, 41))},
        'optimizer: learning_rate {"name": "cos',
    ),
    "beta": ({"optimizer": nnx.Adam(nnx.Cosine(0.02, 40), 0.8)}, r"optimizer: beta1 0\.9, not 0\.8"),
    "groups": (
        {"optimizer": nnx.Adam(nnx.Cosine(0.02, 40), groups={"*.b": {"l2": 1e-3}})},
        r'optimizer: groups null, not {"\*\.b": {"l2": 0\.001}}',
    ),
    "validation": ({"validation": (X[:21], Y[:21])}, "other validation data"),
    "seed": ({"made": network(seed=4)}, "seed 3, not 4"),
    "callbacks": ({"more": [nnx.EarlyStopping()]}, r'callbacks \["Checkpoint"\], not \["EarlyStopping", "C'),
    "dtype": ({"made": nnx.Network([nnx.Dense(6, 3)], seed=3, dtype="float64")}, 'precision "float32", not'),
    "encoder": ({"made": network(seed=3)}, "encoder_length null, not 2"),
}
DIFFERENT["encoder"][0]["made"].encoder_length = 2


def deep(*last):
    """A list of layers whose beginning is long: the error must not show that, but what differs."""
    layers = [nnx.Conv2D(4, 3, padding="same"), nnx.MaxPool2D(), *last]
    return [
        {"kind": type(layer).__name__, "config": layer.config(), "trainable": layer.trainable}
        for layer in layers
    ]


def frozen(layer):
    layer.trainable = False
    return layer


@pytest.mark.parametrize(
    ("last", "text"),
    [
        ([nnx.MaxPool2D(3)], "layers, number 3: pool_size [2, 2], not [3, 3]"),
        ([nnx.ReLU()], 'layers, number 3 "MaxPool2D", not "ReLU"'),
        ([], "3 layers, not 2"),
        ([frozen(nnx.MaxPool2D(2))], "layers, number 3: trainable true, not false"),
    ],
)
def test_of_many_layers_the_one_that_differs_is_named(last, text):
    assert difference("layers", deep(nnx.MaxPool2D(2)), deep(*last)) == text


@pytest.mark.parametrize("name", DIFFERENT)
def test_another_run_cannot_resume_from_it(tmp_path, name):
    options, text = DIFFERENT[name]
    options = dict(options)
    killed(tmp_path, 20)
    before = {path: path.read_bytes() for path in tmp_path.glob("fit-*")}
    with pytest.raises(nnx.ConfigurationError, match=rf"step-18\.safetensors is from a run with .*{text}"):
        train(callbacks=options.pop("more", []), checkpoint=nnx.Checkpoint(tmp_path, resume=True), **options)
    assert {path: path.read_bytes() for path in tmp_path.glob("fit-*")} == before
