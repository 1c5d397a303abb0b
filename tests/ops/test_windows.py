"""Output sizes and padding are those of Keras and TensorFlow."""

import itertools

import pytest

from nnx.errors import ConfigurationError
from nnx.ops.windows import transposed_windows, windows

SIZES = [
    (size, kernel, stride, dilation)
    for size, kernel, stride, dilation in itertools.product((1, 5, 8), (1, 2, 5), (1, 2, 3), (1, 2))
    if stride == 1 or dilation == 1
]


@pytest.mark.parametrize(("size", "kernel", "stride", "dilation"), SIZES)
def test_windows_cover_the_padded_image(size, kernel, stride, dilation):
    """Same: a window for each stride, and as little padding as they need. Valid: all that fit."""
    same = windows((size, size), (kernel, kernel), (stride, stride), "same", (dilation, dilation))
    reach = (kernel - 1) * dilation + 1
    assert same.outputs == (-(-size // stride),) * 2
    padding = same.before[0] + same.after[0]
    assert same.after[0] - same.before[0] in (0, 1)
    end = (same.outputs[0] - 1) * stride + reach
    assert end <= size + padding
    assert padding == 0 or end == size + padding
    if reach <= size:
        valid = windows((size, size), (kernel, kernel), (stride, stride), "valid", (dilation, dilation))
        assert valid.outputs == (len(range(0, size - reach + 1, stride)),) * 2
        assert not valid.is_padded


def test_each_axis_has_its_own_numbers():
    """Height and width do not mix."""
    found = windows((10, 7), (3, 4), (2, 1), "same")
    assert (found.outputs, found.before, found.after, found.padded) == ((5, 7), (0, 1), (1, 2), (11, 10))


def test_a_window_that_does_not_fit_is_refused():
    """The error has both sizes."""
    with pytest.raises(ConfigurationError, match=r"\(5, 5\).*\(3, 4\)"):
        windows((3, 4), (5, 5), (1, 1), "valid")
    with pytest.raises(ConfigurationError, match=r"\(3, 3\) with dilation \(2, 2\).*\(4, 9\)"):
        windows((4, 9), (3, 3), (1, 1), "valid", (2, 2))


@pytest.mark.parametrize(("size", "kernel", "stride", "dilation"), SIZES)
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_transposed_windows_are_those_of_the_reversed_convolution(size, kernel, stride, dilation, padding):
    """The convolution of the larger image has as many outputs as the transposed one has inputs."""
    found = transposed_windows((size, 3), (kernel, 2), (stride, 1), padding, (dilation, 1))
    assert found.outputs == (size, 3)
    if padding == "same":
        assert found.size == (size * stride, 3)
