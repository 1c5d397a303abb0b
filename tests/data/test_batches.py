"""Batches visit each row once in an epoch, and the loss of an epoch is the mean over its rows."""

from __future__ import annotations

import numpy as np
import pytest
from support.small_networks import X37 as X
from support.small_networks import Y37 as Y
from support.small_networks import fit, regressor

import nnx
from nnx import training


@pytest.mark.usefixtures("device")
def test_the_loss_of_an_epoch_is_the_mean_over_rows_and_not_over_batches():
    network = regressor()
    before = network.evaluate(X, Y, loss=nnx.MeanSquaredError())["loss"]
    history = fit(network, optimizer=nnx.SGD(0.0), epochs=1, batch_size=36)  # the last batch: one row
    assert history["loss"][0] == pytest.approx(before, rel=1e-5)


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("batch_size", [8, 36, 37])
def test_the_loss_of_an_epoch_is_that_of_evaluate(batch_size, weighted):
    """However unequal the weights of the batches are; the parameters stand still."""
    weights = np.geomspace(1e-3, 10.0, 37) if weighted else None
    network = regressor(dtype="float64")
    expected = network.evaluate(X, Y, loss=nnx.MeanSquaredError(), sample_weight=weights)["loss"]
    for shuffle in (False, True):
        history = fit(network, optimizer=nnx.SGD(0.0), epochs=2, batch_size=batch_size, shuffle=shuffle,
                      sample_weight=weights)  # fmt: skip
        np.testing.assert_allclose(history["loss"], expected, rtol=1e-12)


@pytest.mark.usefixtures("device")
def test_weights_follow_their_rows_through_the_shuffle():
    """Rows of weight zero, however wild, change nothing but the sizes of batches."""
    y = Y.copy()
    y[::3] = 1e3
    weights = np.ones(37)
    weights[::3] = 0.0
    network = regressor()
    fit(network, y=y, sample_weight=weights, epochs=100)
    kept = weights > 0
    assert np.mean((network.predict(X[kept]) - Y[kept]) ** 2) < 0.1


def test_shards_are_visited_one_after_another():
    """In an order of their own, their rows mixed, each row once; another epoch, another order."""
    order = training.epoch_order(0, 5, 100, 10, 190)
    assert sorted(order) == list(range(300))
    shard = np.searchsorted([100, 110], order, side="right")
    assert np.count_nonzero(np.diff(shard)) == 2
    assert (np.diff(order[shard == 2]) != 1).any()
    assert (order != training.epoch_order(0, 10, 100, 10, 190)).any()
