"""Load the 8×8 handwritten digits that are part of scikit-learn: real data without a download."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from nnx.datasets.base import Dataset
from nnx.libraries import needed
from nnx.readers.types import choose_dtype

_SPLIT_SEED = 0
_TEST_SHARE = 0.2
_LARGEST_PIXEL = 16


def load_digits(dtype: npt.DTypeLike = "float32") -> Dataset:
    """Load scikit-learn's embedded digits with a fixed, stratified split.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        Type of the pixels.

    Returns
    -------
    Dataset
        1,437 training and 360 test images of 8×8 pixels. ``x`` has shape (n, 64) and holds the stored counts
        0..16 divided by 16; ``y`` is int64 in 0..9. The split is the same on every call: 20 % are for
        testing, with the same share of each digit.

    Raises
    ------
    ConfigurationError
        If `dtype` is another type.

    References
    ----------
    E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.
    """
    chosen = choose_dtype(dtype)
    with needed("datasets", "load_digits"):
        import sklearn
        from sklearn.datasets import load_digits as load_embedded
        from sklearn.model_selection import train_test_split

    embedded = load_embedded()
    pixels = embedded.data.astype(np.uint8)
    labels = embedded.target.astype(np.int64)
    x = embedded.data.astype(chosen) / chosen.type(_LARGEST_PIXEL)
    x_train, x_test, y_train, y_test = train_test_split(
        x, labels, test_size=_TEST_SHARE, random_state=_SPLIT_SEED, stratify=labels
    )
    return Dataset(
        "digits",
        x_train,
        y_train,
        x_test,
        y_test,
        image_shape=(8, 8),
        source=f"scikit-learn {sklearn.__version__} (embedded)",
        checksums={
            "images": hashlib.sha256(pixels.tobytes()).hexdigest(),
            "labels": hashlib.sha256(labels.astype(np.uint8).tobytes()).hexdigest(),
        },
    )
