"""An autoencoder as a scikit-learn transformer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from scipy import sparse
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_array, check_is_fitted

import nnx
from nnx.data.rows import HostArray
from nnx.estimators.array_api import adopted, in_kind, moved_to_host, stays
from nnx.estimators.base import NetworkEstimator
from nnx.estimators.checks import checked_weights, counted, on_host
from nnx.estimators.gradients import CodeGradients
from nnx.estimators.hidden import Hidden, last_activation
from nnx.estimators.sparse_data import explained
from nnx.estimators.validation import Given, checked, given
from nnx.layers.coders import Coding
from nnx.metrics import Metric


class Autoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, CodeGradients, NetworkEstimator):  # type: ignore[misc]
    """Reduce data to short codes that restore it: f = decoder ∘ encoder, trained so that f(x) ≈ x.

    The encoder has the hidden layers and a linear layer for the code. The decoder has the hidden layers in
    reverse order and an output as wide as the data. The output is a sigmoid if the loss is a binary
    cross-entropy, else linear.

    Parameters
    ----------
    n_components : int
        Width of the code.
    hidden_layer_sizes : int, str, or sequence of these
        The encoder's hidden layers: widths of dense layers, or texts for other layers, as ``nnx train
        --layers`` takes them: ``["conv2d 16 3 strides=2 padding=same", 64]``. The decoder reverses them. ()
        is for none: with squared error, such an encoder spans the same space as PCA.
    image_shape : tuple of int, optional
        Shape of an image, (height, width) or (height, width, channels), if X has flat rows; convolutions need
        it. Without it, rows have the shape that they have in X.
    activation : str, or sequence of str
        Activation of the hidden layers by its name in nnx: ``"relu"``, ``"tanh"``, ``"gelu"``, …; or a name
        for each of them. A text of `hidden_layer_sizes` can name another one (``"64 tanh"``).
    loss : {"squared_error", "absolute_error", "huber", "binary_cross_entropy"} or Loss
        The cross-entropy needs data in [0, 1].
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
        Determines the initial weights, the batches, dropout, noise and the rows held out.
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
    noise : {None, "gaussian", "mask"}
        A denoising autoencoder: training adds normal noise to the rows, or sets some of their numbers to 0.
        The targets are the rows as they are.
    noise_level : float
        The standard deviation of the noise, or the share of the numbers that a mask sets to 0.
    sparsity : {None, "l1", "kl"}
        A sparse autoencoder: ``"l1"`` adds ``sparsity_weight · Σ |code|`` to the loss, and ``"kl"`` the
        divergence of each unit's mean activation from `sparsity_target` (`nnx.L1Sparsity`,
        `nnx.KLSparsity`).
    sparsity_weight : float
    sparsity_target : float in (0, 1)
    contraction : float
        A contractive autoencoder: the weight of the squared norm of ∂code/∂x in the loss; 0 for none. It is
        exact for an encoder without hidden layers, and a random projection for others (`nnx.Contractive`).
        The encoder must have dense layers with relu, leaky_relu, elu, sigmoid, tanh, softplus or linear, and
        no dropout.
    tied : bool
        The decoder uses the encoder's weights, transposed (`nnx.TiedDense`). Layers must be dense.
    code_activation : str or None
        Activation of the code. None is ``"sigmoid"`` with ``sparsity="kl"``, ``"relu"`` with ``"l1"``, else
        linear.
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
        ``network_.encoder_length`` is the number of its layers that encode.
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
    DataError
        By `fit`, if the data does not fit the loss.
    TrainingError
        By `fit`, if a loss or gradient is not finite.

    References
    ----------
    Hinton and Salakhutdinov (2006), Reducing the dimensionality of data with neural networks. Vincent et al.
    (2010), Stacked denoising autoencoders. Ng (2011), Sparse autoencoder. Rifai et al. (2011), Contractive
    auto-encoders.

    Examples
    --------
    >>> from nnx.estimators import Autoencoder
    >>> from sklearn.datasets import load_iris
    >>> x = load_iris().data
    >>> Autoencoder(2, epochs=20, random_state=0).fit_transform(x).shape
    (150, 2)
    """

    def __init__(
        self,
        n_components: int = 2,
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
        noise: str | None = None,
        noise_level: float = 0.2,
        sparsity: str | None = None,
        sparsity_weight: float = 0.01,
        sparsity_target: float = 0.05,
        contraction: float = 0.0,
        tied: bool = False,
        code_activation: str | None = None,
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
        self.n_components = n_components
        self.noise, self.noise_level = noise, noise_level
        self.sparsity = sparsity
        self.sparsity_weight, self.sparsity_target = sparsity_weight, sparsity_target
        self.contraction = contraction
        self.tied = tied
        self.code_activation = code_activation

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        checkpoint: nnx.Checkpoint | None = None,
        X_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Autoencoder:
        """Train on X.

        Parameters
        ----------
        X : array_like of shape (rows, …), or sparse matrix of shape (rows, features)
            Rows of several axes are flattened before dense layers. A sparse matrix stays sparse.
        y : None
            Ignored.
        sample_weight : array_like of shape (rows,), optional
        checkpoint : Checkpoint, optional
            As for `nnx.Network.fit`. To resume, `random_state` must be the same number in both runs.
        X_val, sample_weight_val : array_like, optional
            Validation data, with rows like those of X. The loss on them, and `monitor`, are computed
            after each epoch; early stopping then follows them, and no rows are held out. To pass them through
            a `Pipeline` or a search, see ``set_fit_request`` (metadata routing of scikit-learn).
        """
        validation = given(X_val, None, sample_weight_val, targets=False)
        return self._fit(X, sample_weight, validation, partial=False, checkpoint=checkpoint)

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Autoencoder:
        """Train for one epoch on these rows, without early stopping; parameters as for `fit`."""
        return self._fit(X, sample_weight, None, partial=True)

    def _fit(self, X: Any, sample_weight: Any, validation: Given | None = None, **how: Any) -> Autoencoder:
        again = self._continues(how["partial"])
        x = self._check(X, reset=not again)
        loss = self._loss()
        weights, x = counted(checked_weights(sample_weight, x), x)
        layers, encoder_length = self._layers(x.shape[1:], loss)
        part = checked(self, validation, x)
        self._train(x, None, weights, layers, loss, again=again, validation=part, **how)
        self.network_.encoder_length = encoder_length
        return self

    def _layers(self, shape: tuple[int, ...], loss: nnx.Loss) -> tuple[list[nnx.Layer], int]:
        """Return the layers of the whole network, and how many of them encode."""
        hidden = Hidden(self, shape)
        plain = [*hidden.layers(), nnx.Dense(self.n_components)], hidden.decoder(self.n_components)
        encoder, decoder = self._coding().layers(*plain)
        length = sum(len(layer.expand()) for layer in encoder)  # each activation is a layer
        return [*encoder, *decoder, *last_activation(loss)], length

    def _coding(self) -> Coding:
        return Coding(**{field.name: getattr(self, field.name) for field in fields(Coding)})

    def _described(self) -> str:
        return f"{super()._described()}, {self._coding()}"

    @property
    def _n_features_out(self) -> int:
        width: int = self.network_[: self.network_.encoder_length].outputs
        return width

    @in_kind
    def transform(self, X: Any) -> HostArray:
        """Return codes of shape (rows, n_components)."""
        X = self._given(X)
        return self._outputs(self.network_[: self.network_.encoder_length], X)

    @in_kind
    def inverse_transform(self, X: Any) -> HostArray:
        """Compute data, with rows of the shape of X in `fit`, from codes of shape (rows, n_components)."""
        check_is_fitted(self)
        X = adopted(X, self.network_.backend)
        if not stays(X):
            X = check_array(on_host(X, "X"), dtype=self.network_.dtype)
        return self.network_[self.network_.encoder_length :].predict(X)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return the share of the variance that is reconstructed: 1 − Σ (x − f(x))² / Σ (x − mean)².

        It is at most 1, and can be compared with the sum of PCA's ``explained_variance_ratio_``.
        """
        X = self._given(X)
        if sparse.issparse(X):
            return explained(self.network_, X, checked_weights(sample_weight, X))
        both = (moved_to_host(x) for x in (X, self.network_.predict(X)))
        flat, decoded = (x.reshape(len(x), -1) for x in both)
        return float(
            r2_score(
                flat,
                decoded,
                sample_weight=checked_weights(sample_weight, X),
                multioutput="variance_weighted",
            )
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"] if self.precision is None else []
        return tags
