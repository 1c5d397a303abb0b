"""Find outliers by the error of an autoencoder, as a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import OutlierMixin
from sklearn.preprocessing import StandardScaler

import nnx
from nnx.data.rows import HostArray
from nnx.errors import ConfigurationError, flag, number
from nnx.estimators.array_api import in_kind, library, moved_to_host
from nnx.estimators.base import NetworkEstimator
from nnx.estimators.checks import checked_weights, counted
from nnx.estimators.hidden import Hidden, last_activation
from nnx.estimators.sparse_data import SPARSE_ROWS, dense
from nnx.estimators.validation import Part, checked, given
from nnx.metrics import Metric

FENCE = 3.0  # Tukey's outer fence: quartiles between the upper quartile and the threshold


class AutoencoderOutlier(OutlierMixin, NetworkEstimator):  # type: ignore[misc]
    """Find rows that an autoencoder f restores badly: score(x) = −mean over the features of (z − f(z))².

    z is x with each feature scaled to mean 0 and variance 1. The autoencoder is trained on all rows, without
    labels. It learns what most rows have in common, so rows that differ have a larger error.

    Parameters
    ----------
    n_components : int
        Width of the code. A wide code restores outliers too, and so do many epochs.
    hidden_layer_sizes : int, str, or sequence of these
        The encoder's hidden layers, as for `Autoencoder`. () is for none: with squared error, the errors are
        about those of PCA.
    contamination : "auto" or float in (0, 0.5]
        Share of outliers in the training data. It sets ``offset_``, and changes no score. With a number, at
        most this share of the training rows (of their weights) is called outliers. "auto" calls errors above
        Tukey's outer fence outliers: Q3 + 3 (Q3 − Q1), with the quartiles of the errors of the training rows.
    standardize : bool
        Scale the features as above. Without it, a feature with large numbers has most of the error, and a
        cross-entropy becomes possible, which needs data in [0, 1].
    loss : str or Loss
        As for `Autoencoder`. The default follows single large errors less than the squared error does, since
        the training data have outliers. The score is the squared error with any loss.
    image_shape, activation, optimizer, learning_rate, dropout, epochs, batch_size : optional
        As for `Autoencoder`.
    early_stopping, validation_fraction, patience, monitor, mode : optional
        As for `Autoencoder`.
    warm_start, callbacks, device, precision : optional
        As for `Autoencoder`. With `warm_start`, a second `fit` keeps the scaling of the first.
    random_state : int, RandomState or None
        Determines the initial weights, the batches, dropout and the rows held out.

    Attributes
    ----------
    offset_ : float
        The threshold: ``decision_function(X) = score_samples(X) - offset_``, and rows below 0 are outliers.
    network_ : nnx.Network
        The autoencoder of z. ``network_.encoder_length`` is the number of its layers that encode.
    scaler_ : StandardScaler or None
        Computes z.
    loss_curve_, validation_loss_curve_ : list of float
        One value per epoch; the second is empty without validation data.
    validation_curve_ : list of float
        As for `Autoencoder`.
    n_iter_ : int
        Number of epochs trained.
    n_features_in_ : int
    feature_names_in_ : array of str
        Names of the columns, if X was a data frame with names.

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
    Hawkins, He, Williams and Baxter (2002), Outlier detection using replicator neural networks.
    Tukey (1977), Exploratory data analysis, for the fence.

    Examples
    --------
    >>> import numpy as np
    >>> from nnx.estimators import AutoencoderOutlier
    >>> from sklearn.datasets import load_iris
    >>> x = np.vstack([load_iris().data, [[7.0, 2.0, 1.0, 2.5]]])
    >>> detector = AutoencoderOutlier(2, epochs=50, contamination=0.01, random_state=0).fit(x)
    >>> detector.predict(x)[-1]
    np.int64(-1)
    """

    def __init__(
        self,
        n_components: int = 2,
        hidden_layer_sizes: int | str | Sequence[int | str] = (50,),
        *,
        contamination: float | str = "auto",
        standardize: bool = True,
        image_shape: Sequence[int] | None = None,
        activation: str = "relu",
        loss: str | nnx.Loss = "huber",
        optimizer: str | nnx.Optimizer = "adam",
        learning_rate: float | nnx.Schedule | None = None,
        dropout: float = 0.0,
        epochs: int = 50,
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
        super().__init__(
            hidden_layer_sizes, image_shape=image_shape, activation=activation, loss=loss,
            optimizer=optimizer, learning_rate=learning_rate, dropout=dropout, epochs=epochs,
            batch_size=batch_size, early_stopping=early_stopping, validation_fraction=validation_fraction,
            patience=patience, warm_start=warm_start, callbacks=callbacks, device=device,
            precision=precision, random_state=random_state, monitor=monitor, mode=mode,
        )  # fmt: skip
        self.n_components = n_components
        self.contamination = contamination
        self.standardize = standardize

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        checkpoint: nnx.Checkpoint | None = None,
        X_val: Any = None,
        sample_weight_val: Any = None,
    ) -> AutoencoderOutlier:
        """Train on X, and compute the threshold from the scores of its rows.

        Parameters
        ----------
        X : array_like of shape (rows, …), or sparse matrix of shape (rows, features)
            A sparse matrix becomes a dense array.
        y : None
            Ignored.
        sample_weight : array_like of shape (rows,), optional
            Weights of the rows in the loss, in the scaling and in the threshold.
        checkpoint : Checkpoint, optional
            As for `nnx.Network.fit`. To resume, `random_state` must be the same number in both runs.
        X_val, sample_weight_val : array_like, optional
            Validation data for early stopping, as for `Autoencoder`; they do not change the threshold.
        """
        again = self._continues(partial=False)
        loss = self._checked_loss()
        x = self._check(X, reset=not again)
        weights, x = counted(checked_weights(sample_weight, x), x)
        x = dense(x)
        if not again:
            self.scaler_ = StandardScaler().fit(_flat(x), sample_weight=weights) if self.standardize else None
        z, hidden = self._scaled(x), Hidden(self, x.shape[1:])
        encoder = [*hidden.layers(), nnx.Dense(self.n_components)]
        length = sum(len(layer.expand()) for layer in encoder)
        layers = [*encoder, *hidden.decoder(self.n_components), *last_activation(loss)]
        part = checked(self, given(X_val, None, sample_weight_val, targets=False), x)
        part = part and Part(self._scaled(dense(part.x)), None, part.weights)
        self._train(
            z, None, weights, layers, loss, again=again, partial=False, validation=part, checkpoint=checkpoint
        )
        self.network_.encoder_length = length
        errors = moved_to_host(_mean(self._squares(x))).astype(np.float64)
        self.offset_ = -threshold(errors, weights, self.contamination)
        return self

    def _checked_loss(self) -> nnx.Loss:
        """Check the parameters that `check_parameters` does not know, and return the loss."""
        flag("standardize", self.standardize)
        if isinstance(self.contamination, str):
            if self.contamination != "auto":
                raise ConfigurationError(
                    f"contamination must be 'auto' or a number in (0, 0.5], not {self.contamination!r:.80}"
                )
        else:
            number("contamination", self.contamination, "(0, 0.5]")
        loss = self._loss()
        if loss.activation and self.standardize:
            raise ConfigurationError(
                f"loss={self.loss!r} needs data in [0, 1], but standardize=True scales it to mean 0: set "
                "standardize=False"
            )
        return loss

    def _scaled(self, x: Any) -> Any:
        """Return z for rows of a dense array, in their shape."""
        return x if self.scaler_ is None else self.scaler_.transform(_flat(x)).reshape(x.shape)

    def _squares(self, x: Any) -> Any:
        """Return (z − f(z))² of rows of a dense array."""
        z = self._scaled(x)
        return (z - self.network_.predict(z)) ** 2

    def _computed(self, X: Any, formula: Callable[[Any], Any]) -> HostArray:
        """Return `formula` of the squared errors of X; sparse rows become dense a part at a time."""
        X = self._given(X)
        if not sparse.issparse(X):
            found: HostArray = formula(self._squares(X))
            return found
        parts = range(0, X.shape[0], SPARSE_ROWS)
        return np.concatenate([formula(self._squares(X[i : i + SPARSE_ROWS].toarray())) for i in parts])

    @in_kind
    def score_samples(self, X: Any) -> HostArray:
        """Return −mean of (z − f(z))² of each row, of shape (rows,): the lower, the more unusual."""
        return self._computed(X, lambda squares: -_mean(squares))

    @in_kind
    def decision_function(self, X: Any) -> HostArray:
        """Return ``score_samples(X) - offset_``, of shape (rows,): below 0 for outliers."""
        return self._computed(X, lambda squares: -_mean(squares) - self.offset_)

    @in_kind
    def predict(self, X: Any) -> HostArray:
        """Return −1 for outliers and 1 for other rows, of shape (rows,)."""
        decisions = self._computed(X, lambda squares: -_mean(squares) - self.offset_)
        xp = library(decisions)
        found: HostArray = xp.where(decisions < 0, -1, 1)
        return found

    @in_kind
    def error_shares(self, X: Any) -> HostArray:
        """Return each feature's share of its row's error, of the shape of X: why a row is unusual.

        The shares of a row are in [0, 1], and their sum is 1. In a row without any error they are 0.
        """
        return self._computed(X, _shares)


def _flat(x: Any) -> Any:
    return x.reshape(len(x), -1)


def _mean(squares: Any) -> Any:
    return library(squares).mean(_flat(squares), axis=1)


def _shares(squares: Any) -> Any:
    xp, flat = library(squares), _flat(squares)
    totals = xp.sum(flat, axis=1, keepdims=True)
    return (flat / xp.where(totals == 0, 1.0, totals)).reshape(squares.shape)


def threshold(errors: HostArray, weights: HostArray | None, contamination: float | str) -> float:
    """Return the error above which a row is an outlier.

    Parameters
    ----------
    errors : array of shape (rows,)
        Errors of the training rows, in float64.
    weights : array of shape (rows,), optional
        A row of weight 2 counts as two rows.
    contamination : "auto" or float in (0, 0.5]
        "auto": Tukey's outer fence. A number: the middle between two neighbouring errors, so that the rows
        above it have at most this share of the weight. If no row can be above, it is the largest error.
    """
    weights = np.ones(len(errors)) if weights is None else weights.astype(np.float64)
    if isinstance(contamination, str):
        lower, upper = np.quantile(errors, [0.25, 0.75], weights=weights, method="inverted_cdf")
        return float(upper + FENCE * (upper - lower))
    levels, places = np.unique(errors, return_inverse=True)  # equal errors are on one side
    levels, above = levels[::-1], np.cumsum(np.bincount(places, weights)[::-1])
    allowed = contamination * above[-1] * (1.0 + 1e-9)  # 0.07 of 100 rows is 7 rows also after rounding
    outside = int(np.searchsorted(above, allowed, side="right"))
    return float((levels[outside - 1] + levels[outside]) / 2.0) if outside else float(levels[0])
