"""The common base of the estimators for tables: their parameters, and the training."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils.validation import (
    _check_feature_names,
    _check_sample_weight,
    _check_y,
    _num_samples,
    check_consistent_length,
    check_is_fitted,
)

import nnx
from nnx.backends import foreign
from nnx.data.rows import HostArray
from nnx.data.weights import refuse_unusable
from nnx.errors import ConfigurationError, DataError, flag, number, whole
from nnx.estimators import tabular_files, tabular_recipe
from nnx.estimators.array_api import hosted
from nnx.estimators.checks import counted, held_out, unknown
from nnx.network.precision import PRECISIONS
from nnx.tables import TableEncoder
from nnx.tables.frames import frame_of
from nnx.training.checks import check_callbacks

MONITOR = "val_error"


class TabularEstimator(BaseEstimator):  # type: ignore[misc]
    """Base class of the estimators for tables; a subclass prepares targets and defines the outputs."""

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (128, 128),
        *,
        members: int = 8,
        numeric_embedding: str = "piecewise_linear",
        embedding_size: int = 8,
        activation: str = "relu",
        dropout: float = 0.1,
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
        self.hidden_layer_sizes = hidden_layer_sizes
        self.members = members
        self.numeric_embedding = numeric_embedding
        self.embedding_size = embedding_size
        self.activation = activation
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.epochs = epochs
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.kinds = kinds
        self.callbacks = callbacks
        self.device = device
        self.precision = precision
        self.random_state = random_state

    encoder_: TableEncoder
    network_: nnx.Network

    # ------------------------------------------------------------------ checks

    def _check_parameters(self) -> None:
        """Refuse invalid parameters; the error names the parameter."""
        for width in self._widths():
            whole("hidden_layer_sizes", width)
        for name in ("members", "embedding_size"):
            whole(name, getattr(self, name))
        for name in ("epochs", "batch_size"):
            value = getattr(self, name)
            if isinstance(value, str):
                if value != "auto":
                    raise ConfigurationError(f"{name} must be a positive integer or 'auto', not {value!r}")
            else:
                whole(name, value)
        whole("patience", self.patience, least=0)
        number("dropout", self.dropout, "[0, 1)")
        number("learning_rate", self.learning_rate, "(0, inf)")
        number("weight_decay", self.weight_decay, "[0, inf)")
        number("validation_fraction", self.validation_fraction, "(0, 1)")
        flag("early_stopping", self.early_stopping)
        if self.numeric_embedding not in tabular_recipe.EMBEDDINGS:
            raise unknown("numeric_embedding", self.numeric_embedding, tabular_recipe.EMBEDDINGS)
        if self.precision not in PRECISIONS:
            raise unknown("precision", self.precision, PRECISIONS)

    def _widths(self) -> list[int]:
        given = self.hidden_layer_sizes
        return list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given]

    def _encoded(self, X: Any, *, reset: bool, sample_weight: HostArray | None = None) -> HostArray:
        """Return the rows of weight above 0 as numbers and codes; with `reset`, learn the columns first."""
        X = hosted(X)
        table = X if sample_weight is None else frame_of(X)
        if sample_weight is not None and len(sample_weight) != table.rows:
            raise DataError(f"X has {table.rows:,} rows, but y and sample_weight have {len(sample_weight):,}")
        if reset:
            self.encoder_ = TableEncoder(kinds=self.kinds).fit(table, sample_weight=sample_weight)
            self.n_features_in_ = self.encoder_.n_features_in_
        if isinstance(X, Mapping):  # its columns are found by name; scikit-learn does not know mappings
            if reset:
                self.feature_names_in_ = self.encoder_.feature_names_in_
        else:
            _check_feature_names(self, X, reset=reset)
        if sample_weight is not None:  # rows of weight 0 may hold anything
            table = table.take(np.flatnonzero(sample_weight))
        found: HostArray = self.encoder_.transform(table)
        return found

    def _counts(self, y: Any, sample_weight: Any) -> HostArray | None:
        """Return one weight for each row, checked; None if there are no weights."""
        if sample_weight is None or not hasattr(y, "__len__"):  # then `_targets` refuses y
            return None
        sample_weight = hosted(sample_weight)
        foreign.refuse_masked(sample_weight, "sample_weight")
        weights: HostArray = _check_sample_weight(
            sample_weight, np.empty((_num_samples(y), 0)), dtype=np.float64
        )
        refuse_unusable(weights)
        return weights

    def _targets(self, y: Any, weights: HostArray | None = None, **options: Any) -> HostArray:
        """Return checked targets of the rows of weight above 0; those of the others may be anything."""
        y = hosted(y)
        foreign.refuse_masked(y, "y")
        if y is None:
            raise DataError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        rows = None if weights is None or weights.all() else np.flatnonzero(weights)
        if rows is not None:
            y = _safe_indexing(y, rows)
        gaps = y.isna() if hasattr(y, "isna") else None  # of pandas: its NA stops scikit-learn's checks
        if gaps is not None and np.any(gaps):
            first = int(np.argmax(np.asarray(gaps).reshape(len(y), -1).any(axis=1)))
            raise DataError(
                f"Input y contains NaN: {int(np.sum(np.asarray(gaps)))} missing values, first in row "
                f"{first if rows is None else rows[first]} (counted from 0): leave these rows out"
            )
        checked: HostArray = _check_y(y, estimator=self, **options)
        return checked

    def _rows(self, X: Any, y: HostArray, weights: HostArray | None) -> tuple[HostArray, Any]:
        """Return the encoded rows and weights of the training data, without rows of weight 0."""
        x = self._encoded(X, reset=True, sample_weight=weights)
        (weights,) = counted(weights)
        check_consistent_length(x, y)
        if len(x) < 2:
            raise DataError(f"{type(self).__name__} needs two or more rows to train on, but X has 1 sample")
        if x.shape[1] == 0:
            reasons = "; ".join(
                f"{one.name} {one.why or 'is ignored, as you chose'}" for one in self.encoder_.columns_[:5]
            )
            raise DataError(f"X has no column to learn from: {reasons}")
        return x, weights

    def _has_validation(self, X_val: Any, y_val: Any) -> bool:
        """Return whether there is validation data; refuse half of it."""
        if (X_val is None) != (y_val is None):
            raise ConfigurationError("give both X_val and y_val, or neither")
        return X_val is not None

    # ---------------------------------------------------------------- training

    def _train(
        self,
        x: HostArray,
        targets: HostArray,
        weights: HostArray | None,
        loss: nnx.Loss,
        last: Sequence[nnx.Layer],
        *,
        labels: HostArray | None = None,
        validation: tuple[HostArray, HostArray] | None = None,
        smoothing: float = 0.0,
    ) -> None:
        """Train a new network on encoded rows; keep the parameters of the best epoch.

        Parameters
        ----------
        targets : array of shape (rows, outputs)
        labels : array of shape (rows,), optional
            The rows held out contain the same share of each class.
        validation : (x, targets), optional
            Rows that decide which epoch is the best; without them, some of the rows are held out.
        smoothing : float
            Label smoothing of the rows to train on.
        """
        random = check_random_state(self.random_state)
        seed = int(random.randint(np.iinfo(np.int32).max))
        callbacks, members = check_callbacks(self.callbacks), int(self.members)
        held: tuple[Any, ...] | None = None
        if validation is not None:
            held = (validation[0], tabular_recipe.repeated(validation[1], members))
        elif self.early_stopping:
            train, rest = _held_out(len(x), float(self.validation_fraction), random, labels)
            held = (x[rest], tabular_recipe.repeated(targets[rest], members))
            held = held if weights is None else (*held, weights[rest])
            weights = None if weights is None else weights[train]
            x, targets = x[train], targets[train]
        if held is not None:  # first, so that the other callbacks know which epoch is the last
            callbacks.insert(0, nnx.EarlyStopping(MONITOR, patience=int(self.patience), mode="min"))
        batch = min(tabular_recipe.BATCH if self.batch_size == "auto" else int(self.batch_size), len(x))
        epochs = tabular_recipe.epochs_for(len(x), batch) if self.epochs == "auto" else int(self.epochs)
        network = self._network(x, targets.shape[1], last, seed)
        steps = epochs * -(-len(x) // batch)
        optimizer = tabular_recipe.optimizer_of(
            network, float(self.learning_rate), float(self.weight_decay), steps
        )
        smooth = tabular_recipe.smoothed(targets, smoothing) if smoothing else targets
        history = network.fit(
            x, tabular_recipe.repeated(smooth, members), loss=loss, optimizer=optimizer, epochs=epochs,
            batch_size=batch, validation=held, sample_weight=weights, callbacks=callbacks,
            metrics={"error": tabular_recipe.ensemble_error} if held is not None else (),
        )  # fmt: skip
        self.network_ = network
        self.loss_curve_ = history.metrics.get("loss", [])
        self.validation_curve_ = history.metrics.get(MONITOR, [])
        self.n_iter_ = len(history.epochs)

    def _network(self, x: HostArray, outputs: int, last: Sequence[nnx.Layer], seed: int) -> nnx.Network:
        encoder, kind = self.encoder_, self.numeric_embedding
        numbers = x[:, : len(encoder.number_names_)]
        layers = [
            *tabular_recipe.embedding_layers(
                numbers, encoder.cardinalities_, kind, int(self.embedding_size)
            ),
            *tabular_recipe.member_layers(
                self._widths(), outputs, last, members=int(self.members), activation=self.activation,
                dropout=float(self.dropout), embedded=kind != "none" or bool(encoder.cardinalities_),
            ),
        ]  # fmt: skip
        network = nnx.Network(layers, device=self.device, seed=seed, precision=self.precision)
        return network.build(x.shape[1])

    def _mean_outputs(self, X: Any) -> HostArray:
        """Return the mean of the members' outputs, of shape (rows, outputs), in float64."""
        check_is_fitted(self)
        outputs = self.network_.predict(self._encoded(X, reset=False))
        mean: HostArray = outputs.mean(axis=1, dtype=np.float64)
        return mean

    # ------------------------------------------------------------------- files

    def _learnt(self) -> dict[str, Any]:
        """Return what a file stores of a fitted estimator besides network and columns, for JSON."""
        raise NotImplementedError

    def _set_learnt(self, learnt: dict[str, Any]) -> None:
        """Set what `_learnt` returned."""
        raise NotImplementedError

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model with its preprocessing to a safetensors file, whole or not at all.

        `load` reads it; nothing in it is a pickle. Parameters that only `fit` uses are not stored.

        Raises
        ------
        OutputError
            If the file cannot be written.
        ConfigurationError
            If a class is neither a number, a text nor a boolean.
        """
        check_is_fitted(self)
        tabular_files.save(self, path, self._learnt())

    @classmethod
    def load(cls, path: str | os.PathLike[str], device: str | None = None) -> Self:
        """Read a model that `save` wrote; it predicts the same numbers.

        Raises
        ------
        FileFormatError
            If the file is damaged, or holds another kind of model.
        """
        loaded: Self = tabular_files.load(cls, path, device)
        return loaded

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags


def _held_out(
    rows: int, fraction: float, random: Any, labels: HostArray | None
) -> tuple[HostArray, HostArray]:
    """Return rows to train on and rows to hold out, with the same share of each class if there are enough."""
    if labels is not None and np.bincount(labels).min() > 1 and rows * fraction >= labels.max() + 1:
        return held_out(rows, fraction, random, labels)
    return held_out(rows, fraction, random, None)
