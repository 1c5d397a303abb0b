"""Checkpoints and faults on a GPU, which shows faults at the end of an epoch; on the stand-in."""

from __future__ import annotations

import numpy as np
import pytest
from support.overflowing import Bad, bad
from support.overflowing import network as fragile
from support.overflowing import train as train_fragile
from support.resumed import X, killed, network, same, train

import nnx

pytestmark = pytest.mark.standin
pytest.importorskip("cupy._world", reason="needs the stand-in for CuPy: nox -s ladder")


def on_gpu() -> nnx.Network:
    return network("gpu")


@pytest.mark.parametrize("step", [3, 13, 24])
def test_a_killed_run_resumes_and_equals_an_uninterrupted_one(tmp_path, step):
    killed(tmp_path, step, on_gpu)
    whole = train(on_gpu())
    resumed = train(on_gpu(), checkpoint=nnx.Checkpoint(tmp_path, every=3, resume=True))
    assert resumed[0].device == "gpu:0"
    same(resumed, whole)


def test_a_checkpoint_of_one_device_is_gone_on_from_on_another(tmp_path):
    killed(tmp_path, 13, on_gpu)
    on_cpu, history = train(network(), checkpoint=nnx.Checkpoint(tmp_path, resume=True))
    np.testing.assert_allclose(history["loss"], train()[1]["loss"], rtol=1e-4)
    assert np.isfinite(on_cpu.predict(X)).all()


def test_tf32_is_reported_when_a_run_is_resumed(tmp_path, monkeypatch, caplog):
    killed(tmp_path, 13, on_gpu)
    monkeypatch.setattr(on_gpu().backend, "tf32", True)
    train(on_gpu(), checkpoint=nnx.Checkpoint(tmp_path, resume=True))
    assert caplog.text.count("was written with TF32 off, and this run has TF32 on: the last digits") == 1


def test_batches_are_left_out_as_on_a_cpu():
    _, there = train_fragile(fragile("gpu"), bad(), on_nonfinite="skip")
    _, here = train_fragile(fragile("numpy"), bad(), on_nonfinite="skip")
    assert there.left_out == here.left_out == 4
    np.testing.assert_allclose(there["loss"], here["loss"], rtol=1e-4)


def test_training_goes_back_to_a_checkpoint(tmp_path):
    """The epoch at fault is trained to its end first, but no checkpoint is taken behind the fault."""
    broken = Bad(times=2)
    made, history = train_fragile(
        fragile("gpu"), X, broken, checkpoint=nnx.Checkpoint(tmp_path, every=4), on_nonfinite="rollback"
    )
    assert history.rollbacks == 2
    assert np.isfinite(history["loss"]).all()
    assert history.steps == 32
    assert [step for step, _ in broken.rates].count(13) == 3
    assert np.isfinite(made.predict(X)).all()
