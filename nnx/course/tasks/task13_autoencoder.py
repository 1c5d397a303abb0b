"""Task 13: an autoencoder.

An autoencoder learns to restore its input. Its first layer, the encoder, turns a row of many numbers into a
few, the code. Its second layer, the decoder, makes the row again from the code. To do this well, the code
must keep what matters. The target is the input itself, so nobody has to label anything.

All inputs are between 0 and 1, for example the pixels of an image. The encoder has tanh, the decoder the
sigmoid σ(z) = 1 / (1 + e^−z):

    code = tanh(x W₁ + b₁)
    p = σ(code W₂ + b₂)

The loss is the binary cross-entropy, with x as the target. It is a mean over all numbers of x:

    loss = mean of −x log p − (1 − x) log(1 − p)

Backward, from the last layer to the first. The derivative of the sigmoid, p (1 − p), cancels against the
denominator of the derivative of the loss. So for z₂ = code W₂ + b₂, only this is left, where N is how many
numbers x has:

    dz₂ = (p − x) / N
    dW₂ = codeᵀ dz₂       db₂ = Σ over the rows of dz₂
    dcode = dz₂ W₂ᵀ
    dz₁ = dcode · (1 − code²)
    dW₁ = xᵀ dz₁          db₁ = Σ over the rows of dz₁

The dot multiplies number by number.
"""

import numpy as np


def autoencoder_forward(x, W1, b1, W2, b2):
    """Return the codes, and the restored rows.

    Parameters
    ----------
    x : array (rows, features)
        Numbers between 0 and 1.
    W1 : array (features, units)
        The weights of the encoder; a code has `units` numbers.
    b1 : array (units,)
    W2 : array (units, features)
        The weights of the decoder.
    b2 : array (features,)

    Returns
    -------
    code : array (rows, units)
    p : array (rows, features)
    """
    raise NotImplementedError("write autoencoder_forward")


def autoencoder_loss(x, p):
    """Return the binary cross-entropy of the restored rows, a float.

    Parameters
    ----------
    x : array (rows, features)
        The input, which is also the target.
    p : array (rows, features)
        The restored rows. Each number is larger than 0 and smaller than 1.

    Returns
    -------
    loss : float
    """
    raise NotImplementedError("write autoencoder_loss")


def autoencoder_backward(x, code, p, W2):
    """Return the gradients of the loss.

    Parameters
    ----------
    x, code, p : arrays
        The input, and both results of `autoencoder_forward`.
    W2 : array (units, features)

    Returns
    -------
    dW1 : array (features, units)
    db1 : array (units,)
    dW2 : array (units, features)
    db2 : array (features,)
    """
    raise NotImplementedError("write autoencoder_backward")


def _network(rng, features=4, units=2):
    """Return small random weights W1, b1, W2, b2."""
    shapes = (features, units), (units,), (units, features), (features,)
    return [rng.normal(size=shape) for shape in shapes]


def test_shapes_and_ranges():
    """There is one code for each row, and a restored row has as many numbers as the row itself."""
    rng = np.random.default_rng(0)
    code, p = autoencoder_forward(rng.random((5, 4)), *_network(rng))
    assert code.shape == (5, 2)
    assert p.shape == (5, 4)
    assert (abs(code) < 1).all()
    assert ((p > 0) & (p < 1)).all()


def test_loss():
    """An output of 0.5 costs log 2, whatever the target is. A wrong output costs a lot."""
    np.testing.assert_allclose(autoencoder_loss(np.array([[0.0, 0.3, 1.0]]), np.full((1, 3), 0.5)), np.log(2))
    x = np.array([[0.0, 1.0]])
    assert autoencoder_loss(x, np.array([[0.01, 0.99]])) < 0.02
    assert autoencoder_loss(x, np.array([[0.99, 0.01]])) > 4.0


def test_gradients_are_those_of_central_differences():
    """Move each weight a little, and compare the slopes of the loss."""
    rng = np.random.default_rng(1)
    x, (W1, b1, W2, b2) = rng.random((5, 4)), _network(rng)

    def loss():
        return autoencoder_loss(x, autoencoder_forward(x, W1, b1, W2, b2)[1])

    gradients = autoencoder_backward(x, *autoencoder_forward(x, W1, b1, W2, b2), W2)
    for value, derived in zip((W1, b1, W2, b2), gradients, strict=True):
        for place in np.ndindex(value.shape):
            before = value[place]
            value[place] = before + 1e-6
            above = loss()
            value[place] = before - 1e-6
            below = loss()
            value[place] = before
            np.testing.assert_allclose(derived[place], (above - below) / 2e-6, atol=1e-6)


def test_it_restores_four_patterns():
    """Four patterns of four pixels need a code of only two numbers."""
    x, (W1, b1, W2, b2) = np.eye(4), _network(np.random.default_rng(2))
    for _ in range(2000):
        code, p = autoencoder_forward(x, W1, b1, W2, b2)
        dW1, db1, dW2, db2 = autoencoder_backward(x, code, p, W2)
        W1, b1, W2, b2 = W1 - 5 * dW1, b1 - 5 * db1, W2 - 5 * dW2, b2 - 5 * db2
    np.testing.assert_array_equal(np.round(p), x)
