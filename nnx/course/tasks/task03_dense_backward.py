"""Task 3: the backward pass of a dense layer.

The layer computes y = x W + b. A loss depends on y, and dy has its derivative with respect to each number of
y. How does the loss depend on x, W and b? Use the chain rule: if x[i, j] grows by a little, every y[i, k]
grows by W[j, k] times as much. So the derivative with respect to x[i, j] is Σ dy[i, k] W[j, k] over all k.
That is a product of matrices, and so is the derivative with respect to W:

    dx = dy Wᵀ        dW = xᵀ dy        db = sum of the rows of dy

Each gradient has the shape of what it belongs to: dx that of x, dW that of W, db that of b. If you are not
sure where to transpose: only one order of the factors gives this shape.
"""

import numpy as np


def dense_backward(x, W, dy):
    """Return the gradients of a dense layer.

    Parameters
    ----------
    x : array (rows, inputs)
        The inputs of the forward pass.
    W : array (inputs, units)
        The weights.
    dy : array (rows, units)
        The derivative of the loss with respect to each output.

    Returns
    -------
    dx : array (rows, inputs)
    dW : array (inputs, units)
    db : array (units,)
        Sums over the rows: each row is one part of the loss.
    """
    raise NotImplementedError("write dense_backward")


def numerical_gradient(loss, values):
    """Return the derivative of a loss with respect to each number of `values`, by central differences."""
    gradient = np.zeros_like(values)
    for index in np.ndindex(values.shape):
        before = values[index]
        values[index] = before + 1e-6
        above = loss()
        values[index] = before - 1e-6
        below = loss()
        values[index] = before
        gradient[index] = (above - below) / 2e-6
    return gradient


def test_gradients_are_those_of_central_differences():
    """Move each number by a little: the loss changes by the gradient times this little."""
    rng = np.random.default_rng(3)
    x, W, b, dy = (rng.normal(size=shape) for shape in [(4, 3), (3, 2), (2,), (4, 2)])

    def loss():
        return np.sum((x @ W + b) * dy)

    dx, dW, db = dense_backward(x, W, dy)
    np.testing.assert_allclose(dx, numerical_gradient(loss, x), atol=1e-6)
    np.testing.assert_allclose(dW, numerical_gradient(loss, W), atol=1e-6)
    np.testing.assert_allclose(db, numerical_gradient(loss, b), atol=1e-6)


def test_each_gradient_has_the_shape_of_what_it_belongs_to():
    """Also for a batch of one row."""
    dx, dW, db = dense_backward(np.ones((1, 3)), np.ones((3, 2)), np.ones((1, 2)))
    assert dx.shape == (1, 3)
    assert dW.shape == (3, 2)
    assert db.shape == (2,)
