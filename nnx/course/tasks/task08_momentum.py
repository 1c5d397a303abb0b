"""Task 8: gradient descent, and momentum.

The gradient dw points to where the loss grows. So each step moves the weights a little the other way. The
learning rate η says how far:

    w ← w − η dw

If the loss is a long narrow valley, these steps go from one side to the other. Momentum remembers a part μ of
the last step, the velocity v: steps that alternate cancel, and steps in one direction add up.

    v ← μ v − η dw        w ← w + v

The new v is used at once. Return new arrays: the caller's w and v must not change.
"""

import numpy as np


def sgd_step(w, dw, learning_rate):
    """Return the weights after a step of gradient descent.

    Parameters
    ----------
    w, dw : array of any shape
        The weights and their gradient.
    learning_rate : float

    Returns
    -------
    w : array of the same shape
    """
    raise NotImplementedError("write sgd_step")


def momentum_step(w, dw, v, learning_rate, momentum):
    """Return the weights and the velocity after a step with momentum.

    Parameters
    ----------
    w, dw, v : array of any shape
        The weights, their gradient, and the velocity: at first zeros.
    learning_rate, momentum : float

    Returns
    -------
    w : array of the same shape
    v : array of the same shape
    """
    raise NotImplementedError("write momentum_step")


def test_a_step_by_hand():
    """1 − 0.1 · 5 = 0.5, and the old array stays."""
    w = np.array([1.0, 2.0])
    np.testing.assert_allclose(sgd_step(w, np.array([5.0, -5.0]), 0.1), [0.5, 2.5])
    np.testing.assert_array_equal(w, [1.0, 2.0])


def test_the_first_step_with_momentum_is_one_without():
    """The velocity is zero before the first step."""
    w, dw = np.array([1.0, -2.0]), np.array([0.5, 4.0])
    new, v = momentum_step(w, dw, np.zeros(2), 0.1, 0.9)
    np.testing.assert_allclose(new, sgd_step(w, dw, 0.1))
    np.testing.assert_allclose(v, new - w)


def test_steps_in_one_direction_grow():
    """With the same gradient again, the second step is 1.9 times the first."""
    w, v, dw = np.zeros(1), np.zeros(1), np.ones(1)
    w, v = momentum_step(w, dw, v, 0.1, 0.9)
    np.testing.assert_allclose(w, [-0.1])
    w, v = momentum_step(w, dw, v, 0.1, 0.9)
    np.testing.assert_allclose(w, [-0.29])


def test_a_bowl_is_walked_down():
    """The loss w² / 2 has the gradient w, and its lowest point at 0."""
    w, v = np.array([3.0]), np.zeros(1)
    for _ in range(200):
        w, v = momentum_step(w, w, v, 0.1, 0.5)
    np.testing.assert_allclose(w[0], 0, atol=1e-6)
