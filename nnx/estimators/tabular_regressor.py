"""A regressor for tables as they are: numbers, categories, dates and missing cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_consistent_length

import nnx
from nnx.data.rows import HostArray
from nnx.errors import DataError
from nnx.estimators.checks import unknown
from nnx.estimators.tabular_base import TabularEstimator
from nnx.estimators.tabular_recipe import center_and_scale

LOSSES: dict[str, type[nnx.Loss]] = {
    "squared_error": nnx.MeanSquaredError, "absolute_error": nnx.MeanAbsoluteError, "huber": nnx.Huber,
}  # fmt: skip


class TabularRegressor(RegressorMixin, TabularEstimator):  # type: ignore[misc]
    """Predict one or several numbers for each row of a table, with a packed ensemble of networks.

    It takes tables as `TabularClassifier` does. Targets are scaled to mean 0 and deviation 1 for training;
    the answer is the mean of the members' predictions.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int
        Widths of the dense layers, which all members share.
    members : int
        The number of members. Training time grows with it; 1 is a single network.
    numeric_embedding : {"piecewise_linear", "periodic", "none"}
        How a number becomes a vector, see `nnx.PiecewiseLinearEmbedding` and `nnx.PeriodicEmbedding`.
    embedding_size : int
        Length of the vector of a number or a category.
    activation : str
        Activation of the hidden layers by its name in nnx.
    dropout : float in [0, 1)
        Dropout rate after each hidden layer.
    loss : {"squared_error", "absolute_error", "huber"}
        The loss of the scaled targets.
    learning_rate : float
        The largest rate. It rises in the first 2 % of the steps, then falls to 0 as a cosine. The scales of
        the features learn six times as fast.
    weight_decay : float
        Decay of the weights of the hidden layers.
    epochs : int or "auto"
        Number of passes over the data. Auto is about 3000 steps, and at least 24 and at most 200 epochs.
    batch_size : int or "auto"
        Rows in a batch, at most all rows; auto is 256.
    early_stopping : bool
        Hold out some rows, keep the parameters of the epoch with the least squared error on them, and stop
        after `patience` epochs without a better one. False trains on all rows for all epochs.
    validation_fraction : float in (0, 1)
        Share of the rows that is held out.
    patience : int
        Epochs without improvement before training stops early.
    kinds : mapping, optional
        The kind of some columns, by name: "number", "category", "boolean", "date" or "ignore".
    callbacks : sequence of Callback
    device : str, optional
        As for `nnx.Network`.
    precision : {"float32", "float64", "bfloat16", "auto"}
        As for `nnx.Network`.
    random_state : int, RandomState or None
        Determines the initial weights, the batches, dropout and the rows held out.

    Attributes
    ----------
    encoder_ : TableEncoder
        The columns: ``encoder_.columns_`` has their kinds.
    network_ : nnx.Network
        Its output has the shape (rows, members, outputs), for scaled targets.
    center_, scale_ : array of shape (outputs,)
        Mean and deviation of the targets.
    loss_curve_, validation_curve_ : list of float
        One value for each epoch: the members' mean loss, and the squared error of the ensemble on the rows
        held out, both for scaled targets.
    n_iter_ : int
        Number of epochs trained.
    n_features_in_ : int
    feature_names_in_ : array of str
        Names of the columns, if X has names.

    Raises
    ------
    ConfigurationError
        By `fit`, if a parameter is invalid.
    DataError
        If a table or its targets cannot be used; the text names the row and the column.
    TrainingError
        By `fit`, if a loss or gradient is not finite.

    References
    ----------
    See `nnx.estimators.tabular_recipe`: RealMLP (Holzmüller et al. 2024), TabM (Gorishniy et al. 2025).

    Examples
    --------
    >>> from nnx.estimators import TabularRegressor
    >>> from sklearn.datasets import load_diabetes
    >>> x, y = load_diabetes(return_X_y=True)
    >>> TabularRegressor(32, members=4, epochs=30, random_state=0).fit(x, y).score(x, y) > 0.4
    True
    """

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (128, 128),
        *,
        members: int = 8,
        numeric_embedding: str = "piecewise_linear",
        embedding_size: int = 8,
        activation: str = "relu",
        dropout: float = 0.1,
        loss: str = "squared_error",
        learning_rate: float = 0.005,
        weight_decay: float = 0.02,
        epochs: int | str = "auto",
        batch_size: int | str = "auto",
        early_stopping: bool = True,
        validation_fraction: float = 0.15,
        patience: int = 40,
        kinds: Mapping[Any, str] | None = None,
        callbacks: Sequence[nnx.Callback] = (),
        device: str | None = None,
        precision: str = "float32",
        random_state: Any = None,
    ) -> None:
        super().__init__(
            hidden_layer_sizes, members=members, numeric_embedding=numeric_embedding,
            embedding_size=embedding_size, activation=activation, dropout=dropout,
            learning_rate=learning_rate, weight_decay=weight_decay, epochs=epochs, batch_size=batch_size,
            early_stopping=early_stopping, validation_fraction=validation_fraction, patience=patience,
            kinds=kinds, callbacks=callbacks, device=device, precision=precision, random_state=random_state,
        )  # fmt: skip
        self.loss = loss

    center_: HostArray
    scale_: HostArray
    _flat: bool

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None
    ) -> TabularRegressor:
        """Train on a table.

        Parameters
        ----------
        X : table of shape (rows, columns)
        y : array_like of shape (rows,) or (rows, outputs)
        sample_weight : array_like of shape (rows,), optional
            Rows of weight 0 are left out wholly: they and their y may hold anything.
        X_val, y_val : optional
            Rows that decide which epoch is the best, instead of rows held out of X.
        """
        self._check_parameters()
        if self.loss not in LOSSES:
            raise unknown("loss", self.loss, LOSSES)
        weights = self._counts(y, sample_weight)
        y = self._targets(y, weights, multi_output=True, y_numeric=True)
        x, weights = self._rows(X, y, weights)
        self._flat = y.ndim == 1
        targets = y.reshape(len(y), -1).astype(np.float64)
        self.center_, self.scale_ = center_and_scale(targets, weights)
        validation = None
        if self._has_validation(X_val, y_val):
            given = self._targets(y_val, multi_output=True, y_numeric=True)
            validation = self._encoded(X_val, reset=False), self._scaled(given.reshape(len(given), -1))
            check_consistent_length(*validation)
        self._train(x, self._scaled(targets), weights, LOSSES[self.loss](), (), validation=validation)
        return self

    def _scaled(self, targets: HostArray) -> HostArray:
        if targets.shape[1] != len(self.center_):
            raise DataError(f"y_val has {targets.shape[1]} outputs, but y has {len(self.center_)}")
        found: HostArray = ((targets - self.center_) / self.scale_).astype(np.float32)
        return found

    def predict(self, X: Any) -> HostArray:
        """Return predictions with the shape of y: (rows,) or (rows, outputs)."""
        outputs = self._mean_outputs(X)
        found: HostArray = outputs * self.scale_ + self.center_
        return found.ravel() if self._flat else found

    def _learnt(self) -> dict[str, Any]:
        return {"center": self.center_.tolist(), "scale": self.scale_.tolist(), "flat": self._flat}

    def _set_learnt(self, learnt: dict[str, Any]) -> None:
        self.center_, self.scale_ = (np.array(learnt[name], np.float64) for name in ("center", "scale"))
        if self.center_.shape != self.scale_.shape or self.center_.ndim != 1:
            raise ValueError("a scale of targets that does not fit")
        self._flat = bool(learnt["flat"])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
