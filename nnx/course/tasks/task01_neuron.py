"""Task 1: one neuron, forward and backward.

A neuron has one weight for each input, and a bias. It multiplies each input by its weight, adds everything
and the bias, and bends the sum z with an activation. Here the activation is tanh (np.tanh):

    z = x[0] w[0] + x[1] w[1] + … + b        y = tanh(z)

Backward, dy is the derivative of a loss with respect to the output y. The chain rule leads it back, step by
step. The derivative of tanh is 1 − tanh(z)², and tanh(z) is y:

    dz = dy (1 − y²)        dx = dz w        dw = dz x        db = dz
"""

import numpy as np


def neuron(x, w, b):
    """Return the weighted sum and the output of a neuron.

    Parameters
    ----------
    x : array (inputs,)
    w : array (inputs,)
    b : float

    Returns
    -------
    z : float
    y : float
    """
    raise NotImplementedError("write neuron")


def neuron_backward(x, w, y, dy):
    """Return the gradients of a neuron.

    Parameters
    ----------
    x, w : array (inputs,)
        The inputs and the weights of the forward pass.
    y : float
        The output of the forward pass.
    dy : float
        The derivative of the loss with respect to y.

    Returns
    -------
    dx : array (inputs,)
    dw : array (inputs,)
    db : float
    """
    raise NotImplementedError("write neuron_backward")


def test_a_sum_by_hand():
    """1 · 0.5 + 2 · (−0.25) + 3 = 3."""
    z, y = neuron(np.array([1.0, 2.0]), np.array([0.5, -0.25]), 3.0)
    np.testing.assert_allclose(z, 3.0, atol=1e-12)
    np.testing.assert_allclose(y, 0.9950547536867305, atol=1e-12)


def test_a_small_step_of_a_weight_changes_the_output_as_dw_says():
    """The slope between two points close to each other is nearly the derivative."""
    x, w, b, step = np.array([0.5, -1.0, 2.0]), np.array([0.3, 0.1, -0.2]), 0.1, 1e-6
    _, y = neuron(x, w, b)
    _, dw, db = neuron_backward(x, w, y, 1.0)
    moved = w.copy()
    moved[1] += step
    np.testing.assert_allclose((neuron(x, moved, b)[1] - y) / step, dw[1], atol=1e-5)
    np.testing.assert_allclose((neuron(x, w, b + step)[1] - y) / step, db, atol=1e-5)


def test_dx_and_dw_have_a_number_for_each_input():
    """An input and its weight are multiplied, so each is the slope of the other."""
    dx, dw, _ = neuron_backward(np.array([1.0, 2.0]), np.array([3.0, 4.0]), 0.0, 1.0)
    np.testing.assert_allclose(dx, [3.0, 4.0])
    np.testing.assert_allclose(dw, [1.0, 2.0])
