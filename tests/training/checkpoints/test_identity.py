"""A run with another network or other options is not resumed, and the error names the difference."""

from __future__ import annotations

import pytest
from support.resumed import X, Y, killed, network, train

import nnx

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


@pytest.mark.parametrize("name", DIFFERENT)
def test_another_run_cannot_resume_from_it(tmp_path, name):
    options, text = DIFFERENT[name]
    options = dict(options)
    killed(tmp_path, 20)
    before = {path: path.read_bytes() for path in tmp_path.glob("fit-*")}
    with pytest.raises(nnx.ConfigurationError, match=rf"step-18\.safetensors is from a run with .*{text}"):
        train(callbacks=options.pop("more", []), checkpoint=nnx.Checkpoint(tmp_path, resume=True), **options)
    assert {path: path.read_bytes() for path in tmp_path.glob("fit-*")} == before
