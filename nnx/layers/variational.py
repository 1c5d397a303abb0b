"""The code of a variational autoencoder: drawn from a normal distribution that the encoder describes."""

from __future__ import annotations

from typing import Any

from nnx.backends import Array
from nnx.errors import ConfigurationError, number
from nnx.layers.base import Layer
from nnx.layers.randomness import Draws
from nnx.layers.workspace import Workspace
from nnx.records import Case, LayerRecord

__all__ = ["GaussianCode"]


class GaussianCode(Draws, Layer):
    """In training z = μ + σ ∘ ε with ε ~ N(0, I), where x = [μ, ln σ²]; in inference z = μ.

    The layer adds β · KL to the loss, where KL is the mean over the rows of the divergence of N(μ, σ²) from
    N(0, I): ½ Σ_j (μ_j² + σ_j² − 1 − ln σ_j²), in nats. The term is called ``"kl"`` in the history.

    Backward, with d = ln σ²: ``dμ = dz + β μ / rows`` and ``dd = ½ dz ∘ ε ∘ σ + ½ β (σ² − 1) / rows``. An
    input of shape (rows, 2k) gives an output of shape (rows, k). ε is a hash of (seed, step, layer, global
    row, column), as the noise of `GaussianNoise` is.

    With a loss that is minus the log-likelihood of a row, the loss of training is minus the ELBO (evidence
    lower bound) in nats. With a loss that is a mean over n features, such as `BinaryCrossEntropy`, use β / n:
    the loss is then minus the ELBO divided by n.

    Parameters
    ----------
    beta : float of at least 0
        Weight of the divergence. 1 gives the ELBO.

    Raises
    ------
    ConfigurationError
        If `beta` is negative or not finite, or the number of inputs is odd.

    Notes
    -----
    `Network.evaluate` computes the loss of the mean code μ, and not of drawn codes. So its loss is not minus
    the ELBO; `nnx.estimators.VariationalAutoencoder` computes that.

    References
    ----------
    Kingma and Welling (2014), Auto-encoding variational Bayes, section 3 and appendix B; Higgins et al.
    (2017), β-VAE, for β.

    Examples
    --------
    >>> import nnx
    >>> encoder = [nnx.Dense(32, activation="relu"), nnx.Dense(2 * 4), nnx.GaussianCode()]
    >>> network = nnx.Network([*encoder, nnx.Dense(32, activation="relu"), nnx.Dense(8)]).build(8)
    >>> network[:4].predict([[0.5] * 8]).shape  # the two layers, the activation, and the mean codes
    (1, 4)
    """

    record = LayerRecord(
        names=("gaussian_code",),
        cases=(
            Case({"beta": 0.7}, "of six numbers", {"inputs": 6}),
            Case({"beta": 0.0}, "without a term", {"inputs": 6}),
            Case({"beta": 0.7}, "in inference", {"inputs": 6, "training": False}),
        ),
        keras="Keras has no layer that draws a code; its guides write one by hand",
        onnx="an ONNX file could hold only the mean code: save the layers before it, and slice their output",
        listed=False,
    )
    layout = "rows"
    replays = True
    reads_output = False
    term = "kl"
    term_note = "a log variance above 88 is too large for float32: lower the learning rate"

    def __init__(self, beta: float = 1.0) -> None:
        super().__init__()
        self.beta = number("GaussianCode: beta", beta, "[0, inf)")

    def shape_after(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return half the width.

        Raises
        ------
        ConfigurationError
            If the width is odd, or rows have several axes.
        """
        if len(input_shape) != 1 or input_shape[0] % 2:
            raise ConfigurationError(
                f"GaussianCode takes means and log variances, an even number of features, not rows of shape "
                f"{input_shape}: put nnx.Dense(2 * width of the code) before it"
            )
        return (input_shape[0] // 2,)

    def forward_into(self, x: Array, y: Array, workspace: Workspace) -> None:
        """Draw a code, or return its mean; compute the term if the pass needs it."""
        mean, deviation = x[:, : y.shape[1]], workspace.buffer("deviation", y.shape)
        if workspace.training:
            xp, noise = workspace.backend.xp, workspace.buffer("noise", y.shape)
            noise[...] = 0.0
            workspace.backend.add_noise(noise, noise, 1.0, self.drawn_key(workspace), workspace.row)
            xp.multiply(x[:, y.shape[1] :], 0.5, out=deviation)
            xp.exp(deviation, out=deviation)
            xp.multiply(deviation, noise, out=y)
            y += mean
        else:
            y[...] = mean
        if workspace.term is not None:
            self._write_term(x, workspace.term, workspace)

    def _write_term(self, x: Array, term: Array, workspace: Workspace) -> None:
        backend, xp, k = workspace.backend, workspace.backend.xp, x.shape[1] // 2
        mean, log_variance = x[:, :k], x[:, k:]
        squares, divergence = (workspace.scratch(name, mean.shape) for name in ("squares", "divergence"))
        # σ² − 1 is computed at once: near σ = 1, a difference would lose digits
        xp.expm1(log_variance, out=divergence)
        divergence -= log_variance
        xp.multiply(mean, mean, out=squares)
        divergence += squares
        means = backend.matmul(workspace.row_shares().T, divergence, workspace.buffer("means", (1, k)))
        backend.axis_sums(means.reshape(1, k, 1), term.reshape(1, 1))
        term *= 0.5 * self.beta

    def backward_into(self, dy: Array, dx: Array | None, workspace: Workspace) -> None:
        """Compute the gradients of mean and log variance, with that of the term."""
        if dx is None:
            return
        xp, x, k = workspace.backend.xp, workspace.x, dy.shape[1]
        of_mean, of_log_variance = dx[:, :k], dx[:, k:]
        of_mean[...] = dy
        if workspace.training:
            xp.multiply(dy, workspace.buffer("noise", dy.shape), out=of_log_variance)
            of_log_variance *= workspace.buffer("deviation", dy.shape)
            of_log_variance *= 0.5
        else:
            of_log_variance[...] = 0.0
        if workspace.term is not None:
            shares, part = workspace.row_shares(), workspace.scratch("part", dy.shape)
            shares *= self.beta * workspace.share
            xp.multiply(x[:, :k], shares, out=part)
            of_mean += part
            xp.expm1(x[:, k:], out=part)
            part *= shares
            part *= 0.5
            of_log_variance += part

    def config(self) -> dict[str, Any]:
        """Return the weight β."""
        return {"beta": self.beta}
