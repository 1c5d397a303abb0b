"""Task 12: a training loop.

Now a network learns something. It is one dense layer without activation, and the loss is the mean squared
error. The loop for a larger network has the same parts.

One pass over all rows is an epoch. At the beginning of each epoch, the rows get a new random order. Then
each step takes the next `batch_size` rows of this order, a batch. The last batch of an epoch may be smaller.
A step computes, with the rows of its batch alone:

    p = x W + b
    loss = mean of (p − y)², over all numbers of the batch (rows and outputs)
    dp = 2 (p − y) / size          size: how many numbers p has
    dW = xᵀ dp       db = Σ over the rows of dp
    W ← W − η dW     b ← b − η db

The loss of an epoch is the mean of (p − y)² over all numbers of all its batches, each computed before its
step. So a smaller last batch has less weight in it.

Use one random generator for all of it, so that the same seed gives the same numbers each time. Make it
before the first epoch, with `rng = np.random.default_rng(seed)`, and call `rng.permutation(len(x))` once in
each epoch. The result is an array of row numbers. `x[order[:3]]` are the first three rows in this order.
"""

import numpy as np


def train(x, y, W, b, learning_rate, batch_size, epochs, seed):
    """Return the loss of each epoch, and the trained W and b. The arguments stay as they are.

    Parameters
    ----------
    x : array (rows, inputs)
    y : array (rows, outputs)
        The targets.
    W : array (inputs, outputs)
        The initial weights.
    b : array (outputs,)
        The initial biases.
    learning_rate : float
        η
    batch_size, epochs, seed : int

    Returns
    -------
    losses : array (epochs,)
        The loss of each epoch.
    W, b : arrays
        After the last step.
    """
    raise NotImplementedError("write train")


def test_one_step():
    """One row, one weight: p = 0, the loss is 9, and dp is 2 (0 − 3) / 1 = −6."""
    losses, W, b = train(
        np.array([[2.0]]), np.array([[3.0]]), np.zeros((1, 1)), np.zeros(1), 0.01, 1, 1, seed=0
    )
    np.testing.assert_allclose(losses, [9.0])
    np.testing.assert_allclose(W, [[0.12]])
    np.testing.assert_allclose(b, [0.06])


def test_it_learns():
    """The targets come from a dense layer, so the loss can become 0, and W and b those of this layer."""
    rng = np.random.default_rng(0)
    x, W, b = rng.normal(size=(50, 3)), rng.normal(size=(3, 2)), rng.normal(size=2)
    losses, W_found, b_found = train(x, x @ W + b, np.zeros((3, 2)), np.zeros(2), 0.1, 8, 100, seed=0)
    assert len(losses) == 100
    assert losses[-1] < 1e-6 * losses[0]
    np.testing.assert_allclose(W_found, W, atol=1e-3)
    np.testing.assert_allclose(b_found, b, atol=1e-3)


def test_arguments_stay():
    """The caller's W and b are not trained in place."""
    x, y, W, b = np.ones((4, 2)), np.ones((4, 1)), np.zeros((2, 1)), np.zeros(1)
    train(x, y, W, b, 0.1, 2, 3, seed=0)
    assert not W.any()
    assert not b.any()


def test_order_depends_on_the_seed():
    """The same seed gives the same numbers; another one gives another order, and so other numbers."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(10, 2)), rng.normal(size=(10, 1))
    first, again, other = (
        train(x, y, np.zeros((2, 1)), np.zeros(1), 0.1, 3, 5, seed)[1] for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_one_batch_of_all_rows():
    """With all rows in a batch, the order does not matter."""
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(10, 2)), rng.normal(size=(10, 1))
    first, other = (train(x, y, np.zeros((2, 1)), np.zeros(1), 0.1, 10, 5, seed)[1] for seed in (0, 1))
    np.testing.assert_allclose(first, other)
