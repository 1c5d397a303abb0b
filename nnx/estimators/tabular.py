"""A classifier for tables as they are: numbers, categories, dates and missing cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length

import nnx
from nnx.data.rows import HostArray
from nnx.errors import ConfigurationError, DataError, number
from nnx.estimators.checks import class_factors, counted, places_of
from nnx.estimators.hidden import class_layers
from nnx.estimators.tabular_base import TabularEstimator
from nnx.estimators.tabular_recipe import target_columns


class TabularClassifier(ClassifierMixin, TabularEstimator):  # type: ignore[misc]
    """Predict a class for each row of a table, with a packed ensemble of networks.

    X is a table as it is: a DataFrame of pandas or polars, an Arrow table, a mapping of names to columns, or
    an array. Kinds of columns are guessed (`nnx.tables.TableEncoder`): numbers are scaled and embedded,
    categories become vectors, missing cells are allowed. Several members share most of their weights and are
    trained at once; the answer is the mean of their probabilities.

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
    learning_rate : float
        The largest rate. It rises in the first 2 % of the steps, then falls to 0 as a cosine. The scales of
        the features learn six times as fast.
    weight_decay : float
        Decay of the weights of the hidden layers.
    label_smoothing : float in [0, 1)
        The targets are 1 − ε + ε/classes for the class of a row, and ε/classes for the others.
    epochs : int or "auto"
        Number of passes over the data. Auto is about 3000 steps, and at least 24 and at most 200 epochs.
    batch_size : int or "auto"
        Rows in a batch, at most all rows; auto is 256.
    early_stopping : bool
        Hold out some rows, keep the parameters of the epoch with the least error on them, and stop after
        `patience` epochs without a better one. False trains on all rows for all epochs.
    validation_fraction : float in (0, 1)
        Share of the rows that is held out.
    patience : int
        Epochs without improvement before training stops early.
    class_weight : dict or "balanced", optional
        Factor of each class; "balanced" is rows / (classes · rows of the class). Sample weights are
        multiplied.
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
        Its output has the shape (rows, members, outputs).
    classes_ : array of shape (classes,)
    loss_curve_, validation_curve_ : list of float
        One value for each epoch: the members' mean loss, and the squared error of the ensemble's
        probabilities (the Brier score) on the rows held out.
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
    >>> from nnx.estimators import TabularClassifier
    >>> table = {"size": [1.0, 2.0, None, 4.0] * 25, "colour": ["red", "blue"] * 50}
    >>> bought = ["yes", "no", "yes", "no"] * 25
    >>> model = TabularClassifier(16, members=2, epochs=20, random_state=0).fit(table, bought)
    >>> model.predict({"size": [3.0], "colour": ["red"]}).tolist()
    ['yes']
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
        learning_rate: float = 0.005,
        weight_decay: float = 0.02,
        label_smoothing: float = 0.1,
        epochs: int | str = "auto",
        batch_size: int | str = "auto",
        early_stopping: bool = True,
        validation_fraction: float = 0.15,
        patience: int = 40,
        class_weight: dict[Any, float] | str | None = None,
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
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight

    classes_: HostArray

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None
    ) -> TabularClassifier:
        """Train on a table.

        Parameters
        ----------
        X : table of shape (rows, columns)
        y : array_like of shape (rows,)
        sample_weight : array_like of shape (rows,), optional
            Rows of weight 0 are left out wholly, also when classes and columns are determined: they and
            their y may hold anything.
        X_val, y_val : optional
            Rows that decide which epoch is the best, instead of rows held out of X.
        """
        self._check_parameters()
        smoothing = number("label_smoothing", self.label_smoothing, "[0, 1)")
        weights = self._counts(y, sample_weight)
        y = column_or_1d(self._targets(y, weights), warn=True)
        check_classification_targets(y)
        x, weights = self._rows(X, y, weights)
        classes = np.unique(y)
        if len(classes) == 1:
            raise DataError(f"y holds only one class, {classes.item()!r}: a classifier needs two or more")
        labels = places_of(y, classes)
        if self.class_weight is not None:
            factors = class_factors(self.class_weight, labels, classes, weights)
            weights = factors if weights is None else weights * factors
            weights, x, labels = counted(weights, x, labels)
        validation = None
        if self._has_validation(X_val, y_val):
            given = places_of(column_or_1d(self._targets(y_val), warn=True), classes, "y_val")
            validation = self._encoded(X_val, reset=False), target_columns(given, len(classes))
            check_consistent_length(*validation)
        loss = nnx.BinaryCrossEntropy() if len(classes) == 2 else nnx.CategoricalCrossEntropy()
        self._train(
            x, target_columns(labels, len(classes)), weights, loss, class_layers(len(classes), False)[1:],
            labels=labels, validation=validation, smoothing=smoothing,
        )  # fmt: skip
        self.classes_ = classes
        return self

    def predict_proba(self, X: Any) -> HostArray:
        """Return probabilities of shape (rows, classes), in the order of ``classes_``."""
        p = self._mean_outputs(X)
        return np.hstack([1.0 - p, p]) if len(self.classes_) == 2 else p

    def predict(self, X: Any) -> HostArray:
        """Return the most likely class of each row."""
        p = self.predict_proba(X)  # first, as it refuses an estimator that is not fitted
        found: HostArray = self.classes_[np.argmax(p, axis=1)]
        return found

    def _learnt(self) -> dict[str, Any]:
        classes = self.classes_.tolist()
        if not all(isinstance(one, str | int | float) for one in classes):
            raise ConfigurationError(
                f"a file stores classes that are numbers, texts or booleans, not {classes[0]!r:.40}"
            )
        kind = self.classes_.dtype.kind
        return {"classes": classes, "class_type": "object" if kind == "O" else self.classes_.dtype.str}

    def _set_learnt(self, learnt: dict[str, Any]) -> None:
        if np.dtype(learnt["class_type"]).kind not in "OUiufb" or len(learnt["classes"]) < 2:
            raise ValueError("classes of an unknown type")
        self.classes_ = np.array(learnt["classes"], dtype=learnt["class_type"])
