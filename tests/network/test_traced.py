"""`Network.trace` takes losses and optimizers by name, and the data that `fit` takes."""

from __future__ import annotations

import numpy as np

import nnx


def test_names_lists_labels_and_an_unbuilt_network_are_taken():
    network = nnx.Network([nnx.Dense(3), nnx.Softmax()], device="numpy", seed=0)
    trace = network.trace([[0.0, 1.0], [1.0, 0.0]], [2, 0], {"name": "cross_entropy"}, {"name": "adam"})
    assert trace.rows == 2
    np.testing.assert_array_equal(trace.loss.y_true, [2, 0])
    assert type(trace.optimizer) is nnx.Adam
    assert network.inputs is None
