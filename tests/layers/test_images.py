"""What layers of images share: arguments, shapes of rows, and what is refused in one line."""

from __future__ import annotations

import numpy as np
import pytest

import nnx
from nnx.layers import images

pytestmark = pytest.mark.usefixtures("on_cpu")


def test_sizes_are_one_number_or_one_for_each_axis() -> None:
    assert images.sizes("x", 3, 2) == (3, 3)
    assert images.sizes("x", np.int64(3), 1) == (3,)
    assert images.sizes("x", [2, 3], 2) == (2, 3)
    assert images.sizes("x", (2,), 1) == (2,)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: nnx.MaxPool2D(0), "MaxPool2D: pool_size must be"),
        (
            lambda: nnx.MaxPool2D((2, 3, 4)),
            r"MaxPool2D: pool_size must be a number, or 2 numbers \(height, width\)",
        ),
        (
            lambda: nnx.MaxPool1D((2, 3)),
            r"MaxPool1D: pool_size must be a number, not \(2, 3\)",
        ),
        (lambda: nnx.AveragePool2D(2, strides=1.5), "AveragePool2D: strides must be"),
        (lambda: nnx.AveragePool1D("2"), "AveragePool1D: pool_size must be"),
        (lambda: nnx.MaxPool2D(padding="full"), 'MaxPool2D: padding must be "valid" or "same", not \'full\''),
        (lambda: nnx.MaxPool2D(padding="sane"), "did you mean 'same'"),
        (lambda: nnx.MaxPool2D(padding=1), 'must be "valid" or "same", not 1'),
        (lambda: nnx.UpSample2D((2, -1)), "UpSample2D: size must be"),
        (lambda: nnx.SpatialDropout2D(1.0), r"SpatialDropout2D: rate must lie in \[0, 1\), not"),
    ],
)
def test_wrong_arguments_are_refused(make, says) -> None:
    with pytest.raises(nnx.ConfigurationError, match=says) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("layer", "shape", "says"),
    [
        (lambda: nnx.MaxPool2D(3), (28, 28),
         r"rows of shape \(height, width, channels\), not \(28, 28\): put nnx.Reshape\(\(28, 28, 1\)\)"),
        (lambda: nnx.GlobalAveragePool2D(), (784,), r"not \(784,\): put nnx.Reshape\(…\) before it"),
        (lambda: nnx.UpSample1D(), (4, 4, 2), r"takes rows of shape \(length, channels\), not \(4, 4, 2\)"),
        (lambda: nnx.SpatialDropout1D(0.5), (4,), r"takes rows of shape \(length, channels\), not \(4,\)"),
        (lambda: nnx.MaxPool2D((5, 2)), (4, 6, 3),
         r"\(\(5, 2\)\) on rows of shape \(4, 6, 3\), channels last: a window of \(5, 2\) does not fit "
         r"into \(4, 6\)"),
        (lambda: nnx.AveragePool1D(8), (7, 3),
         r"averagepool1d_1\(8\) on rows of shape \(7, 3\), channels last: a"),
        (lambda: nnx.Conv2D(4, 3), (1, 8, 8), r"with rows of shape \(1, 8, 8\), channels last: a window of"),
    ],
)  # fmt: skip
def test_rows_that_do_not_fit_are_refused_with_both_shapes(layer, shape, says) -> None:
    with pytest.raises(nnx.ConfigurationError, match=says) as caught:
        nnx.Network([layer()]).build(shape)
    assert "\n" not in str(caught.value)
