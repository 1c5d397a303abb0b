"""Task 6: two losses, with their gradients.

A loss is one number that says how far the predictions are from the truth. Training needs its gradient: the
derivative with respect to each prediction. Both losses are means over all numbers of the batch, n in all.

The mean squared error, for numbers, with p for y_pred and y for y_true:

    L = (1/n) Σ (p − y)²        dp = 2 (p − y) / n

Binary cross-entropy, for probabilities p of a yes, with y = 1 for yes and y = 0 for no:

    L = −(1/n) Σ (y log p + (1 − y) log(1 − p))        dp = (p − y) / (p (1 − p)) / n

log 0 is −inf. So move each p into the range from ε to 1 − ε first (np.clip), with ε = 1e-7, and use the moved
p in both formulas.
"""

import numpy as np


def mean_squared_error(y_true, y_pred):
    """Return the mean squared error and its gradient.

    Parameters
    ----------
    y_true, y_pred : array (rows, outputs)

    Returns
    -------
    loss : float
    dp : array (rows, outputs)
        The derivative of the loss with respect to each prediction.
    """
    raise NotImplementedError("write mean_squared_error")


def binary_cross_entropy(y_true, y_pred):
    """Return the binary cross-entropy and its gradient.

    Parameters
    ----------
    y_true : array (rows, outputs)
        0 or 1.
    y_pred : array (rows, outputs)
        Probabilities from 0 to 1.

    Returns
    -------
    loss : float
    dp : array (rows, outputs)
        The derivative of the loss with respect to each prediction.
    """
    raise NotImplementedError("write binary_cross_entropy")


def test_squares_by_hand():
    """Errors 1 and −3: (1 + 9) / 2 = 5."""
    loss, dp = mean_squared_error(np.array([[1.0, 2.0]]), np.array([[2.0, -1.0]]))
    np.testing.assert_allclose(loss, 5, atol=1e-12)
    np.testing.assert_allclose(dp, [[1.0, -3.0]])


def test_half_sure_costs_log_2():
    """−log 0.5 is 0.6931, whatever is true."""
    loss, _ = binary_cross_entropy(np.array([[1.0], [0.0]]), np.array([[0.5], [0.5]]))
    np.testing.assert_allclose(loss, np.log(2), atol=1e-12)


def test_sure_and_right_costs_nothing():
    """And gives no nan."""
    loss, dp = binary_cross_entropy(np.array([[1.0, 0.0]]), np.array([[1.0, 0.0]]))
    np.testing.assert_allclose(loss, 0, atol=1e-6)
    assert np.all(np.isfinite(dp))


def test_gradients_are_slopes():
    """Move one prediction by a little: the loss changes by dp times this little."""
    y, p, step = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[0.3, 0.6], [0.1, 0.8]]), 1e-6
    for loss in (mean_squared_error, binary_cross_entropy):
        before, dp = loss(y, p)
        for index in np.ndindex(p.shape):
            moved = p.copy()
            moved[index] += step
            np.testing.assert_allclose((loss(y, moved)[0] - before) / step, dp[index], atol=1e-4)
