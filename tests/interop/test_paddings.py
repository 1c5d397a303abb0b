"""Padding that another program states becomes "valid" or "same", if a kernel with zeros computes the same."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from nnx.errors import ConfigurationError
from nnx.interop.paddings import Axis, fitted, span


def convolved(x: np.ndarray, W: np.ndarray, axis: Axis, begin: int, kernel: int) -> list[float]:
    """y_i = Σ_j W_j x_{s i + d j − p}, by its definition."""
    y = [0.0] * axis.outputs
    for i, j in itertools.product(range(axis.outputs), range(kernel)):
        at = axis.stride * i + axis.dilation * j - begin
        y[i] += float(W[j] * x[at]) if 0 <= at < axis.size else 0.0
    return y


def test_every_convolution_that_is_fitted_computes_the_same(rng):
    fitting = 0
    cases = itertools.product(
        (4, 5, 7, 8), (1, 2, 3, 5), ((1, 1), (2, 1), (3, 1), (1, 2)), range(4), range(4)
    )
    for size, kernel, (stride, dilation), begin, end in cases:
        room = size + begin + end - (kernel - 1) * dilation - 1
        if room < 0:
            continue
        axis = Axis(size, kernel, stride, dilation, begin, room // stride + 1)
        try:
            padding, [(before, after)] = fitted([axis])
        except ConfigurationError:
            continue
        fitting += 1
        x, W = rng.standard_normal(size), rng.standard_normal(kernel)
        wide = kernel + before + after
        ours = span([size], [wide], [stride], [dilation], padding)
        assert ours.outputs == (axis.outputs,)
        y = convolved(x, np.pad(W, (before, after)), axis, ours.before[0], wide)
        np.testing.assert_allclose(y, convolved(x, W, axis, begin, kernel), rtol=1e-12, atol=1e-12)
    assert fitting > 200


@pytest.mark.parametrize(
    ("axis", "transposed", "expected"),
    [
        (Axis(28, 3, 1, 1, 1, 28), False, ("same", [(0, 0)])),
        (Axis(28, 3, 1, 1, 0, 26), False, ("valid", [(0, 0)])),
        (Axis(28, 3, 2, 1, 1, 14), False, ("same", [(0, 1)])),  # PyTorch's Conv2d(…, 3, stride=2, padding=1)
        (Axis(9, 3, 1, 1, 2, 9), False, ("same", [(0, 2)])),  # causal
        (Axis(7, 3, 2, 1, 1, 14), True, ("same", [(0, 1)])),  # ConvTranspose2d(…, 3, 2, 1, output_padding=1)
        (Axis(7, 4, 2, 1, 1, 14), True, ("same", [(0, 0)])),
        (Axis(7, 2, 2, 1, 0, 14), True, ("valid", [(0, 0)])),
    ],
)
def test_common_paddings_of_pytorch(axis, transposed, expected):
    assert fitted([axis], transposed) == expected


def test_what_no_padding_computes_is_refused_with_both_sizes():
    with pytest.raises(ConfigurationError, match=r"pads \(2,\) .* of \(10,\) from \(8,\)"):
        fitted([Axis(8, 3, 1, 1, 2, 10)])
    with pytest.raises(ConfigurationError, match="valid"):
        fitted([Axis(8, 3, 2, 1, 1, 4)], extend=False)  # a pooling has no kernel to extend
    with pytest.raises(ConfigurationError, match="valid"):
        fitted([Axis(7, 3, 2, 1, 1, 4), Axis(5, 3, 2, 1, 0, 2)])  # one axis padded, the other not
