"""A regressor for scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import RegressorMixin

import nnx
from nnx.data.rows import HostArray
from nnx.errors import ConfigurationError, DataError, number
from nnx.estimators.array_api import in_kind, library
from nnx.estimators.base import NetworkEstimator
from nnx.estimators.checks import checked_weights, counted
from nnx.estimators.gradients import OutputGradients
from nnx.estimators.hidden import Hidden
from nnx.estimators.validation import Given, checked, given
from nnx.network.endings import last_layers


class NetworkRegressor(RegressorMixin, OutputGradients, NetworkEstimator):  # type: ignore[misc]
    """Predict one or several numbers for each row with a network of dense layers.

    The output is a sigmoid if the loss is a binary cross-entropy, an exponential function if it is
    ``"poisson"``, else linear. ``"pinball"`` and ``"gaussian"`` predict a distribution of each number: its
    quantiles, which do not cross, or its mean and spread.

    Parameters
    ----------
    hidden_layer_sizes : int, str, or sequence of these
        The hidden layers: widths of dense layers, or texts for other layers, as ``nnx train --layers`` takes
        them: ``["conv2d 16 3", "max_pool2d", 64]``. () is for none, which is linear regression.
    image_shape : tuple of int, optional
        Shape of an image, (height, width) or (height, width, channels), if X has flat rows; convolutions need
        it. Without it, rows have the shape that they have in X.
    activation : str, or sequence of str
        Activation of the hidden layers by its name in nnx: ``"relu"``, ``"tanh"``, ``"gelu"``, …; or a name
        for each of them. A text of `hidden_layer_sizes` can name another one (``"64 tanh"``).
    loss : str or Loss
        ``"squared_error"``, ``"absolute_error"``, ``"huber"``, ``"binary_cross_entropy"``, ``"pinball"``,
        ``"poisson"`` or ``"gaussian"``. The cross-entropy needs targets in [0, 1], and ``"poisson"`` targets
        of at least 0. ``"pinball"`` trains the median; for other quantiles, give
        ``nnx.Pinball((0.05, 0.5, 0.95))``.
    optimizer : {"adam", "adamw", "sgd", "rmsprop", "adagrad"} or Optimizer
    learning_rate : float or Schedule, optional
        None uses the optimizer's default.
    dropout : float in [0, 1)
        Dropout rate after each dense hidden layer.
    epochs : int
        Number of passes over the data; with early stopping, the largest number.
    batch_size : int or "auto"
        Rows in a batch, at most all rows; auto is 200.
    early_stopping : bool
        Stop when the loss on validation data (or `monitor`) has not improved for `patience` epochs, and keep
        the parameters of the best epoch. If `epochs` end before that, a `ConvergenceWarning` says so. The
        data are ``X_val`` of `fit`, or else rows that are held out.
    validation_fraction : float in (0, 1)
        Share of the rows that is held out.
    patience : int
        Epochs without improvement before training stops early.
    warm_start : bool
        `fit` continues to train the existing network.
    callbacks : sequence of Callback
    device : str, optional
        As for `nnx.Network`.
    precision : {"float32", "float64", "bfloat16", "auto"}, optional
        As for `nnx.Network`. X is converted to float64 for float64, else to float32. None is float32 if X is
        float32, else float64.
    random_state : int, RandomState or None
        Determines the initial weights, the batches, dropout and the rows held out.
    monitor : str or callable
        What early stopping follows: ``"val_loss"``; ``"loss"``, the loss of training, for which no rows are
        held out; or a metric by its name (``"accuracy"``, see `nnx.metrics`) or as a function
        ``(y_true, y_pred) -> float``, computed on the validation data after each epoch.
    mode : {"auto", "min", "max"}
        Whether a smaller or a larger value of `monitor` is better. ``"auto"`` works for losses, and for the
        metrics of nnx and scikit-learn.
    sparse_updates : bool
        For sparse X: whether a step updates only the first layer's weights of the features that occur in its
        batch (see `nnx.Dense`). This can save time if a batch uses a small part of them. With Adam, RMSprop
        and momentum, the numbers are then not those of dense X.
    residual : bool
        Make a residual block of each hidden layer after the first: y = x + f(LayerNorm(x)), where f is the
        layer with its activation and dropout, and x is projected by a dense layer if the widths differ. A
        `LayerNorm` follows the last block. Deep networks are then easier to train. There must be two hidden
        layers or more.
    schedule : {"constant", "cosine", "one_cycle", "restarts", "plateau"}, optional
        How the learning rate changes: half a cosine; one cycle, of which it is the highest; three cosines; or
        a tenth whenever `monitor` (or the loss) has not improved for half of `patience`.
    accumulate, average : int, float in (0, 1)
        Batches of a step, and the decay of an average of the parameters, as for `nnx.Network.fit`.

    Attributes
    ----------
    network_ : nnx.Network
    loss_curve_, validation_loss_curve_ : list of float
        One value per epoch; the second is empty without validation data.
    validation_curve_ : list of float
        The value of `monitor` on the validation data, one per epoch; the loss if `monitor` is a loss.
    n_iter_ : int
        Number of epochs trained.
    n_features_in_ : int
    feature_names_in_ : array of str
        Names of the columns, if X was a data frame with names.

    Raises
    ------
    ConfigurationError
        By `fit`, if a parameter is invalid.
    TrainingError
        By `fit`, if a loss or gradient is not finite.

    Examples
    --------
    >>> from nnx.estimators import NetworkRegressor
    >>> from sklearn.datasets import load_diabetes
    >>> x, y = load_diabetes(return_X_y=True, scaled=True)
    >>> NetworkRegressor(20, learning_rate=0.05, random_state=0).fit(x, y).score(x, y) > 0.4
    True
    """

    takes_distributions = True
    _trained: nnx.Loss
    _count: int

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        checkpoint: nnx.Checkpoint | None = None,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> NetworkRegressor:
        """Train on X and y.

        Parameters
        ----------
        X : array_like of shape (rows, …), or sparse matrix of shape (rows, features)
            Rows of several axes are flattened before dense layers. A sparse matrix stays sparse.
        y : array_like of shape (rows,) or (rows, outputs)
        sample_weight : array_like of shape (rows,), optional
        checkpoint : Checkpoint, optional
            As for `nnx.Network.fit`. To resume, `random_state` must be the same number in both runs.
        X_val, y_val, sample_weight_val : array_like, optional
            Validation data, with rows like those of X and y. The loss on them, and `monitor`, are computed
            after each epoch; early stopping then follows them, and no rows are held out. To pass them through
            a `Pipeline` or a search, see ``set_fit_request`` (metadata routing of scikit-learn).
        """
        validation = given(X_val, y_val, sample_weight_val)
        return self._fit(X, y, sample_weight, validation, partial=False, checkpoint=checkpoint)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> NetworkRegressor:
        """Train for one epoch on these rows, without early stopping; parameters as for `fit`."""
        return self._fit(X, y, sample_weight, None, partial=True)

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, validation: Given | None = None, **how: Any
    ) -> NetworkRegressor:
        again = self._continues(how["partial"])
        x, y = self._check(X, y=y, multi_output=True, y_numeric=True, reset=not again)
        y = y.toarray() if sparse.issparse(y) else y
        weights, x, y = counted(checked_weights(sample_weight, x), x, y)
        targets, loss = y.reshape(len(y), -1), self._loss()
        outputs = targets.shape[1]
        if again and outputs != (count := getattr(self, "_count", self.network_.outputs)):
            raise DataError(
                f"y has {outputs} outputs, but NetworkRegressor is expecting {count}, as in the previous fit"
            )
        layers = [*Hidden(self, x.shape[1:]).layers(), *last_layers(loss, outputs)]
        part = checked(self, validation, x, lambda y_val: (_columns(y_val, outputs), None))
        self._train(x, targets, weights, layers, loss, again=again, validation=part, **how)
        self._flat, self._count, self._trained = y.ndim == 1, outputs, loss
        return self

    @in_kind
    def predict(
        self, X: Any, *, quantiles: float | Sequence[float] | None = None, return_std: bool = False
    ) -> Any:
        """Return predictions with the shape of y: (rows,) or (rows, outputs).

        After a training with `nnx.Pinball`, they are the quantiles nearest to the median; with
        ``loss="gaussian"``, the means.

        Parameters
        ----------
        X : array_like of shape (rows, …), or sparse matrix
        quantiles : float or sequence of float, optional
            Return the quantiles of these levels: those that `nnx.Pinball` was trained with, or any levels in
            (0, 1) with ``loss="gaussian"``. A sequence adds an axis at the end: (rows, levels) or (rows,
            outputs, levels).
        return_std : bool
            Return (means, standard deviations), with ``loss="gaussian"``.

        Raises
        ------
        ConfigurationError
            If the loss does not train what is asked for.
        """
        X = self._given(X)
        loss, y = getattr(self, "_trained", None) or self._loss(), self._outputs(self.network_, X)
        if quantiles is not None and return_std:
            raise ConfigurationError("predict: give quantiles or return_std=True, not both")
        if quantiles is not None:
            return self._flattened(_quantiles(loss, y, quantiles))
        means = self._flattened(loss.answers(y))
        if not return_std:
            return means
        if not isinstance(loss, nnx.GaussianNLL):
            raise ConfigurationError(f"predict: return_std=True needs loss='gaussian', not {loss!r}")
        return means, self._flattened(_spread(loss, y))

    def _flattened(self, y: HostArray) -> HostArray:
        """Return answers of shape (rows, outputs, …) without the second axis if y had one."""
        return y.reshape(len(y), *y.shape[2:]) if self._flat else y

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _spread(loss: nnx.GaussianNLL, y: HostArray) -> HostArray:
    """Return the standard deviations of shape (rows, outputs)."""
    spread: HostArray = loss.spread(library(y), y)
    return spread.reshape(len(y), -1)


def _quantiles(loss: nnx.Loss, y: HostArray, quantiles: float | Sequence[float]) -> HostArray:
    """Return quantiles of shape (rows, outputs, levels); (rows, outputs) for a single level."""
    several = np.ndim(quantiles) > 0
    levels = [number("predict: a quantile", level, "(0, 1)") for level in np.atleast_1d(quantiles).tolist()]
    y = y.reshape(len(y), -1, loss.width)
    if isinstance(loss, nnx.Pinball):
        missing = [level for level in levels if level not in loss.quantiles]
        if missing:
            raise ConfigurationError(
                f"predict: the quantile {missing[0]!r} is not one of {list(loss.quantiles)}, with which the "
                "network was trained: fit with loss=nnx.Pinball(...) of all that you need"
            )
        found: HostArray = y[:, :, [loss.quantiles.index(level) for level in levels]]
    elif isinstance(loss, nnx.GaussianNLL):
        sigma = _spread(loss, y)
        normal = NormalDist()
        xp = library(y)
        found = xp.stack([y[:, :, 0] + normal.inv_cdf(level) * sigma for level in levels], axis=2)
    else:
        raise ConfigurationError(
            f"predict: quantiles need loss=nnx.Pinball((0.05, 0.5, 0.95)) or loss='gaussian', not {loss!r}"
        )
    return found if several else found[:, :, 0]


def _columns(y_val: Any, outputs: int) -> HostArray:
    """Return targets of validation data, of shape (rows, outputs)."""
    y_val = y_val.toarray() if sparse.issparse(y_val) else y_val
    columns: HostArray = y_val.reshape(len(y_val), -1)
    if columns.shape[1] != outputs:
        raise DataError(f"y_val has {columns.shape[1]} outputs, but y has {outputs}")
    return columns
