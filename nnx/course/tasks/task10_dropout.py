"""Task 10: dropout.

A large network can learn its training data by heart. Dropout prevents this: in each training step, it sets
some numbers of a layer's output to 0, drawn at random. So no neuron can rely on a single other neuron, which
may be missing in the next step.

The rate is the share of numbers that are dropped. The others are divided by 1 − rate. So the mean over many
steps is the same as without dropout, and nothing has to change when the network is used later. Outside of
training, y = x.

In training, each number of x has its own random number, drawn evenly from [0, 1). It is kept if its random
number is at least the rate:

    factor = 1 / (1 − rate)   where random ≥ rate,   else 0
    y = x · factor

The layer needs the same factors in its backward pass. A number that was dropped did not change the loss, so
its derivative is 0:

    dx = dy · factor

The random numbers are an argument here, so that the results can be checked. A layer would draw new ones in
each step.
"""

import numpy as np


def dropout_forward(x, rate, random, training):
    """Return the output of dropout, and the factor of each number.

    Parameters
    ----------
    x : array of any shape
    rate : float in [0, 1)
        The share of numbers that are dropped.
    random : array of the shape of x
        A random number in [0, 1) for each number of x.
    training : bool
        Without training, nothing is dropped or scaled, and all factors are 1.

    Returns
    -------
    y : array of the shape of x
    factor : array of the shape of x
        What each number of x is multiplied by.
    """
    raise NotImplementedError("write dropout_forward")


def dropout_backward(dy, factor):
    """Return dx, the derivative of the loss with respect to x.

    Parameters
    ----------
    dy : array
        The derivative of the loss with respect to y.
    factor : array of the shape of dy
        The factors of the forward pass.

    Returns
    -------
    dx : array of the shape of dy
    """
    raise NotImplementedError("write dropout_backward")


def test_numbers_are_dropped_or_scaled():
    """A rate of 0.2 drops what has a random number below 0.2, and divides the rest by 0.8."""
    x, random = np.array([[1.0, 2.0, -3.0, 4.0]]), np.array([[0.1, 0.5, 0.2, 0.9]])
    y, factor = dropout_forward(x, 0.2, random, True)
    np.testing.assert_allclose(y, [[0.0, 2.5, -3.75, 5.0]])
    np.testing.assert_allclose(factor, [[0.0, 1.25, 1.25, 1.25]])


def test_mean_stays():
    """Over many numbers, the mean is the same as without dropout."""
    random = np.random.default_rng(0).random((1000, 100))
    y, _ = dropout_forward(np.ones((1000, 100)), 0.3, random, True)
    assert abs(y.mean() - 1.0) < 0.01


def test_outside_of_training_nothing_changes():
    """y = x, with the factor 1 everywhere."""
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    y, factor = dropout_forward(x, 0.5, np.zeros((2, 2)), False)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(factor, np.ones((2, 2)))


def test_gradient_is_that_of_central_differences():
    """Move each number of x a little, and compare the slopes of L = Σ y · dy."""
    rng = np.random.default_rng(1)
    x, dy, random = rng.normal(size=(2, 3)), rng.normal(size=(2, 3)), rng.random((2, 3))
    _, factor = dropout_forward(x, 0.4, random, True)
    dx = dropout_backward(dy, factor)
    for place in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[place] += 1e-6
        below[place] -= 1e-6
        rise = dropout_forward(above, 0.4, random, True)[0] - dropout_forward(below, 0.4, random, True)[0]
        np.testing.assert_allclose(dx[place], (rise * dy).sum() / 2e-6, atol=1e-6)
