"""Task 9: Adam.

Plain gradient descent has one learning rate for all weights. But some weights have large gradients, and
others have tiny ones. Adam keeps two running means for each weight: m is the mean of its gradient dw, and v
is the mean of dw². Its step is proportional to m / √v. So the size of the gradient cancels: if the gradient
keeps its sign, the step is about as large as the learning rate. If the sign changes all the time, m and the
step are small.

Both means start at 0, so they are too small at first. After t steps with the same dw, m is only (1 − β₁ᵗ)
dw, and v is only (1 − β₂ᵗ) dw². The fraction in front of the step corrects both:

    m ← β₁ m + (1 − β₁) dw
    v ← β₂ v + (1 − β₂) dw²
    w ← w − η · √(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√v + ε)

Here η is the learning rate. The first line gives the new m, the second the new v, and the third uses the new
m and v. All of this is computed for each weight separately. βᵗ is a power. t counts the steps: it is 1 in the
first step, in which m and v are 0. ε prevents a division by 0. It is added to √v, outside of the root, and v
in √v is the running mean without a correction. Keras computes it in this way. (The paper has a second form,
in which ε is added to the corrected root. There the numbers differ a little.)
"""

import numpy as np


def adam_step(w, dw, m, v, t, learning_rate, beta1, beta2, epsilon):
    """Return the weights and the running means after a step of Adam. The arguments stay as they are.

    Parameters
    ----------
    w : array of any shape
        The weights before the step.
    dw : array of the same shape
        The gradient of the loss with respect to w.
    m, v : arrays of the same shape
        The running means of dw and of dw² before the step.
    t : int
        The number of this step. The first step has t = 1.
    learning_rate, beta1, beta2, epsilon : float
        η, β₁, β₂ and ε.

    Returns
    -------
    w, m, v : arrays of the same shape
        The new weights and the new means.
    """
    raise NotImplementedError("write adam_step")


def test_first_step_is_as_large_as_the_learning_rate():
    """m / √v cancels the size of dw, if both are corrected. Only the sign of dw is left."""
    w, dw, zero = np.zeros(3), np.array([1000.0, -1.0, 0.01]), np.zeros(3)
    new, _, _ = adam_step(w, dw, zero, zero, 1, 0.1, 0.9, 0.999, 1e-12)
    np.testing.assert_allclose(new, [-0.1, 0.1, -0.1])


def test_running_means():
    """With β = 0.5, a new mean is halfway between the old mean and the new number."""
    _, m, v = adam_step(
        np.ones(1), np.array([4.0]), np.array([2.0]), np.array([10.0]), 3, 0.1, 0.5, 0.5, 1e-8
    )
    np.testing.assert_allclose(m, [3.0])
    np.testing.assert_allclose(v, [13.0])


def test_weight_that_is_not_used_stays():
    """If dw has always been 0, m and v are 0, and so is the step."""
    zero = np.zeros(2)
    w, _, _ = adam_step(np.array([1.0, -2.0]), zero, zero, zero, 1, 0.1, 0.9, 0.999, 1e-7)
    np.testing.assert_array_equal(w, [1.0, -2.0])


def test_it_finds_a_minimum():
    """L = w₁² + 100 w₂² has its minimum at 0, and gradients of very different sizes."""
    w, m, v = np.array([1.0, -1.0]), np.zeros(2), np.zeros(2)
    for t in range(1, 501):
        w, m, v = adam_step(w, np.array([2.0, 200.0]) * w, m, v, t, 0.05, 0.9, 0.999, 1e-7)
    np.testing.assert_allclose(w, [0.0, 0.0], atol=0.01)
