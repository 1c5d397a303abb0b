"""A classifier for scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import ClassifierMixin
from sklearn.utils import column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted

import nnx
from nnx.data.rows import HostArray
from nnx.errors import ConfigurationError, DataError
from nnx.estimators.array_api import in_kind, library, likeliest, log, with_complement
from nnx.estimators.base import NetworkEstimator
from nnx.estimators.checks import (
    checked_weights,
    class_factors,
    class_targets,
    counted,
    factors_of_labels,
    places_of,
)
from nnx.estimators.gradients import ClassGradients
from nnx.estimators.hidden import Hidden, class_layers
from nnx.estimators.regressor import NetworkRegressor as NetworkRegressor  # for pickles of version 0.1
from nnx.estimators.validation import Given, checked, given
from nnx.metrics import Metric


def _has_probabilities(classifier: NetworkClassifier) -> bool:
    """Return whether `predict_proba` exists: not with a hinge loss."""
    if classifier._without_probabilities():
        raise AttributeError(
            f"loss={classifier.loss!r} trains no probabilities: use decision_function, or "
            "loss='cross_entropy'"
        )
    return True


class NetworkClassifier(ClassifierMixin, ClassGradients, NetworkEstimator):  # type: ignore[misc]
    """Classify rows with a network of dense layers that returns a probability for each class.

    Two classes use one sigmoid output, more classes a softmax. If rows can have several labels (y is a matrix
    of 0 and 1), each label has a sigmoid.

    Parameters
    ----------
    hidden_layer_sizes : int, str, or sequence of these
        The hidden layers: widths of dense layers, or texts for other layers, as ``nnx train --layers`` takes
        them: ``["conv2d 16 3", "max_pool2d", 64]``. () is for none, which is logistic regression.
    image_shape : tuple of int, optional
        Shape of an image, (height, width) or (height, width, channels), if X has flat rows; convolutions need
        it. Without it, rows have the shape that they have in X.
    activation : str, or sequence of str
        Activation of the hidden layers by its name in nnx: ``"relu"``, ``"tanh"``, ``"gelu"``, …; or a name
        for each of them. A text of `hidden_layer_sizes` can name another one (``"64 tanh"``).
    loss : str or Loss
        Loss of the probabilities: ``"cross_entropy"``, ``"focal"``, ``"squared_error"``,
        ``"absolute_error"`` or ``"huber"``; or ``"hinge"`` or ``"squared_hinge"``. With the hinge losses, the
        network has no sigmoid or softmax, and there is no `predict_proba`. For label smoothing, give
        ``nnx.CategoricalCrossEntropy(label_smoothing=0.1)``, or ``nnx.BinaryCrossEntropy`` for two classes.
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
        data are ``X_val`` of `fit`, or else some rows of each class that are held out.
    validation_fraction : float in (0, 1)
        Share of the rows that is held out.
    patience : int
        Epochs without improvement before training stops early.
    class_weight : dict, "balanced", list of dict or None
        Factors for the sample weights, by class. "balanced" means W / (classes · W_k), where W is the weight
        of all rows and W_k the weight of the class's rows (1 per row without sample weights). If rows can
        have several labels, a list holds a dict for each label, and the factors of a row are multiplied.
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
    classes_ : array of shape (classes,)
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
    >>> from nnx.estimators import NetworkClassifier
    >>> from sklearn.datasets import load_iris
    >>> x, y = load_iris(return_X_y=True)
    >>> NetworkClassifier(10, learning_rate=0.01, random_state=0).fit(x, y).score(x, y) > 0.9
    True
    """

    def __init__(
        self,
        hidden_layer_sizes: int | str | Sequence[int | str] = (100,),
        *,
        image_shape: Sequence[int] | None = None,
        activation: str | Sequence[str] = "relu",
        loss: str | nnx.Loss = "cross_entropy",
        optimizer: str | nnx.Optimizer = "adam",
        learning_rate: float | nnx.Schedule | None = None,
        dropout: float = 0.0,
        epochs: int = 200,
        batch_size: int | str = "auto",
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
        class_weight: dict[Any, float] | str | None = None,
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
        super().__init__(
            hidden_layer_sizes, image_shape=image_shape, activation=activation, loss=loss,
            optimizer=optimizer, learning_rate=learning_rate, dropout=dropout, epochs=epochs,
            batch_size=batch_size, early_stopping=early_stopping, validation_fraction=validation_fraction,
            patience=patience, warm_start=warm_start, callbacks=callbacks, device=device,
            precision=precision, random_state=random_state, monitor=monitor, mode=mode,
            sparse_updates=sparse_updates, residual=residual,
            schedule=schedule, accumulate=accumulate, average=average,
        )  # fmt: skip
        self.class_weight = class_weight

    takes_decisions = True
    classes_: HostArray
    _multilabel: bool

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
    ) -> NetworkClassifier:
        """Train on X and y.

        Parameters
        ----------
        X : array_like of shape (rows, …), or sparse matrix of shape (rows, features)
            Rows of several axes are flattened before dense layers. A sparse matrix stays sparse.
        y : array_like of shape (rows,), or of 0 and 1 of shape (rows, labels)
        sample_weight : array_like of shape (rows,), optional
            Rows of weight 0 are left out, also when the classes are determined.
        checkpoint : Checkpoint, optional
            As for `nnx.Network.fit`. To resume, `random_state` must be the same number in both runs.
        X_val, y_val, sample_weight_val : array_like, optional
            Validation data, with rows like those of X and y. The loss on them, and `monitor`, are computed
            after each epoch; early stopping then follows them, and no rows are held out. To pass them through
            a `Pipeline` or a search, see ``set_fit_request`` (metadata routing of scikit-learn).
            ``class_weight`` counts for them as for X.
        """
        validation = given(X_val, y_val, sample_weight_val)
        return self._fit(X, y, None, sample_weight, validation, partial=False, checkpoint=checkpoint)

    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> NetworkClassifier:
        """Train for one epoch on these rows, without early stopping.

        Parameters
        ----------
        X, y, sample_weight : array_like
            As for `fit`.
        classes : array_like of shape (classes,), optional
            All classes of all calls. The first call needs them unless its y contains all classes. Later calls
            may omit them, but cannot change them.

        Raises
        ------
        DataError
            If the classes, the number of labels or the number of features differ from the first call.
        """
        if isinstance(self.class_weight, str):
            raise ConfigurationError(
                f"class_weight={self.class_weight!r} needs all data, but partial_fit sees only a part: use "
                "a dict, for example from sklearn.utils.class_weight.compute_class_weight"
            )
        return self._fit(X, y, classes, sample_weight, None, partial=True)

    def _fit(
        self, X: Any, y: Any, classes: Any, sample_weight: Any, validation: Given | None = None, **how: Any
    ) -> NetworkClassifier:
        again = self._continues(how["partial"])
        x, y = self._check(X, y=y, multi_output=True, reset=not again)
        check_classification_targets(y)
        weights, x, y = counted(checked_weights(sample_weight, x), x, y)
        multilabel = type_of_target(y).startswith("multilabel")
        if again and multilabel != self._multilabel:
            expected = "several labels" if self._multilabel else "one label"
            raise DataError(f"y of shape {y.shape} does not fit: in the first fit, rows had {expected} each")
        y, known = self._known(y, classes, multilabel, again)
        labels = None if multilabel else places_of(y, known)
        loss = self._loss_of(multilabel or len(known) == 2)
        targets = y if labels is None else class_targets(labels, len(known), loss)
        seen = weights, y, labels

        def of_validation(y_val: Any) -> tuple[HostArray, HostArray | None]:
            return self._targets_of_validation(y_val, seen, known, loss)

        part = checked(self, validation, x, of_validation)
        if self.class_weight is not None:
            factors = self._factors(*seen, known)
            weights = factors if weights is None else weights * factors
            weights, x, targets, labels = counted(weights, x, targets, labels)
        last = class_layers(len(known), multilabel)[: 1 if loss.decides else 2]
        layers = [*Hidden(self, x.shape[1:]).layers(), *last]
        self._train(x, targets, weights, layers, loss, again=again, classes=labels, validation=part, **how)
        self.classes_, self._multilabel, self._decides = known, multilabel, loss.decides
        return self

    def _known(self, y: Any, classes: Any, multilabel: bool, again: bool) -> tuple[HostArray, HostArray]:
        """Return dense y, and the classes or the numbers of the labels."""
        if multilabel:
            y = y.toarray() if sparse.issparse(y) else y
            known = np.arange(y.shape[1])
            if again and len(known) != len(self.classes_):
                raise DataError(
                    f"y has {len(known)} labels, but NetworkClassifier is expecting {len(self.classes_)}, "
                    "as in the previous fit"
                )
        else:
            y = column_or_1d(y, warn=True)
            known = self.classes_ if again else np.unique(y if classes is None else classes)
        if classes is not None and not np.array_equal(np.unique(classes), known):
            raise DataError(
                f"classes={np.asarray(classes).tolist()} is not the same as before, "
                f"which was {known.tolist()}"
            )
        if not multilabel and len(known) == 1:
            raise DataError(f"y holds only one class, {known.item()!r}: a classifier needs two or more")
        return y, known

    def _targets_of_validation(
        self, y_val: Any, seen: tuple[Any, Any, Any], known: HostArray, loss: nnx.Loss
    ) -> tuple[HostArray, HostArray | None]:
        """Return the targets of validation data, and the factors of the rows' weights by class.

        `seen` has the weights, y and labels of the rows to train on, which determine balanced factors.
        """
        if seen[2] is None:
            y_val = y_val.toarray() if sparse.issparse(y_val) else y_val
            if y_val.shape[1:] != (len(known),) or not np.isin(y_val, (0, 1)).all():
                raise DataError(f"y_val must hold 0 and 1 for {len(known)} labels in each row, as y does")
            targets, labels = y_val, None
        else:
            y_val = column_or_1d(y_val, warn=True)
            labels = places_of(y_val, known, "y_val")
            targets = class_targets(labels, len(known), loss)
        if self.class_weight is None:
            return targets, None
        return targets, self._factors(*seen, known, y_val if labels is None else labels)

    def _loss_of(self, sigmoid: bool) -> nnx.Loss:
        if isinstance(self.loss, str) and self.loss == "cross_entropy":
            return nnx.BinaryCrossEntropy() if sigmoid else nnx.CategoricalCrossEntropy()
        if isinstance(self.loss, str) and self.loss == "focal":
            return nnx.BinaryFocalCrossEntropy() if sigmoid else nnx.CategoricalFocalCrossEntropy()
        loss = self._loss("cross_entropy", "focal")
        if sigmoid and isinstance(loss, nnx.CategoricalCrossEntropy):
            raise ConfigurationError(
                f"{loss!r} does not fit sigmoid outputs, which two classes and several labels per row need: "
                "use loss='cross_entropy'"
            )
        return loss

    def _factors(
        self,
        weights: HostArray | None,
        y: HostArray,
        labels: HostArray | None,
        classes: HostArray,
        rows: HostArray | None = None,
    ) -> HostArray:
        """Return the factor of each row by its class or labels; `rows` are other rows than those of y."""
        if labels is None:
            return factors_of_labels(self.class_weight, y, weights, rows)
        return class_factors(self.class_weight, labels, classes, weights, rows)

    @in_kind
    def decision_function(self, X: Any) -> HostArray:
        """Return the inputs of the sigmoid or softmax, of shape (rows, classes); (rows,) for two classes.

        With a hinge loss, they are the outputs of the network, which has no sigmoid or softmax.
        """
        return self._decisions(X)

    def _decisions(self, X: Any) -> HostArray:
        X = self._given(X)
        logits = self._outputs(self.network_ if self._without_probabilities() else self.network_[:-1], X)
        return logits.ravel() if logits.shape[1] == 1 else logits

    def _without_probabilities(self) -> bool:
        """Return whether the network was trained with a hinge loss; before `fit`, whether it would be."""
        named = self.loss in ("hinge", "squared_hinge") if isinstance(self.loss, str) else False
        return bool(getattr(self, "_decides", named or getattr(self.loss, "decides", False)))

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator]
    @in_kind
    def predict_proba(self, X: Any) -> HostArray:
        """Return probabilities of shape (rows, classes), in the order of ``classes_``."""
        return self._probabilities(X)

    def _probabilities(self, X: Any) -> HostArray:
        X = self._given(X)
        p = self._outputs(self.network_, X)
        binary = len(self.classes_) == 2 and not self._multilabel
        return with_complement(p) if binary else p

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator]
    @in_kind
    def predict_log_proba(self, X: Any) -> HostArray:
        """Return the logarithm of `predict_proba`."""
        return log(self._probabilities(X))

    @in_kind
    def predict(self, X: Any) -> HostArray:
        """Return the most likely class of each row, or 0 or 1 for each label if rows can have several."""
        check_is_fitted(self)
        decides = self._without_probabilities()
        p = self._decisions(X) if decides else self._probabilities(X)
        if self._multilabel:
            return (p > (0.0 if decides else 0.5)).astype(int)
        return likeliest(self.classes_, library(p).stack([-p, p], axis=1) if p.ndim == 1 else p)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
