"""What all workers compute by themselves, the learning rate and the means of epochs, is what nnx computes."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import nnx
from nnx.experiments.compare.workers.base import Model, rate


@pytest.mark.parametrize("schedule", [nnx.schedules.Constant(0.3), nnx.schedules.Cosine(0.1, 7)])
def test_the_rate_of_each_step_is_that_of_the_schedule(schedule):
    described = {"kind": type(schedule).__name__, **schedule.config()}
    job = {"optimizer": {"schedule": described}}
    for step in range(9):  # two steps after the end of the cosine
        assert rate(job, step) == pytest.approx(schedule(step), abs=1e-15)


def test_the_mean_of_an_epoch_counts_a_smaller_last_batch_by_its_rows():
    job = {"rows": 10, "batch_size": 4, "keep": 2}
    worker = SimpleNamespace(job=job)
    losses = [1.0, 2.0, 6.0, 9.0, 9.0, 9.0, 3.0, 3.0, 0.0]  # three epochs, of which each second is kept
    means = Model.epoch_means(worker, losses)
    np.testing.assert_allclose(means, [(4 * 1 + 4 * 2 + 2 * 6) / 10, (4 * 3 + 4 * 3) / 10])
