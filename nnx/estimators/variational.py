"""A variational autoencoder as a scikit-learn transformer, which also draws new rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

import nnx
from nnx.backends import Array, Backend
from nnx.data.rows import HostArray
from nnx.errors import DataError, number, whole
from nnx.estimators.array_api import moved_to_host
from nnx.estimators.autoencoder import Autoencoder
from nnx.estimators.base import NetworkEstimator
from nnx.estimators.checks import checked_weights, unknown
from nnx.estimators.hidden import Hidden, last_activation
from nnx.estimators.sparse_data import SPARSE_ROWS, dense
from nnx.metrics import Metric


class BernoulliNats(nnx.BinaryCrossEntropy):
    """−ln p(x | z) of a row in nats, for pixels in [0, 1] that are drawn with the predicted probabilities."""

    sums_features = True

    def log_likelihood(self, x: HostArray, output: HostArray) -> HostArray:
        """Return ln p(x | z) of each row, from the inputs of the sigmoid."""
        found: HostArray = np.sum(x * output - np.logaddexp(0.0, output), axis=1)
        return found


class GaussianNats(nnx.Loss):
    """−ln p(x | z) of a row in nats, for numbers with normal noise around the predictions.

    Parameters
    ----------
    deviation : float > 0
        The standard deviation of the noise.
    """

    sums_features = True
    estimates = True

    def __init__(self, deviation: float) -> None:
        self.deviation = float(deviation)

    def formula(self, backend: Backend, y: Array, p: Array) -> tuple[Array, Array]:
        """Return Σ_j ½ e² + ln s + ½ ln 2π with e = (p − y) / s, and the gradient e / s."""
        error = (p - y) * (1.0 / self.deviation)
        constant = y.shape[1] * (math.log(self.deviation) + 0.5 * math.log(2.0 * math.pi))
        return 0.5 * backend.xp.sum(error * error, axis=1) + constant, error * (1.0 / self.deviation)

    def log_likelihood(self, x: HostArray, output: HostArray) -> HostArray:
        """Return ln p(x | z) of each row."""
        constant = x.shape[1] * (math.log(self.deviation) + 0.5 * math.log(2.0 * math.pi))
        found: HostArray = -0.5 * np.sum(((x - output) / self.deviation) ** 2, axis=1) - constant
        return found

    def config(self) -> dict[str, Any]:
        """Return the standard deviation."""
        return {"deviation": self.deviation}


class VariationalAutoencoder(Autoencoder):
    """An autoencoder of distributions: it reduces rows to codes, restores them, and draws new rows.

    The encoder returns mean μ and variance σ² of a code z ~ N(μ, σ²), and the decoder the distribution
    p(x | z). Training maximizes the ELBO, a lower bound of ln p(x): E ln p(x | z) − KL(N(μ, σ²) ‖ N(0, I)).

    Parameters
    ----------
    n_components : int
        Width of the code.
    hidden_layer_sizes : int, str, or sequence of these
        The encoder's hidden layers, as for `Autoencoder`.
    beta : float of at least 0
        Weight of the KL divergence in training (β-VAE). 1 trains the ELBO. More makes the numbers of a code
        more independent, less makes reconstructions sharper. `elbo` and `score` always have the weight 1.
    loss : {"squared_error", "binary_cross_entropy"}
        p(x | z): numbers with normal noise, or pixels in [0, 1] that are drawn with the probabilities that
        the decoder returns (Bernoulli).
    deviation : float > 0
        Standard deviation of the normal noise, in the units of X. Scale X first (`StandardScaler`). Smaller
        noise gives sharper reconstructions, and a larger divergence.
    image_shape, activation, optimizer, learning_rate, dropout, epochs, batch_size : optional
        As for `Autoencoder`.
    early_stopping, validation_fraction, patience, monitor, mode : optional
        As for `Autoencoder`. The validation loss is that of the mean codes, with the divergence.
    warm_start, callbacks, device, precision, random_state : optional
        As for `Autoencoder`; `random_state` also determines the drawn codes.

    Attributes
    ----------
    network_ : nnx.Network
        ``network_[: network_.encoder_length]`` returns mean codes; its last layer is an `nnx.GaussianCode`.
    loss_curve_ : list of float
        −ELBO in nats of each epoch, as in training; with another `beta`, with this weight.
    kl_curve_ : list of float
        The part of ``loss_curve_`` that is `beta` times the divergence.
    validation_loss_curve_, validation_curve_, n_iter_, n_features_in_, feature_names_in_
        As for `Autoencoder`.

    Raises
    ------
    ConfigurationError
        By `fit`, if a parameter is invalid.
    DataError
        By `fit`, if the data does not fit the loss.
    TrainingError
        By `fit`, if a loss or gradient is not finite.

    References
    ----------
    Kingma and Welling (2014), Auto-encoding variational Bayes; Rezende, Mohamed and Wierstra (2014),
    Stochastic backpropagation and approximate inference in deep generative models.

    Examples
    --------
    >>> from nnx.estimators import VariationalAutoencoder
    >>> from sklearn.datasets import load_digits
    >>> x = load_digits().data / 16.0
    >>> model = VariationalAutoencoder(2, loss="binary_cross_entropy", epochs=5, random_state=0).fit(x)
    >>> model.sample(3).shape
    (3, 64)
    >>> sorted(model.elbo(x))
    ['elbo', 'kl', 'reconstruction']
    """

    def __init__(
        self,
        n_components: int = 2,
        hidden_layer_sizes: int | str | Sequence[int | str] = (100,),
        *,
        beta: float = 1.0,
        loss: str = "squared_error",
        deviation: float = 1.0,
        image_shape: Sequence[int] | None = None,
        activation: str = "relu",
        optimizer: str | nnx.Optimizer = "adam",
        learning_rate: float | nnx.Schedule | None = None,
        dropout: float = 0.0,
        epochs: int = 200,
        batch_size: int | str = "auto",
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
        warm_start: bool = False,
        callbacks: Sequence[nnx.Callback] = (),
        device: str | None = None,
        precision: str | None = None,
        random_state: Any = None,
        monitor: str | Metric = "val_loss",
        mode: str = "auto",
    ) -> None:
        NetworkEstimator.__init__(  # not that of Autoencoder, which has parameters that this class has not
            self, hidden_layer_sizes, image_shape=image_shape, activation=activation, loss=loss,
            optimizer=optimizer, learning_rate=learning_rate, dropout=dropout, epochs=epochs,
            batch_size=batch_size, early_stopping=early_stopping, validation_fraction=validation_fraction,
            patience=patience, warm_start=warm_start, callbacks=callbacks, device=device,
            precision=precision, random_state=random_state, monitor=monitor, mode=mode,
        )  # fmt: skip
        self.n_components = n_components
        self.beta = beta
        self.deviation = deviation

    def _loss(self, *others: str) -> nnx.Loss:
        number("beta", self.beta, "[0, inf)")
        number("deviation", self.deviation, "(0, inf)")
        if self.loss == "squared_error":
            return GaussianNats(self.deviation)
        if self.loss == "binary_cross_entropy":
            return BernoulliNats()
        raise unknown("loss", self.loss, ["squared_error", "binary_cross_entropy"])

    def _layers(self, shape: tuple[int, ...], loss: nnx.Loss) -> tuple[list[nnx.Layer], int]:
        hidden = Hidden(self, shape)
        code = [nnx.Dense(2 * self.n_components), nnx.GaussianCode(self.beta)]
        encoder = [*hidden.layers(), *code]
        length = sum(len(layer.expand()) for layer in encoder)
        return [*encoder, *hidden.decoder(self.n_components), *last_activation(loss)], length

    def _described(self) -> str:
        return f"{NetworkEstimator._described(self)}, beta={self.beta!r}, deviation={self.deviation!r}"

    def _keep(self, network: nnx.Network, optimizer: nnx.Optimizer, history: nnx.History, *how: Any) -> None:
        super()._keep(network, optimizer, history, *how)
        if len(self.loss_curve_) == len(history.metrics.get("loss", [])):  # a new network
            self.kl_curve_: list[float] = []
        self.kl_curve_ += history.metrics.get("kl", [])

    @property
    def _n_encoding(self) -> int:
        """The number of layers that return mean codes."""
        length = self.network_.encoder_length
        assert length is not None
        return length

    # ---------------------------------------------------------------- the bound

    def elbo(
        self, X: Any, y: Any = None, sample_weight: Any = None, *, draws: int = 1, random_state: Any = None
    ) -> dict[str, float]:
        """Return the mean ELBO of the rows of X in nats, and its parts.

        Parameters
        ----------
        X : array_like or sparse matrix
            Rows like those of `fit`.
        y : None
            Ignored.
        sample_weight : array_like of shape (rows,), optional
        draws : int
            Codes to draw for each row; more make the value more exact.
        random_state : int, RandomState or None
            Determines the drawn codes; None uses the estimator's.

        Returns
        -------
        dict
            ``"reconstruction"``: the mean of ln p(x | z); ``"kl"``: the divergence, computed exactly;
            ``"elbo"``: the first minus the second.
        """
        whole("draws", draws)
        X = self._given(X)
        weights = checked_weights(sample_weight, X)
        random = check_random_state(self.random_state if random_state is None else random_state)
        parts = range(0, X.shape[0], SPARSE_ROWS)
        found = np.concatenate(
            [bounds(self.network_, X[i : i + SPARSE_ROWS], self._loss(), draws, random) for i in parts],
            axis=1,
        )
        reconstruction, kl = np.average(found, axis=1, weights=weights).tolist()
        return {"elbo": reconstruction - kl, "reconstruction": reconstruction, "kl": kl}

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return the mean ELBO of the rows of X in nats, with one drawn code a row; larger is better."""
        return self.elbo(X, sample_weight=sample_weight)["elbo"]

    # ------------------------------------------------------------------ new rows

    def sample(self, n_samples: int = 1, random_state: Any = None) -> HostArray:
        """Return new rows: the decoder's means for codes that are drawn from N(0, I).

        Parameters
        ----------
        n_samples : int
        random_state : int, RandomState or None
            None uses the estimator's; if that is a number, each call returns the same rows.

        Returns
        -------
        array of shape (n_samples, …)
        """
        check_is_fitted(self)
        whole("n_samples", n_samples)
        random = check_random_state(self.random_state if random_state is None else random_state)
        codes: HostArray = random.standard_normal((n_samples, self.n_components)).astype(self.network_.dtype)
        return self._decoded(codes)

    def interpolate(self, start: Any, end: Any, steps: int = 10) -> HostArray:
        """Return rows between two rows of data: what the decoder makes of the codes on a line between theirs.

        Parameters
        ----------
        start, end : array_like
            One row each, of the shape of a row of X in `fit`.
        steps : int
            Number of rows, with the reconstructions of `start` and `end`; at least 2.

        Returns
        -------
        array of shape (steps, …)

        Raises
        ------
        DataError
            If one of them is not a single row.
        """
        check_is_fitted(self)
        whole("steps", steps, least=2)
        ends = [np.asarray(moved_to_host(row)) for row in (start, end)]
        for name, row in zip(("start", "end"), ends, strict=True):
            if row.shape != self.network_.input_shape:
                raise DataError(f"{name} must be a row of shape {self.network_.input_shape}, not {row.shape}")
        first, last = self._outputs(self.network_[: self._n_encoding], np.stack(ends))
        share = np.linspace(0.0, 1.0, steps, dtype=first.dtype)[:, None]
        return self._decoded((1.0 - share) * first + share * last)

    def _decoded(self, codes: HostArray) -> HostArray:
        return self.network_[self._n_encoding :].predict(codes)


