"""Batch normalization follows the batch in training, and the past in inference."""

from __future__ import annotations

import numpy as np
import pytest
from support.small_networks import X, forward, host, same_bytes

import nnx

pytestmark = pytest.mark.usefixtures("device")


def test_batch_norm_follows_the_batch_in_training_and_the_past_in_inference():
    network = nnx.Network([nnx.BatchNorm(momentum=0.9, epsilon=1e-5)], seed=0, dtype="float64")
    x = X.astype(np.float64) * 3.0 + 1.0
    np.testing.assert_allclose(network.predict(x), x / np.sqrt(1.0 + 1e-5))
    y = forward(network, x, training=True)
    np.testing.assert_allclose(y.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(y.std(axis=0), 1.0, rtol=1e-4)
    np.testing.assert_allclose(host(network[0].running_mean), 0.1 * x.mean(axis=0))
    np.testing.assert_allclose(host(network[0].running_variance), 0.9 + 0.1 * x.var(axis=0))
    before = network.weights()
    network.predict(x)
    same_bytes(before, network.weights())
