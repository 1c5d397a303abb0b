"""Task 5: softmax, forward and backward.

Softmax turns the numbers of each row into probabilities: all are positive, and each row has the sum 1.

    p[i, k] = e^z[i, k] / (e^z[i, 0] + e^z[i, 1] + …)

e^1000 is inf, and inf / inf is nan. If you subtract the same number from all z of a row, p does not change,
but the exponentials do. Which number keeps them from being too large, for each row?

Backward, every p of a row depends on every z of that row. With dp, the derivative of the loss with respect to
each p:

    dz[i, k] = p[i, k] (dp[i, k] − s[i])        s[i] = p[i, 0] dp[i, 0] + p[i, 1] dp[i, 1] + …
"""

import numpy as np


def softmax(z):
    """Return the softmax of each row.

    Parameters
    ----------
    z : array (rows, classes)

    Returns
    -------
    p : array (rows, classes)
    """
    raise NotImplementedError("write softmax")


def softmax_backward(p, dp):
    """Return the gradient of softmax's input.

    Parameters
    ----------
    p : array (rows, classes)
        The output of the forward pass.
    dp : array (rows, classes)
        The derivative of the loss with respect to each output.

    Returns
    -------
    dz : array (rows, classes)
    """
    raise NotImplementedError("write softmax_backward")


def test_equal_numbers_have_equal_probabilities():
    """Four equal numbers: a quarter each."""
    np.testing.assert_allclose(softmax(np.array([[2.0, 2.0, 2.0, 2.0]])), [[0.25] * 4])


def test_each_row_has_the_sum_1():
    """Each row, not the whole batch."""
    p = softmax(np.random.default_rng(5).normal(size=(3, 4)))
    np.testing.assert_allclose(np.sum(p, axis=1), np.ones(3))


def test_large_numbers_are_no_problem():
    """e² / (e² + 1) is 0.8808, however large both numbers are."""
    p = softmax(np.array([[1002.0, 1000.0], [-1000.0, -1002.0]]))
    np.testing.assert_allclose(p, [[0.880797, 0.119203]] * 2, rtol=1e-5)


def test_the_gradient_is_the_slope():
    """Move one z by a little: the loss changes by dz times this little."""
    rng = np.random.default_rng(6)
    z, dp, step = rng.normal(size=(2, 3)), rng.normal(size=(2, 3)), 1e-6
    dz = softmax_backward(softmax(z), dp)
    for index in np.ndindex(z.shape):
        moved = z.copy()
        moved[index] += step
        slope = np.sum((softmax(moved) - softmax(z)) * dp) / step
        np.testing.assert_allclose(slope, dz[index], atol=1e-5)
