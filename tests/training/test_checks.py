"""Options of `fit` that do not fit are refused before training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.resumed import KillAt, Killed, same, train

import nnx


def test_two_are_one_too_many(tmp_path):
    kept = nnx.Checkpoint(tmp_path / "a"), nnx.Checkpoint(tmp_path / "b")
    with pytest.raises(nnx.ConfigurationError, match="give one Checkpoint"):
        train(callbacks=kept)
    with pytest.raises(nnx.ConfigurationError, match="give one Checkpoint"):
        train(callbacks=kept[:1], checkpoint=kept[1])
    for wrong in (str(tmp_path), KillAt(1), nnx.Checkpoint):
        with pytest.raises(nnx.ConfigurationError, match=r"checkpoint must be an nnx\.Checkpoint\(folder\)"):
            train(checkpoint=wrong)


def test_a_checkpoint_among_the_callbacks_works_and_warns(tmp_path):
    """As version 0.1 took it, at any place among them."""
    kept, resumes = nnx.Checkpoint(tmp_path, every=3), nnx.Checkpoint(tmp_path, resume=True)
    with pytest.raises(Killed), pytest.warns(DeprecationWarning, match="checkpoint=nnx.Checkpoint") as seen:
        train(callbacks=[kept, KillAt(13)])
    assert [Path(warning.filename).name for warning in seen] == ["resumed.py"]  # where `train` is
    with pytest.warns(DeprecationWarning, match="checkpoint=nnx.Checkpoint"):
        resumed = train(callbacks=[resumes])
    same(resumed, train())


@pytest.mark.parametrize(("given", "text"), [
    ({"loss": "crossentropy"}, "unknown loss 'crossentropy': did you mean 'cross_entropy'?"),
    ({"loss": 3}, "loss must be an nnx loss such as nnx.CategoricalCrossEntropy(), not 3"),
    ({"loss": nnx.Huber}, "loss must be an nnx loss such as nnx.Huber(), not the class Huber"),
    ({"optimizer": "adamm"}, "unknown optimizer 'adamm': did you mean 'adam'?"),
    ({"optimizer": nnx.Adam}, "optimizer must be an nnx optimizer such as nnx.Adam(), not the class Adam"),
    ({"y": np.array(["a", "b"])},
     "y holds text, not numbers: use names, y = np.unique(y, return_inverse=True)"),
    ({"metrics": ["acc"], "validation": 0.5}, "unknown metric 'acc': did you mean 'accuracy'?"),
])  # fmt: skip
def test_wrong_arguments_of_fit_are_named_alone(given, text):
    network = nnx.Network([nnx.Dense(2, 2), nnx.Softmax()], seed=0)
    how = {"loss": nnx.CategoricalCrossEntropy(), "optimizer": nnx.SGD(0.1), "batch_size": 1} | given
    y = how.pop("y", [0, 1])
    with pytest.raises(nnx.NnxError) as caught:
        network.fit(np.eye(2), y, **how)
    assert str(caught.value) == text
