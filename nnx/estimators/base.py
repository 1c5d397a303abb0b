"""The common base of the estimators: parameters of a network and of its training, and the training."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import (
    _check_feature_names,
    _check_n_features,
    _check_y,
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

import nnx
from nnx import losses, optimizers
from nnx.data.rows import HostArray
from nnx.data.samples import check_axes
from nnx.errors import ConfigurationError, DataError
from nnx.estimators import rates
from nnx.estimators.array_api import SUPPORTED, adopted, like, stays
from nnx.estimators.checks import check_parameters, held_out, on_host, unknown
from nnx.estimators.sparse_data import trained_on
from nnx.estimators.validation import TRAINING, Monitor, Part, monitored
from nnx.metrics import Metric
from nnx.schedules import TRAININGS
from nnx.training.checks import check_callbacks

NOTHING: Any = object()  # stands for no y, where None is a wrong one
LARGEST_BATCH = 200  # the value of batch_size="auto" for more rows than this, as in scikit-learn

LOSSES = {kind.record.estimators: kind for kind in losses.KINDS if kind.record.estimators}


class NetworkEstimator(BaseEstimator):  # type: ignore[misc]
    """Base class of the estimators; a subclass prepares targets and layers, and defines the outputs."""

    network_: nnx.Network
    _followed: str

    def __init__(
        self,
        hidden_layer_sizes: int | str | Sequence[int | str] = (100,),
        *,
        image_shape: Sequence[int] | None = None,
        activation: str | Sequence[str] = "relu",
        loss: str | nnx.Loss = "squared_error",
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
        sparse_updates: bool = False,
        residual: bool = False,
        schedule: str | None = None,
        accumulate: int = 1,
        average: float | None = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.image_shape = image_shape
        self.activation = activation
        self.loss = loss
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.dropout = dropout
        self.epochs = epochs
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.monitor = monitor
        self.mode = mode
        self.sparse_updates = sparse_updates
        self.residual = residual
        self.schedule = schedule
        self.accumulate = accumulate
        self.average = average

    # ------------------------------------------------------------- the network

    def _loss(self, *others: str) -> nnx.Loss:
        """Return the loss; an error also lists `others`, names that the subclass accepts."""
        if isinstance(self.loss, nnx.Loss):
            if getattr(self.loss, "from_logits", False):
                raise ConfigurationError(
                    f"loss={self.loss!r}: the estimators add the loss's activation to the network "
                    "themselves: remove from_logits"
                )
            return self._fitting(self.loss)
        if not isinstance(self.loss, str) or self.loss not in LOSSES:
            raise unknown("loss", self.loss, [*others, *LOSSES])
        return self._fitting(LOSSES[self.loss]())

    takes_distributions: ClassVar[bool] = False  # losses of quantiles, rates, or a mean with its spread
    takes_decisions: ClassVar[bool] = False  # losses of decision values

    def _fitting(self, loss: nnx.Loss) -> nnx.Loss:
        """Return the loss, if it fits what this estimator predicts.

        Raises
        ------
        ConfigurationError
            If it does not.
        """
        for_numbers = loss.per_target or isinstance(loss, nnx.Poisson)
        if (for_numbers and not self.takes_distributions) or (loss.decides and not self.takes_decisions):
            other = "NetworkRegressor" if for_numbers else "NetworkClassifier"
            raise ConfigurationError(
                f"loss={self.loss!r} does not fit {type(self).__name__}: it is a loss for {other}"
            )
        return loss

    def _optimizer(self) -> nnx.Optimizer:
        if isinstance(self.optimizer, nnx.Optimizer):
            if self.learning_rate is not None:
                raise ConfigurationError(
                    f"learning_rate={self.learning_rate!r} is given, but {self.optimizer!r} has its own: "
                    "set learning_rate=None"
                )
            return self.optimizer
        if not isinstance(self.optimizer, str) or self.optimizer not in optimizers.NAMES:
            raise unknown("optimizer", self.optimizer, optimizers.NAMES)
        given = {} if self.learning_rate is None else {"learning_rate": self.learning_rate}
        return optimizers.get(self.optimizer, **given)

    def _rows_of_a_batch(self, rows: int) -> int:
        if self.batch_size == "auto":
            return min(LARGEST_BATCH, rows)
        return min(int(self.batch_size), rows)

    def _described(self) -> str:
        """Return the parameters that cannot change once the network exists, as text."""
        fixed = (
            "n_components", "hidden_layer_sizes", "image_shape", "activation", "dropout", "loss", "device",
            "precision", "sparse_updates", "residual",
        )  # fmt: skip
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in fixed if hasattr(self, name))

    # -------------------------------------------------------------------- data

    def _continues(self, partial: bool) -> bool:
        """Return whether a fit continues to train the existing network.

        Raises
        ------
        ConfigurationError
            If a parameter is invalid, or the parameters now describe a different network.
        """
        check_parameters(self)
        rates.check(self)
        if not (hasattr(self, "network_") and (partial or self.warm_start)):
            return False
        if self._described() != self._made_of:
            raise ConfigurationError(
                f"{type(self).__name__}: a network made with {self._made_of} cannot continue with "
                f"{self._described()}: fit a clone, or set warm_start=False"
            )
        return True

    def _check(self, X: Any, **options: Any) -> Any:
        """Check data with scikit-learn; without `precision`, all types but float32 become float64."""
        if "y" in options:
            options["y"] = on_host(options["y"], "y")
        again = not options.get("reset", True)
        there = adopted(X, self.network_.backend if again else self.device)
        if stays(there):
            return self._check_there(there, X, **options)
        arrow = getattr(getattr(X, "schema", None), "types", ())
        columns = {str(dtype).lower() for dtype in getattr(X, "dtypes", arrow)}  # pandas, Polars, Arrow
        dtype: Any = np.float32 if columns in ({"float32"}, {"float"}) else [np.float64, np.float32]
        if self.precision is not None:
            dtype = np.float64 if self.precision == "float64" else np.float32
        if not again:
            self._like = like(X)
        else:
            self._check_axes(X)
        checked = validate_data(
            self, on_host(X, "X"), accept_sparse="csr", dtype=dtype, allow_nd=True, **options
        )
        if again:
            self._check_shape(checked[0] if "y" in options else checked)
        return checked

    def _check_there(
        self, X: Any, given: Any, *, reset: bool = True, y: Any = NOTHING, **options: Any
    ) -> Any:
        """Do `_check` for X of CuPy, on its GPU; `fit` of the network checks the values of X.

        `given` is X as the caller has it, perhaps an array of another library.
        """
        dtype = self.network_.dtype if not reset else self._dtype(X)
        check_axes(X, "X", dtype)
        if reset:
            self._like = like(given)
        _check_feature_names(self, X, reset=reset)
        _check_n_features(self, X, reset=reset)
        if not reset:
            self._check_shape(X)
        X = X if X.dtype == dtype else X.astype(dtype)
        if y is NOTHING:
            return X
        if y is None:
            raise DataError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        multi_output, numeric = options.get("multi_output", False), options.get("y_numeric", False)
        y = _check_y(y, multi_output=multi_output, y_numeric=numeric, estimator=self)
        check_consistent_length(X, y)
        return X, y

    def _dtype(self, X: Any) -> Any:
        """Return the type to convert X of CuPy to."""
        if self.precision is None:
            return np.dtype(np.float32 if X.dtype == np.float32 else np.float64)
        return np.dtype(np.float64 if self.precision == "float64" else np.float32)

    def _given(self, X: Any) -> Any:
        """Check data for the fitted network, and convert it to the network's dtype."""
        check_is_fitted(self)
        there = adopted(X, self.network_.backend)
        if stays(there):
            return self._check_there(there, X, reset=False)
        self._check_axes(X)
        X = validate_data(
            self, on_host(X, "X"), accept_sparse="csr", dtype=self.network_.dtype, allow_nd=True, reset=False
        )
        self._check_shape(X)
        return X

    def _check_axes(self, X: Any) -> None:
        """Refuse images of another shape, and flat rows for images, before scikit-learn compares first axes.

        Its error would call the height of an image its features.
        """
        axes, given = 1 + len(self.network_.input_shape or ()), getattr(X, "ndim", 0)
        if given >= 3 or (given == 2 and axes >= 3):
            self._check_shape(X)

    def _check_shape(self, X: Any) -> None:
        """Refuse rows of another shape than in the first fit; scikit-learn compares only the first axis.

        Raises
        ------
        DataError
            If they have another shape.
        """
        if X.shape[1:] != self.network_.input_shape:
            raise DataError(
                f"X has rows of shape {X.shape[1:]}, but {type(self).__name__} is expecting rows of shape "
                f"{self.network_.input_shape}, as in the previous fit"
            )

    def _outputs(self, network: nnx.Network, X: Any) -> HostArray:
        """Return the outputs of a network (the fitted network or a slice of it) for checked data."""
        return network.predict(X)

    # ---------------------------------------------------------------- training

    def _train(
        self,
        x: Any,
        y: HostArray | None,
        weights: Any,
        layers: list[nnx.Layer],
        loss: nnx.Loss,
        *,
        again: bool,
        partial: bool,
        classes: HostArray | None = None,
        validation: Part | None = None,
        checkpoint: nnx.Checkpoint | None = None,
    ) -> None:
        """Train on checked data, and store the network and the history.

        Parameters
        ----------
        y : array, optional
            None uses x as targets.
        layers : list of Layer
            Layers of a new network.
        again : bool
            Continue to train the existing network; `layers` are then not used.
        partial : bool
            Train for one epoch on all rows.
        classes : array of shape (rows,), optional
            The rows held out contain the same share of each class.
        validation : Part, optional
            Checked validation data; without them, early stopping holds out rows.
        checkpoint : Checkpoint, optional
            From `fit`. The estimator has no such parameter: `clone` would give all copies the same folder.
        """
        random = check_random_state(self.random_state)
        if again:
            network = self.network_
        else:
            seed = int(random.randint(np.iinfo(np.int32).max))
            dtype = x.dtype if self.precision is None else None
            network = nnx.Network(
                layers, device=self.device, dtype=dtype, seed=seed, precision=self.precision
            )
        callbacks, followed = check_callbacks(self.callbacks), monitored(self.monitor, self.mode)
        given = Part(trained_on(x, None if again else layers, self.sparse_updates), y, weights)
        stopping = None
        if self.early_stopping and not partial:
            if validation is None and followed.name != TRAINING:
                rows, rest = held_out(given.x.shape[0], float(self.validation_fraction), random, classes)
                given, validation = given.rows(rows), given.rows(rest)
            stopping = nnx.EarlyStopping(followed.name, patience=self.patience, mode=self.mode)
            callbacks.insert(0, stopping)  # first, so that the other callbacks know which epoch is the last
        callbacks += [] if partial else rates.lowering(self, followed, validation is not None)
        optimizer = self._kept_optimizer(again, partial)
        if optimizer is None:
            optimizer = rates.spread(self, self._optimizer(), given.x.shape[0])
        else:
            rates.check_not_ended(self, network, optimizer)
        history = network.fit(
            given.x, given.targets, loss=loss, optimizer=optimizer, epochs=1 if partial else self.epochs,
            batch_size=self._rows_of_a_batch(given.x.shape[0]),
            validation=validation and (validation.x, validation.targets, validation.weights),
            metrics=followed.metrics if validation else (),
            sample_weight=given.weights, callbacks=callbacks, checkpoint=checkpoint,
            accumulate=self.accumulate, average=self.average,
        )  # fmt: skip
        self._keep(network, optimizer, history, again, followed)
        if stopping is not None and len(history.epochs) == self.epochs and stopping.waited < self.patience:
            warnings.warn(
                f"{type(self).__name__}: the {followed.label} still improved when the last of epochs="
                f"{self.epochs} ended: increase epochs, or set early_stopping=False",
                ConvergenceWarning,
                stacklevel=4,  # the line that called `fit`
            )

    def _keep(
        self,
        network: nnx.Network,
        optimizer: nnx.Optimizer,
        history: nnx.History,
        again: bool,
        followed: Monitor,
    ) -> None:
        if not again:
            self.loss_curve_: list[float] = []
            self.validation_loss_curve_: list[float] = []
        if not again or self._followed != followed.on_validation:
            self.validation_curve_: list[float] = []
        self.network_ = network
        self.loss_curve_ += history.metrics.get("loss", [])  # missing if a callback stopped training at once
        self.validation_loss_curve_ += history.metrics.get("val_loss", [])
        self.validation_curve_ += history.metrics.get(followed.on_validation, [])
        self._followed = followed.on_validation
        self.n_iter_ = len(self.loss_curve_)
        self._made_of = self._described()
        self._optimized_by = (self._asked(), optimizer)

    def _asked(self) -> tuple[Any, ...]:
        return self.optimizer, self.learning_rate, self.schedule

    def _kept_optimizer(self, again: bool, partial: bool) -> nnx.Optimizer | None:
        """Return the optimizer of the fit before, if this one continues with it."""
        anew = self.schedule in TRAININGS and not partial
        if not again or anew or self._optimized_by[0] != self._asked():
            return None
        kept: nnx.Optimizer = self._optimized_by[1]
        return kept

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.array_api_support = SUPPORTED
        tags.input_tags.three_d_array = True
        return tags
