"""How much each feature changes an output: gradients with respect to X, and importances from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.sparsefuncs import mean_variance_axis

import nnx
from nnx.data.rows import HostArray
from nnx.errors import ConfigurationError, DataError
from nnx.estimators.array_api import in_kind, library, moved_to_host
from nnx.estimators.checks import places_of

ROWS = 1024  # rows whose gradients are in memory at a time, for sparse X and for importances


def of_rows(network: nnx.Network, X: Any, output: Any) -> HostArray:
    """Return ∂ output / ∂ x for each row of checked X; sparse rows become dense, some at a time.

    `network` is the fitted network or a slice of it, and `output` is that of `nnx.Network.input_gradient`.
    """
    if not sparse.issparse(X):
        return network.input_gradient(X, output)
    found = np.empty(X.shape, network.dtype)
    for start in range(0, X.shape[0], ROWS):
        rows = slice(start, start + ROWS)
        some = output[rows] if isinstance(output, np.ndarray) else output
        found[rows] = network.input_gradient(X[rows].toarray(), some)
    return found


def importances(X: Any, gradient: Callable[[slice], HostArray]) -> HostArray:
    """Return I_j = s_j · mean_i |∂f(x_i)/∂x_ij|, where s_j is the standard deviation of column j of X.

    ``gradient(rows)`` returns the gradients of some rows.
    """
    xp, rows = library(X), X.shape[0]
    parts = (slice(start, start + ROWS) for start in range(0, rows, ROWS))
    total = sum(xp.sum(xp.abs(gradient(part)), axis=0, dtype=np.float64) for part in parts)
    if sparse.issparse(X):
        spread = np.sqrt(mean_variance_axis(X.astype(np.float64), axis=0)[1])
    else:
        spread = xp.std(X, axis=0, dtype=np.float64)
    found: HostArray = spread * (total / rows)
    return found


class OutputGradients:
    """Mixin of estimators that predict numbers: gradients of an output in X."""

    @in_kind
    def input_gradient(self: Any, X: Any, output: int | None = None) -> HostArray:
        """Compute ∂f(x_i)/∂x_i of each row: how fast a prediction changes with each number of the row.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (rows, …)
        output : int, optional
            Which of several outputs of the network; None is the only one. A loss that trains quantiles, or
            mean and spread, has several for each column of y.

        Returns
        -------
        array of the shape of X
            Dense, also for sparse X.
        """
        return of_rows(self.network_, self._given(X), output)

    @in_kind
    def gradient_importances(self: Any, X: Any, output: int | None = None) -> HostArray:
        """Compute the importance of each feature from gradients: I_j = s_j · mean_i |∂f(x_i)/∂x_ij|.

        s_j is the standard deviation of column j of X. So I_j is about how much the prediction changes if
        feature j changes by one standard deviation and the others stay. Nothing is permuted, and the network
        is not trained again. A feature that takes part only in steps or saturated parts has a small gradient
        and can matter all the same; compare with ``sklearn.inspection.permutation_importance``.

        Parameters
        ----------
        X, output
            As for `input_gradient`; the mean is over the rows of X.

        Returns
        -------
        array of the shape of a row
            Not divided by its sum.
        """
        X = self._given(X)
        return importances(X, lambda rows: of_rows(self.network_, X[rows], output))


class ClassGradients:
    """Mixin of classifiers: gradients of a class's logit or probability in X."""

    @in_kind
    def input_gradient(self: Any, X: Any, target: Any = None, of: str = "logit") -> HostArray:
        """Compute the gradient of a class's logit or probability in each row's numbers.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (rows, …)
        target : class, array of classes of shape (rows,), or int, optional
            The class; None is the one that `predict` returns for the row. If rows have several labels, the
            number of a label, which is then needed.
        of : {"logit", "probability"}
            The logit is the input of the sigmoid or softmax, or the output with a hinge loss. For two
            classes, the logit of the first is the negative of the second's.

        Returns
        -------
        array of the shape of X
            Dense, also for sparse X.

        References
        ----------
        Simonyan, Vedaldi and Zisserman (2014), Deep inside convolutional networks, section 3.
        """
        X = self._given(X)
        found: HostArray = self._class_gradient(X, self._places_of_target(X, target), of)
        return found

    @in_kind
    def gradient_importances(self: Any, X: Any, target: Any = None, of: str = "logit") -> HostArray:
        """Compute the importance of each feature from gradients: I_j = s_j · mean_i |∂f(x_i)/∂x_ij|.

        f is the logit or the probability of the class, and s_j the standard deviation of column j of X. See
        `NetworkRegressor.gradient_importances` for what such a number says.

        Parameters
        ----------
        X, target, of
            As for `input_gradient`; the mean is over the rows of X.

        Returns
        -------
        array of the shape of a row
            Not divided by its sum.
        """
        X = self._given(X)
        places = self._places_of_target(X, target)
        return importances(X, lambda rows: self._class_gradient(X[rows], places[rows], of))

    def _class_gradient(self: Any, X: Any, places: HostArray, of: str) -> HostArray:
        if of not in ("logit", "probability"):
            raise ConfigurationError(f"of must be 'logit' or 'probability', not {of!r:.60}")
        decides = self._without_probabilities()
        if decides and of == "probability":
            raise ConfigurationError(f"loss={self.loss!r} trains no probabilities: use of='logit'")
        network = self.network_ if decides or of == "probability" else self.network_[:-1]
        if network.outputs > 1 or self._multilabel:
            return of_rows(network, X, places)
        found = of_rows(network, X, 0)  # of the second of two classes
        signs = library(found).asarray(np.where(places == 1, 1.0, -1.0).astype(network.dtype))
        signed: HostArray = found * signs.reshape(-1, *[1] * (found.ndim - 1))
        return signed

    def _places_of_target(self: Any, X: Any, target: Any) -> HostArray:
        """Return the number of the class of each row, or of the label."""
        rows = X.shape[0]
        if target is None and self._multilabel:
            raise ConfigurationError("rows have several labels: give the number of one, target=0")
        if target is None:
            p = moved_to_host(self._outputs(self.network_, X))
            middle = 0.0 if self._without_probabilities() else 0.5
            chosen: HostArray = (p[:, 0] > middle).astype(int) if p.shape[1] == 1 else p.argmax(axis=1)
            return chosen
        labels = np.asarray(target)
        if labels.shape not in ((), (rows,)):
            raise DataError(f"target must be a class, or one for each of {rows:,} rows, not {target!r:.60}")
        places = places_of(labels.reshape(-1), self.classes_, "target").reshape(labels.shape)
        return np.broadcast_to(places, (rows,))


class CodeGradients:
    """Mixin of estimators with a code: gradients of a number of the code in X."""

    @in_kind
    def input_gradient(self: Any, X: Any, component: int | None = None) -> HostArray:
        """Compute the gradient of a number of the code in each row's numbers.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (rows, …)
        component : int, optional
            Which number of the code; None is the only one.

        Returns
        -------
        array of the shape of X
            Dense, also for sparse X.
        """
        X = self._given(X)
        return of_rows(self.network_[: self.network_.encoder_length], X, component)

    @in_kind
    def gradient_importances(self: Any, X: Any, component: int | None = None) -> HostArray:
        """Compute the importance of each feature for a number of the code: s_j · mean_i |∂z(x_i)/∂x_ij|.

        s_j is the standard deviation of column j of X. Parameters as for `input_gradient`.

        Returns
        -------
        array of the shape of a row
            Not divided by its sum.
        """
        X, encoder = self._given(X), self.network_[: self.network_.encoder_length]
        return importances(X, lambda rows: of_rows(encoder, X[rows], component))
