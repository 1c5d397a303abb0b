"""Task 7: softmax and cross-entropy together, and their gradient.

A classifier returns a number z for each class (a logit). Softmax turns them into probabilities p. The loss is
−log of the probability of the right class, as a mean over the rows of the batch:

    L = −(1/rows) Σ log p[i, label[i]]

Together, the gradient becomes very simple. If y is 1 for the right class of a row and 0 for all others,

    dz = (p − y) / rows

A probability can be so small that it is 0, and log 0 is −inf. So do not compute log p from p. With m, the
largest z of a row:

    log p[i, k] = z[i, k] − m[i] − log(e^(z[i, 0] − m[i]) + e^(z[i, 1] − m[i]) + …)
"""

import numpy as np


def cross_entropy(labels, z):
    """Return the mean cross-entropy of softmax(z), and the gradient of z.

    Parameters
    ----------
    labels : integer array (rows,)
        The number of the right class of each row, counted from 0.
    z : array (rows, classes)

    Returns
    -------
    loss : float
    dz : array (rows, classes)
    """
    raise NotImplementedError("write cross_entropy")


def test_equal_numbers_cost_log_of_the_classes():
    """Each of four classes has the probability 1/4, so the loss is log 4."""
    loss, dz = cross_entropy(np.array([2, 0]), np.zeros((2, 4)))
    np.testing.assert_allclose(loss, np.log(4), atol=1e-12)
    np.testing.assert_allclose(dz, np.array([[1, 1, -3, 1], [-3, 1, 1, 1]]) / 8)


def test_certain_and_wrong_is_expensive_but_finite():
    """The z of the right class is 1000 smaller than the other, so the loss is 1000."""
    loss, _ = cross_entropy(np.array([0]), np.array([[0.0, 1000.0]]))
    np.testing.assert_allclose(loss, 1000, atol=1e-9)


def test_the_gradient_is_the_slope():
    """Move one z by a little: the loss changes by dz times this little."""
    labels, z, step = np.array([1, 0, 2]), np.random.default_rng(7).normal(size=(3, 4)), 1e-6
    before, dz = cross_entropy(labels, z)
    for index in np.ndindex(z.shape):
        moved = z.copy()
        moved[index] += step
        np.testing.assert_allclose((cross_entropy(labels, moved)[0] - before) / step, dz[index], atol=1e-5)
