"""The same samples and targets are the same from every kind of file."""

from __future__ import annotations

import numpy as np
import pytest
from support.own_models import here, trained  # noqa: F401

from nnx.datasets import load_digits

pytestmark = pytest.mark.usefixtures("on_cpu")


def test_an_archive_of_labels_and_an_array_with_a_file_of_them_are_the_same():
    data = load_digits()
    images = (data.x_train.reshape(-1, 8, 8) * 255).astype(np.uint8)[:400]
    names = np.array([f"n{label}" for label in data.y_train[:400]])
    np.savez("d.npz", x=images, y=names)
    np.save("x.npy", images)
    np.save("y.npy", names)
    first = trained("d.npz", "--epochs", 10, out="one")
    second = trained("x.npy", "--target", "y.npy", "--epochs", 10, out="two")
    assert first["metrics"] == second["metrics"]
    assert first["metrics"]["classes"] == [f"n{label}" for label in range(10)]
    assert first["metrics"]["accuracy"] > 0.6
