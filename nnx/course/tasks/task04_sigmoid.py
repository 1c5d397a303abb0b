"""Task 4: the sigmoid, forward and backward.

The sigmoid bends any number into one between 0 and 1, such as a probability:

    y = σ(z) = 1 / (1 + e^(−z))

It must be right for large numbers too: σ(−800) is 0, and σ(800) is 1. e^800 is larger than any float, so it
becomes inf, and NumPy may warn. The form above is still right, because 1 / inf is 0. But e^z / (1 + e^z),
which is the same function, becomes inf / inf for z = 800, and that is nan.

Backward, the derivative needs only the output, so the layer does not have to store z:

    dz = dy σ′(z) = dy y (1 − y)
"""

import numpy as np


def sigmoid(z):
    """Return the sigmoid of each number.

    Parameters
    ----------
    z : array of any shape
        Floats or integers.

    Returns
    -------
    y : array of the same shape
    """
    raise NotImplementedError("write sigmoid")


def sigmoid_backward(y, dy):
    """Return the gradient of the sigmoid's input.

    Parameters
    ----------
    y : array of any shape
        The output of the forward pass.
    dy : array of the same shape
        The derivative of the loss with respect to each output.

    Returns
    -------
    dz : array of the same shape
    """
    raise NotImplementedError("write sigmoid_backward")


def test_known_values():
    """σ(0) = 1/2, and σ(log 3) = 3/4."""
    np.testing.assert_allclose(sigmoid(np.array([0.0, np.log(3.0)])), [0.5, 0.75])


def test_both_sides_are_symmetric():
    """σ(−z) = 1 − σ(z)."""
    z = np.linspace(-5, 5, 11)
    np.testing.assert_allclose(sigmoid(-z), 1 - sigmoid(z), atol=1e-12)


def test_large_numbers_give_0_and_1():
    """And never nan."""
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(sigmoid(np.array([[-800.0], [800.0]])), [[0.0], [1.0]], atol=1e-12)


def test_the_gradient_is_the_slope():
    """The slope between two points close to each other is nearly the derivative."""
    z, step = np.array([-1.0, 0.0, 2.0]), 1e-6
    slope = (sigmoid(z + step) - sigmoid(z - step)) / (2 * step)
    np.testing.assert_allclose(
        sigmoid_backward(sigmoid(z), np.array([1.0, 2.0, -3.0])), slope * [1, 2, -3], rtol=1e-6
    )
