"""Sparse rows on a GPU: each batch becomes dense on the host, and is streamed; on the stand-in."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from support.sparse_matrices import drawn

import nnx

pytestmark = pytest.mark.standin
pytest.importorskip("cupy", reason="needs CuPy's wheel: nox -s ladder")

X = drawn(90, 20, dtype="float32")
Y = np.arange(90) % 3


def network(**options):
    layers = [nnx.Dense(8, **options), nnx.ReLU(), nnx.Dense(3), nnx.Softmax()]
    return nnx.Network(layers, device="gpu", seed=0)


def fit(one, x):
    return one.fit(
        x, Y, loss="cross_entropy", optimizer=nnx.Adam(0.01), epochs=2, batch_size=16, validation=0.2
    )


def test_training_gives_the_numbers_of_dense_rows():
    ones = [network(), network()]
    losses = [fit(one, x).metrics for one, x in zip(ones, (X.toarray(), X), strict=True)]
    assert losses[0] == losses[1]
    for name, value in ones[0].weights().items():
        np.testing.assert_array_equal(value, ones[1].weights()[name], err_msg=name)
    assert not ones[1].takes_sparse
    np.testing.assert_array_equal(ones[1].predict(sparse.coo_matrix(X)), ones[1].predict(X.toarray()))


def test_an_autoencoder_streams_its_targets_too():
    found = []
    for x in (X.toarray(), X):
        one = nnx.Network([nnx.Dense(4), nnx.Dense(20)], device="gpu", seed=0)
        found.append(one.fit(x, x, loss="mse", optimizer="adam", epochs=2, batch_size=16)["loss"])
    assert found[0] == found[1]


def test_layers_that_update_the_used_rows_only_are_refused():
    with pytest.raises(nnx.ConfigurationError, match=r"its batches would be dense \(device gpu:0"):
        fit(network(sparse=True), X)
    fit(network(sparse=True), X.toarray())
