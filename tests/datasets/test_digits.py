"""The digits are split in the same way each time."""

from __future__ import annotations

import numpy as np

from nnx.datasets import load, load_digits


def test_digits_are_split_the_same_way_each_time() -> None:
    data, again = load_digits(), load("digits", dtype="float64")
    assert (data.name, data.features, data.image_shape) == ("digits", 64, (8, 8))
    assert (len(data.x_train), len(data.x_test)) == (1437, 360)
    assert data.x_train.dtype == np.float32
    assert again.x_train.dtype == np.float64
    assert (data.x_train.min(), data.x_train.max()) == (0, 1)
    np.testing.assert_array_equal(data.x_train, again.x_train)
    np.testing.assert_array_equal(data.y_test, again.y_test)
    shares = np.bincount(data.y_test) / np.bincount(np.concatenate([data.y_train, data.y_test]))
    assert np.abs(shares - 0.2).max() < 0.01
    every = np.concatenate([data.x_train, data.x_test])
    assert len(np.unique(every, axis=0)) == len(every) == 1797, "no image is in both parts"
    assert "scikit-learn" in data.source
