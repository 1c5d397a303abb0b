"""Prediction intervals that contain a new target with a given probability: split conformal prediction."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, RegressorMixin, clone
from sklearn.model_selection import train_test_split
from sklearn.utils import _safe_indexing, check_random_state, column_or_1d, get_tags, indexable
from sklearn.utils.validation import (
    _check_feature_names,
    _check_method_params,
    _check_n_features,
    _check_y,
    check_consistent_length,
    check_is_fitted,
)

import nnx
from nnx.backends.foreign import refuse_masked
from nnx.data.rows import HostArray
from nnx.errors import ConfigurationError, DataError, number
from nnx.estimators.array_api import hosted
from nnx.estimators.regressor import NetworkRegressor

METHODS = ("auto", "residual", "quantile")


class ConformalRegressor(MetaEstimatorMixin, RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Add prediction intervals to a regressor: they contain a new target with at least a given probability.

    `fit` trains a copy of the regressor on one part of the rows, and scores its errors on the other part, the
    calibration rows. The width of the intervals is the k-th smallest score, k = ⌈(n + 1) confidence⌉ of n
    calibration rows. Then the probability that the interval contains the target of a new row lies between
    confidence and confidence + 1 / (n + 1), whatever the regressor is, if calibration rows and new rows come
    from the same distribution in any order. It is a mean over all rows: for some rows it can be smaller.

    With the method ``"residual"``, the score of a row is |y − p|, and all intervals are equally wide. With
    ``"quantile"``, the regressor predicts a lower and an upper quantile l and u, and the score is
    max(l − y, y − u); the intervals are [l − s, u + s], wider where the regressor is less certain.

    Parameters
    ----------
    estimator : regressor, optional
        Any regressor of scikit-learn's form; None is `NetworkRegressor()`. For ``"quantile"``, a
        `NetworkRegressor` with ``loss=nnx.Pinball((0.05, 0.5, 0.95))`` (the smallest and the largest level
        are used) or ``loss="gaussian"``.
    confidence : float in (0, 1)
        The probability that an interval contains the target.
    method : {"auto", "residual", "quantile"}
        Auto is quantile if the regressor predicts quantiles, else residual.
    calibration_fraction : float in (0, 1)
        Share of the rows for calibration.
    random_state : int, RandomState or None
        Determines which rows are for calibration, and the regressor's ``random_state`` if that is None.

    Attributes
    ----------
    estimator_ : regressor
        The trained copy.
    width_ : float
        What the method adds on each side; infinite if there are too few calibration rows.
    calibration_rows_ : int
    n_features_in_ : int
    feature_names_in_ : array of str
        Names of the columns, if X was a data frame with names.

    References
    ----------
    Lei et al. (2018), Distribution-free predictive inference for regression, algorithm 2.
    Romano, Patterson and Candès (2019), Conformalized quantile regression, algorithm 1.

    Examples
    --------
    >>> import nnx
    >>> from nnx.estimators import ConformalRegressor, NetworkRegressor
    >>> from sklearn.datasets import load_diabetes
    >>> x, y = load_diabetes(return_X_y=True, scaled=True)
    >>> network = NetworkRegressor(20, learning_rate=0.05, random_state=0)
    >>> intervals = ConformalRegressor(network, confidence=0.8, random_state=0).fit(x[:300], y[:300])
    >>> intervals.predict_interval(x[300:]).shape
    (142, 2)
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        confidence: float = 0.9,
        method: str = "auto",
        calibration_fraction: float = 0.25,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.confidence = confidence
        self.method = method
        self.calibration_fraction = calibration_fraction
        self.random_state = random_state

    def fit(self, X: Any, y: Any, **fit_params: Any) -> ConformalRegressor:
        """Train the regressor on some rows, and calibrate the intervals on the others.

        Parameters
        ----------
        X : array_like or data frame
            As the regressor takes it.
        y : array_like of shape (rows,)
        **fit_params
            For the regressor's `fit`. Of an argument with a value for each row, such as ``sample_weight``, it
            gets the values of its rows. Weights do not change the calibration: all its rows count alike.

        Raises
        ------
        ConfigurationError
            If a parameter is invalid, or the method does not fit the regressor.
        """
        confidence = number("confidence", self.confidence, "(0, 1)")
        share = number("calibration_fraction", self.calibration_fraction, "(0, 1)")
        estimator = NetworkRegressor() if self.estimator is None else self.estimator
        self._levels = _levels_of(estimator, self.method, confidence)
        _check_feature_names(self, X, reset=True)
        X, y = hosted(X), hosted(y)
        refuse_masked(X, "X")  # the regressor would count rows within its part
        refuse_masked(y, "y")
        y = column_or_1d(_check_y(y, y_numeric=True, estimator=self), warn=True)
        X = indexable(X if hasattr(X, "shape") else np.asarray(X))[0]
        check_consistent_length(X, y)
        random = check_random_state(self.random_state)
        train, rest = train_test_split(np.arange(len(y)), test_size=share, random_state=random)
        self.estimator_ = _seeded(clone(estimator), random)
        fit_params = {name: hosted(value) for name, value in fit_params.items()}
        for name, value in fit_params.items():  # as many as the rows to train on would fit, but to wrong rows
            if name.endswith("sample_weight") and np.ndim(value):
                check_consistent_length(X, value)
                refuse_masked(value, name)
        own = _check_method_params(X, fit_params, indices=train)
        self.estimator_.fit(_safe_indexing(X, train), y[train], **own)
        _check_n_features(self, X, reset=True)
        scores = np.sort(self._scores(_safe_indexing(X, rest), y[rest]))
        self.calibration_rows_ = len(scores)
        place = math.ceil((len(scores) + 1) * confidence)
        self.width_ = float(scores[place - 1]) if place <= len(scores) else math.inf
        return self

    def _scores(self, X: Any, y: HostArray) -> HostArray:
        """Return how far targets are outside the interval before calibration; inside, it is negative."""
        low, high = self._uncalibrated(X)
        scores: HostArray = np.maximum(low - y, y - high)
        return scores

    def _uncalibrated(self, X: Any) -> tuple[HostArray, HostArray]:
        """Return the ends of the intervals before calibration; both are the prediction without quantiles."""
        if self._levels is None:
            p = np.asarray(self.estimator_.predict(X), np.float64).reshape(-1)
            return p, p
        ends = np.asarray(self.estimator_.predict(X, quantiles=self._levels), np.float64)
        return ends[:, 0], ends[:, 1]

    def predict(self, X: Any) -> HostArray:
        """Return the regressor's predictions, of shape (rows,)."""
        check_is_fitted(self)
        _check_feature_names(self, X, reset=False)
        p: HostArray = self.estimator_.predict(hosted(X))
        return p

    def predict_interval(self, X: Any) -> HostArray:
        """Return the lower and the upper end of each interval, of shape (rows, 2).

        Raises
        ------
        DataError
            If there are too few calibration rows for the confidence: intervals would be infinite.
        """
        check_is_fitted(self)
        _check_feature_names(self, X, reset=False)
        if math.isinf(self.width_):
            needed = math.ceil(self.confidence / (1.0 - self.confidence))
            raise DataError(
                f"confidence={self.confidence!r} needs {needed} calibration rows or more, but there are "
                f"{self.calibration_rows_}: give more rows, a larger calibration_fraction, or a smaller "
                "confidence"
            )
        low, high = self._uncalibrated(hosted(X))
        ends = np.stack([low - self.width_, high + self.width_], axis=1)
        # with quantiles that are too wide, the width is negative, and could exchange narrow ends
        return np.where((ends[:, 0] > ends[:, 1])[:, None], ends.mean(axis=1, keepdims=True), ends)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        inner = get_tags(NetworkRegressor() if self.estimator is None else self.estimator)
        tags.input_tags.sparse = inner.input_tags.sparse
        tags.input_tags.allow_nan = inner.input_tags.allow_nan
        return tags


