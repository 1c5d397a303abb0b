"""Task 2: the forward pass of a dense layer.

A dense layer is many neurons that all have the same inputs. Column k of the matrix W has the weights of
neuron k. A batch is several inputs at once: one in each row of x. One product of matrices computes every
neuron for every row:

    y = x W + b        y[i, k] = x[i, 0] W[0, k] + x[i, 1] W[1, k] + … + b[k]

In NumPy, @ is the product of matrices. NumPy adds b, which has one axis, to every row of x W (broadcasting).
"""

import numpy as np


def dense_forward(x, W, b):
    """Return the outputs of a dense layer.

    Parameters
    ----------
    x : array (rows, inputs)
    W : array (inputs, units)
    b : array (units,)

    Returns
    -------
    y : array (rows, units)
    """
    raise NotImplementedError("write dense_forward")


def test_one_row_by_hand():
    """1 · 3 + 2 · 5 + 7 = 20 and 1 · 4 + 2 · 6 + 8 = 24."""
    y = dense_forward(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [5.0, 6.0]]), np.array([7.0, 8.0]))
    np.testing.assert_allclose(y, [[20.0, 24.0]])


def test_a_row_does_not_depend_on_the_other_rows():
    """The second row alone gives the second row of y."""
    rng = np.random.default_rng(2)
    x, W, b = (rng.normal(size=shape) for shape in [(3, 4), (4, 2), (2,)])
    y = dense_forward(x, W, b)
    assert y.shape == (3, 2)
    np.testing.assert_allclose(dense_forward(x[1:2], W, b), y[1:2])


def test_without_inputs_the_bias_is_left():
    """If all inputs are 0, each row of y is b."""
    y = dense_forward(np.zeros((3, 2)), np.ones((2, 2)), np.array([5.0, 6.0]))
    np.testing.assert_allclose(y, [[5.0, 6.0]] * 3)
