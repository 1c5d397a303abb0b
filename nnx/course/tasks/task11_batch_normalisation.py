"""Task 11: batch normalisation.

A layer learns best if its inputs are neither tiny nor huge. But the inputs of a layer in the middle of a
network change with every step, because the layers before it learn too. Batch normalisation gives each
feature the mean 0 and the variance 1 over the rows of the batch. Then γ scales it and β moves it. Both are
learned, one number for each feature.

In training, μ and σ² are the mean and the variance of each feature over the n rows of the batch:

    μ = (1/n) Σ x       σ² = (1/n) Σ (x − μ)²
    x̂ = (x − μ) / √(σ² + ε)
    y = γ x̂ + β

Each step in training also updates the running statistics, with the momentum r:

    running mean     ← r · running mean     + (1 − r) · μ
    running variance ← r · running variance + (1 − r) · σ²

Outside of training, there may be one row only. So the running mean and the running variance take the place
of μ and σ², and they stay as they are.

Backward (in training): a number of x changes y in three ways, directly, through μ and through σ². The sum of
the three is

    dβ = Σ dy       dγ = Σ dy x̂
    dx = γ / √(σ² + ε) · (dy − dβ / n − x̂ dγ / n)

All sums are over the rows. All products are number by number.
"""

import numpy as np


def batch_norm_forward(x, gamma, beta, running_mean, running_variance, training, momentum, epsilon):
    """Return the normalised rows and the new running statistics. The arguments stay as they are.

    Parameters
    ----------
    x : array (rows, features)
    gamma, beta : arrays (features,)
    running_mean, running_variance : arrays (features,)
    training : bool
        Whether to use the statistics of the batch, and to update the running ones.
    momentum : float
        r: the share of the old running statistics that is kept.
    epsilon : float
        ε, which is added to the variance.

    Returns
    -------
    y : array (rows, features)
    running_mean, running_variance : arrays (features,)
        After the update; outside of training, as they were.
    """
    raise NotImplementedError("write batch_norm_forward")


def batch_norm_backward(dy, x, gamma, epsilon):
    """Return the derivatives of the loss with respect to x, gamma and beta, in training.

    Parameters
    ----------
    dy : array (rows, features)
        The derivative of the loss with respect to y.
    x : array (rows, features)
        The input of the forward pass.
    gamma : array (features,)
    epsilon : float

    Returns
    -------
    dx : array (rows, features)
    dgamma, dbeta : arrays (features,)
    """
    raise NotImplementedError("write batch_norm_backward")


def test_each_feature_is_normalised():
    """With γ = 1 and β = 0, each feature of y has the mean 0 and the variance 1 over the rows."""
    x = np.random.default_rng(0).normal(5.0, 3.0, size=(50, 4))
    zero, one = np.zeros(4), np.ones(4)
    y, _, _ = batch_norm_forward(x, one, zero, zero, one, True, 0.9, 1e-9)
    np.testing.assert_allclose(y.mean(axis=0), zero, atol=1e-9)
    np.testing.assert_allclose(y.var(axis=0), one)


def test_gamma_and_beta():
    """They set the deviation and the mean of each feature."""
    x = np.array([[1.0, 10.0], [3.0, 30.0]])
    zero, one = np.zeros(2), np.ones(2)
    y, _, _ = batch_norm_forward(x, np.array([2.0, 5.0]), np.array([1.0, 0.0]), zero, one, True, 0.9, 1e-12)
    np.testing.assert_allclose(y, [[-1.0, -5.0], [3.0, 5.0]])


def test_running_statistics():
    """With r = 0.75, a quarter of the way to the statistics of the batch. Here those are 2 and 1."""
    x = np.array([[1.0], [3.0]])
    one, start = np.ones(1), (np.array([10.0]), np.array([5.0]))
    _, mean, variance = batch_norm_forward(x, one, one, *start, True, 0.75, 0.001)
    np.testing.assert_allclose([mean, variance], [[8.0], [4.0]])


def test_outside_of_training():
    """One row is enough then: y = (x − running mean) / √(running variance + ε), and nothing is updated."""
    one, mean, variance = np.ones(1), np.array([1.0]), np.array([4.0])
    y, new_mean, new_variance = batch_norm_forward(
        np.array([[5.0]]), one, 0 * one, mean, variance, False, 0.9, 1e-12
    )
    np.testing.assert_allclose(y, [[2.0]])
    np.testing.assert_array_equal([new_mean, new_variance], [mean, variance])


def test_gradients_are_those_of_central_differences():
    """Move each number of x, gamma and beta a little, and compare the slopes of L = Σ y · dy."""
    rng = np.random.default_rng(1)
    x, gamma, beta, dy = (
        rng.normal(size=(4, 2)),
        rng.normal(size=2),
        rng.normal(size=2),
        rng.normal(size=(4, 2)),
    )

    def loss():
        zero, one = np.zeros(2), np.ones(2)
        return (batch_norm_forward(x, gamma, beta, zero, one, True, 0.9, 0.01)[0] * dy).sum()

    gradients = batch_norm_backward(dy, x, gamma, 0.01)
    for value, derived in zip((x, gamma, beta), gradients, strict=True):
        for place in np.ndindex(value.shape):
            before = value[place]
            value[place] = before + 1e-6
            above = loss()
            value[place] = before - 1e-6
            below = loss()
            value[place] = before
            np.testing.assert_allclose(derived[place], (above - below) / 2e-6, atol=1e-6)
