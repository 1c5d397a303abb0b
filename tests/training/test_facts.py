"""A run is recognized by its data and options, and the data is read once for this."""

from __future__ import annotations

import numpy as np
import pytest
from support.resumed import train

import nnx


def test_data_that_is_scaled_otherwise_is_other_data(tmp_path):
    def train(divisor, resume):
        network = nnx.Network([nnx.Dense(3, 3)], device="numpy", seed=0)
        x = nnx.Rows(np.arange(12, dtype=np.uint8).reshape(4, 3), divisor)
        network.fit(
            x, x, loss=nnx.MeanSquaredError(), optimizer=nnx.SGD(), batch_size=2,
            checkpoint=nnx.Checkpoint(tmp_path / "kept", every=1, resume=resume),
        )  # fmt: skip

    train(255, resume=False)
    train(255, resume=True)
    with pytest.raises(nnx.ConfigurationError, match="is from a run with other training data"):
        train(2, resume=True)


def test_data_is_read_once_for_all_checkpoints(tmp_path, monkeypatch):
    """What a run was trained on is known by a fingerprint of all its numbers."""
    taken, fingerprint = [], nnx.training.facts.fingerprint
    monkeypatch.setattr(
        nnx.training.facts, "fingerprint", lambda *arrays: taken.append(1) or fingerprint(*arrays)
    )
    train(checkpoint=nnx.Checkpoint(tmp_path, every=2))
    assert len(taken) <= 2  # the data to train on, and to validate on
