"""A data set cannot be changed, prints in one short line, and trains on the bytes that it was made from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nnx.datasets import Dataset, load_xor


def test_a_dataset_is_frozen_and_prints_short() -> None:
    data = load_xor()
    with pytest.raises(AttributeError):
        data.name = "other"  # type: ignore[misc]
    assert isinstance(data, Dataset)
    assert len(repr(data)) < 200


def test_samples_that_were_made_from_bytes_are_trained_on_as_these_bytes() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    x, y = pixels / np.float32(255), np.arange(3)
    data = Dataset("bytes", x, y, x, y, (2, 2), "drawn").keeping(pixels)
    rows = data.for_training(2)
    assert (rows.divisor, rows.shape) == (255.0, (2, 4))
    np.testing.assert_array_equal(np.asarray(rows), x[:2])
    changed = replace(data, x_train=x[::-1])  # these bytes are no longer its samples
    np.testing.assert_array_equal(changed.for_training(2), x[:0:-1])