def described(network: nnx.Network, X: Any) -> tuple[HostArray, HostArray]:
    """Return means and log variances of the codes of X in float64, each of shape (rows, width of a code)."""
    length = network.encoder_length
    assert length is not None
    outputs = np.asarray(moved_to_host(network[: length - 1].predict(X)), np.float64)
    mean, log_variance = np.split(outputs, 2, axis=1)
    return mean, log_variance


def divergences(mean: HostArray, log_variance: HostArray) -> HostArray:
    """Return the KL divergence of each number of a code in nats: ½ (μ² + σ² − 1 − ln σ²)."""
    found: HostArray = 0.5 * (mean**2 + np.expm1(log_variance) - log_variance)
    return found


def bounds(network: nnx.Network, X: Any, loss: Any, draws: int, random: Any) -> HostArray:
    """Return the mean of ln p(x | z) over drawn codes, and the divergence, of each row, of shape (2, rows).

    Parameters
    ----------
    network : Network
        Its `encoder_length` includes the `GaussianCode`.
    X : array_like of shape (rows, …)
        Few enough rows that all their outputs fit into memory.
    loss : BernoulliNats or GaussianNats
    draws : int
    random : numpy.random.RandomState or numpy.random.Generator
    """
    X, length = dense(X), network.encoder_length
    assert length is not None
    mean, log_variance = described(network, X)
    kl = np.sum(divergences(mean, log_variance), axis=1)
    decoder = network[length : len(network) - len(last_activation(loss))]
    flat = np.asarray(moved_to_host(X), np.float64).reshape(len(X), -1)
    total = np.zeros(len(flat))
    for _ in range(draws):
        code = mean + np.exp(0.5 * log_variance) * random.standard_normal(mean.shape)
        output = np.asarray(decoder.predict(code.astype(network.dtype)), np.float64)
        total += loss.log_likelihood(flat, output.reshape(len(flat), -1))
    return np.stack([total / draws, kl])
