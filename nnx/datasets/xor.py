"""Load the exclusive or, the smallest problem that a network without a hidden layer cannot solve."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nnx.datasets.base import Dataset
from nnx.readers.types import choose_dtype


def load_xor(dtype: npt.DTypeLike = "float32") -> Dataset:
    """Load the four cases of the exclusive or; the test set equals the training set.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        Type of inputs and targets.

    Returns
    -------
    Dataset
        ``x_train`` has shape (4, 2), in the order 00, 01, 10, 11; ``y_train`` has shape (4, 1). Both hold 0
        and 1.

    Raises
    ------
    ConfigurationError
        If `dtype` is another type.
    """
    chosen = choose_dtype(dtype)
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=chosen)
    y = np.array([[0], [1], [1], [0]], dtype=chosen)
    return Dataset("xor", x, y, x, y, image_shape=None, source="nnx (computed)")