def _seeded(estimator: Any, random: Any) -> Any:
    """Set each ``random_state`` that is None, also of estimators inside."""
    parameters = estimator.get_params(deep=True)
    names = [name for name in parameters if name == "random_state" or name.endswith("__random_state")]
    open_ones = sorted(name for name in names if parameters[name] is None)
    return estimator.set_params(**{name: random.randint(np.iinfo(np.int32).max) for name in open_ones})


def _levels_of(estimator: Any, method: str, confidence: float) -> tuple[float, float] | None:
    """Return the levels of the quantiles that the method uses; None for residuals.

    Raises
    ------
    ConfigurationError
        If the method is unknown, or needs quantiles that the regressor does not predict.
    """
    if method not in METHODS:
        raise ConfigurationError(f"method must be auto, residual or quantile, not {method!r}")
    last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    loss = getattr(last, "loss", None) if isinstance(last, NetworkRegressor) else None
    if method == "residual":
        return None
    if isinstance(loss, nnx.Pinball) and loss.width > 1:
        return loss.quantiles[0], loss.quantiles[-1]
    if isinstance(loss, nnx.GaussianNLL) or loss == "gaussian":
        return (1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0
    if method == "quantile":
        raise ConfigurationError(
            "method='quantile' needs a NetworkRegressor with loss=nnx.Pinball((0.05, 0.5, 0.95)) or "
            f"loss='gaussian', not {estimator!r:.200}"
        )
    return None
