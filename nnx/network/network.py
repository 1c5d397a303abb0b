"""A network: layers in order, trained and applied on one device."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, overload

import numpy as np

from nnx import losses, optimizers, training
from nnx.backends import Backend, foreign
from nnx.data.device_rows import received
from nnx.data.rows import Rows
from nnx.data.samples import Augmentation, host_array
from nnx.data.sparse_rows import is_sparse, sparse_rows
from nnx.distributed import ALONE, Communicator
from nnx.errors import ConfigurationError, DataError, whole
from nnx.layers import Layer
from nnx.layers.base import walk
from nnx.layers.terms import Terms
from nnx.losses import Loss
from nnx.losses.base import activated
from nnx.metrics import Metrics
from nnx.network import summary
from nnx.network.receiving import receive
from nnx.network.storage import HostArray
from nnx.network.traced import Traceable
from nnx.optimizers import Optimizer
from nnx.training.checkpoints import Checkpoint
from nnx.training.run import Callback, History


class Network(Traceable):
    """Layers in order, with explicit forward and backward passes, on one device.

    Parameters
    ----------
    layers : sequence of Layer
        The first may leave out its input width; the first data then decide it.
    device : str, optional
        ``"auto"``, ``"cpu"``, ``"gpu"``, ``"gpu:1"`` or the name of a backend. None takes the default of now
        (`nnx.use`, ``NNX_DEVICE``); a later change of it does not move the network. If the device is
        ``"auto"`` by either, and the first data lie on another GPU, the network moves there.
    dtype : {"float32", "float64"}, optional
        The type of parameters and outputs. It follows from `precision`, so you need only one of the two.
    seed : int, optional
        Initial weights, shuffles and dropout masks follow from it. None draws one: ``network.seed``.
    fuse : bool
        False runs every layer as a separate operation, for study and for tests.
    precision : {"float32", "float64", "bfloat16", "auto"}, optional
        float32 by default. With bfloat16, every `Dense` and convolution rounds the factors of its products to
        bfloat16; everything else is float32, also parameters, gradients and the sums in products.
        ``device="numpy"`` computes it slowly, to study it. ``"auto"`` is bfloat16 if MKL is installed, the
        processor has AMX, a `Dense` has 128 units or more, and no layer is a convolution; else float32.
        ``network.precision`` says which one it is.

    Attributes
    ----------
    layers : tuple of Layer
    encoder_length : int or None
        For an autoencoder: the number of layers that encode, which you set. ``network[:encoder_length]`` is
        then the encoder. Saved with the network.

    Raises
    ------
    ConfigurationError
        If there is no layer, a layer belongs to another network, the widths of layers do not fit, or `dtype`
        and `precision` contradict each other.
    DeviceError
        If the device cannot be used, or cannot compute with this precision; the text says what is missing.

    Examples
    --------
    >>> import nnx
    >>> network = nnx.Network([nnx.Dense(2, 4), nnx.Tanh(), nnx.Dense(1), nnx.Sigmoid()], seed=0)
    >>> network.predict([[0.0, 1.0]]).shape
    (1, 1)
    """

    def predict(self, x: Any, batch_size: int = training.EVALUATION_ROWS) -> HostArray:
        """Compute the network's output: a NumPy array for host data, a CuPy array for data on a GPU.

        Data on the network's GPU (arrays of CuPy, or of a library with DLPack such as PyTorch and JAX) are
        read where they are. A batch is copied only if it is not C-contiguous, or of another type than the
        network. For CuPy's arrays, the host waits for nothing. An array of another library has been read when
        the call returns. Several threads may call it at once; they take turns.

        Parameters
        ----------
        x : array_like, or Rows, of shape (rows, *input_shape)
        batch_size : int
            The number of rows in one pass.

        Raises
        ------
        DataError
            If x has no rows, has only one axis, does not fit the first layer, or lies on another GPU than the
            network.
        """
        self.follow(x)
        given, limits, on_gpu = x, self.limits, foreign.on_gpu(x)
        if isinstance(x, Rows):
            x = x if limits else x.astype(self.dtype)
        elif is_sparse(x) and limits is None:
            x = sparse_rows(x, "x", self.dtype, finite=False)
        else:
            x = received(self.backend, x, "x") if on_gpu else host_array(x, "x")
            if limits is not None:
                limits.check(x, "x", backend=self.backend if on_gpu else None)
        batch_size = whole("batch_size", batch_size)
        if x.ndim < 2 or x.shape[0] == 0:
            raise DataError(f"predict takes x of shape (rows, inputs) with at least a row, not {x.shape}")
        with self._lock:
            receive(self, "predict", x)
            make = self.backend.empty if on_gpu else np.empty
            result: HostArray = make((x.shape[0], *self.output_shape), self.dtype)
            plan = self.plan("inference")
            with self.backend.within_quota(), self.backend.hold():
                for start in range(0, x.shape[0], batch_size):
                    batch = x[start : start + batch_size]
                    if isinstance(batch, Rows):
                        batch = np.asarray(batch)
                        if limits is not None:
                            limits.check(batch, "x", range(start, start + len(batch)))
                    batch = self.asarray(batch)
                    y = plan.forward(batch, False)
                    result[start : start + batch_size] = y if on_gpu else self.backend.to_numpy(y)
        self.backend.return_borrowed(given)
        return result

    def __call__(self, x: Any) -> HostArray:
        """Compute the network's output as `predict` does, in a new array."""
        return self.predict(x)

    def score(
        self,
        x: HostArray,
        y: HostArray,
        loss: Loss,
        weights: Any = None,
        output: bool = True,
        terms: dict[str, float] | None = None,
    ) -> tuple[float, HostArray | None]:
        """Compute the loss of one batch as `fit` does, and the output for metrics.

        The last activation is fused with the loss if `fit` fuses it: probabilities are then not clipped or
        rounded. `nnx.training.evaluation.measure` calls it for each batch. Several threads take turns.

        Parameters
        ----------
        x, y, weights : array
            Checked by `nnx.data.checking.check_samples`.
        output : bool
            False returns None instead of the output.
        terms : dict, optional
            Gets the terms in the loss that layers add, by name. If it is missing or empty, the loss has none.
        """
        backend = self.backend
        with self._lock, backend.hold(), backend.quiet():
            last = self.layers[-1]
            kind = self._fused_kind(loss)
            plan = self.plan("inference", without_last=kind is not None)
            weights = None if weights is None else backend.asarray(weights)
            result = plan.forward(self.asarray(x), False, terms=Terms(weights) if terms else None)
            if kind is None:
                loss.check_predictions(backend, result)
            value = backend.empty(1, self.dtype)
            loss.evaluate(backend, backend.asarray(y), result, value, None, weights, kind)
            if terms:
                terms.update(dict.fromkeys(terms, 0.0))
                for layer, term in plan.terms():
                    terms[layer.term] += float(term[0])
                    value += term
            if not output:
                return float(value[0]), None
            if kind is None:
                result = loss.predictions(backend, result)
            else:
                result = activated(backend, last.fused_kind, result)
            return float(value[0]), backend.to_numpy(result).copy()

    def fit(
        self,
        x: Any,
        y: Any,
        *,
        loss: Loss | str | dict[str, Any],
        optimizer: Optimizer | str | dict[str, Any],
        epochs: int = 1,
        batch_size: int = 32,
        validation: float | tuple[Any, ...] | None = None,
        metrics: Metrics = (),
        callbacks: Sequence[Callback] = (),
        checkpoint: Checkpoint | None = None,
        shuffle: bool = True,
        sample_weight: Any = None,
        augment: Augmentation | None = None,
        communicator: Communicator = ALONE,
        on_nonfinite: str = "stop",
        graph: str | bool = "auto",
        accumulate: int = 1,
        average: float | None = None,
    ) -> History:
        """Train the network on data on the host, or on the network's GPU.

        Data on the GPU (arrays of CuPy, or of a library with DLPack) are checked and used there. Only these
        copies are made, each once: x and y if they have another type than the network (bytes and labels of
        int64 excepted) or are not C-contiguous; weights to the host; with x on the GPU, y and weights from
        the host to it; x and y to the host for `augment`, a checkpoint or several ranks, and y for metrics.

        Parameters
        ----------
        x : array_like, or Rows, of shape (rows, *input_shape)
            Bytes (uint8) stay bytes on the device, and count as the numbers 0 to 255.
            ``nnx.Rows(x, divisor=255)`` divides them.
        y : array_like, or Rows, of shape (rows, *output_shape)
            Or of shape (rows,) for one output, or integer labels of the output's shape without its last axis.
            ``y is x``, for an autoencoder, stores the data only once.
        loss : Loss, or an argument of `nnx.losses.get`
        optimizer : Optimizer, or an argument of `nnx.optimizers.get`
        epochs, batch_size : int
            The last batch of an epoch may be smaller; a batch may not be larger than the data.
        validation : float, (x, y) or (x, y, weights), optional
            The share of rows to take from the end, before any shuffle; or separate data. Its results are
            recorded as ``val_loss`` and ``val_<metric>``.
        metrics : sequence of str or callable, or mapping of names to them
            Computed on validation data, with its weights, see `nnx.metrics`. A mapping names them:
            ``{"q90": partial(quantile, q=0.9)}`` is recorded as ``val_q90``.
        callbacks : sequence of Callback
        checkpoint : Checkpoint, optional
            Writes the whole state of training to a folder at regular times, and resumes from there.
        shuffle : bool
            Draw a new order for every epoch.
        sample_weight : array_like of shape (rows,), optional
            A batch's loss is Σ w ℓ / Σ w.
        augment : callable, optional
            ``augment(generator, x, y) -> (x, y)``, called on each batch, on the host. It takes NumPy arrays
            and returns arrays of the same shapes. The generator follows from the seed, the epoch and the
            batch. If ``y is x`` in `fit`, it is so here too: return the changed rows twice to reconstruct
            them, or (changed, unchanged) for a denoising autoencoder. Validation data is not augmented.
        communicator : Communicator
            From `nnx.distributed.connect`: the ranks of a job train together, each on its share of every
            batch. All call `fit` with the same arguments; `batch_size` counts the rows of all ranks.
        on_nonfinite : {"stop", "skip", "rollback"}
            What to do if a loss or gradient is NaN or infinite. Parameters and running statistics are then
            as before that batch. ``"stop"`` raises. ``"skip"`` makes no update for the batch and counts it
            (``history.left_out``); the epoch's loss is then that of the other batches. ``"rollback"``
            returns to the newest checkpoint (see `Checkpoint`) and continues with half the learning rate;
            the sixth time it raises (``history.rollbacks``).
        graph : "auto" or False
            On a GPU, "auto" records a step as a CUDA graph and replays it, which saves the time for its
            launches. A step that cannot be recorded, or whose replay gives other bits, is launched kernel by
            kernel as with False; ``history.not_replayed`` says why. The results are the same.
        accumulate : int
            Batches of a step: their gradients are added, each with its share of the rows (or weights), so a
            step is that of one batch of ``accumulate · batch_size`` rows, in the memory of a smaller one. The
            last step of an epoch may have fewer. `BatchNorm` uses the statistics of each batch. Several
            ranks are refused: each would need its share of every one of these batches, not of their sum.
        average : float in (0, 1), optional
            The decay of an exponential moving average of the parameters over the steps, such as 0.999.
            Validation, callbacks after an epoch, and at the end the network have the averages; the next `fit`
            starts from them. If training fails, the network has the trained parameters. See
            `nnx.training.average`.

        Returns
        -------
        History

        Raises
        ------
        DataError
            If the data does not fit the network, holds NaN or infinity, or lies on another device.
        ConfigurationError
            If an option is invalid.
        TrainingError
            If a loss or gradient is not finite. The parameters are then as before that batch.
        OutOfMemoryError
            If a batch needs more memory than the host has left; the text says how much. On a GPU it is a
            `DeviceError`.
        RankError
            If a rank is missing, or has other data or options than the others.
        """
        loss = losses.get(loss) if isinstance(loss, str | dict) else loss
        optimizer = optimizers.get(optimizer) if isinstance(optimizer, str | dict) else optimizer
        options = training.FitOptions(
            loss=loss, optimizer=optimizer, epochs=epochs, batch_size=batch_size, validation=validation,
            metrics=metrics, callbacks=callbacks, checkpoint=checkpoint, shuffle=shuffle,
            sample_weight=sample_weight, augment=augment, communicator=communicator,
            on_nonfinite=on_nonfinite,
            graph=graph, accumulate=accumulate, average=average,
        )  # fmt: skip
        return training.fit(self, x, y, options)

    def lr_find(
        self,
        x: Any,
        y: Any,
        *,
        loss: Loss | str | dict[str, Any],
        optimizer: Optimizer | str | dict[str, Any],
        batch_size: int = 32,
        steps: int = 100,
        low: float = 1e-7,
        high: float = 10.0,
        sample_weight: Any = None,
        accumulate: int = 1,
    ) -> training.RateSearch:
        """Search a learning rate: train a copy while the rate rises from `low` to `high` in `steps` steps.

        It ends early if the loss diverges. The network itself, the optimizer and its state do not change. The
        data and the other options are those of `fit`. `nnx.reports.rate_search` draws the result.

        Returns
        -------
        RateSearch
            Its attribute ``suggested`` is the rate to try, or the highest rate of `nnx.OneCycle`.

        Raises
        ------
        ConfigurationError, DataError
            As for `fit`.
        TrainingError
            If the loss is not finite at the lowest rate already.

        References
        ----------
        Smith (2017), Cyclical learning rates for training neural networks, section 3.3.
        """
        loss = losses.get(loss) if isinstance(loss, str | dict) else loss
        optimizer = optimizers.get(optimizer) if isinstance(optimizer, str | dict) else optimizer
        options = training.FitOptions(
            loss=loss, optimizer=optimizer, batch_size=batch_size, sample_weight=sample_weight,
            accumulate=accumulate,
        )  # fmt: skip
        twin = self.copy()
        twin._undecided = self._undecided
        return training.find(twin, x, y, options, low, high, steps)

    def evaluate(
        self,
        x: Any,
        y: Any,
        *,
        loss: Loss | str | dict[str, Any],
        metrics: Metrics = (),
        sample_weight: Any = None,
    ) -> dict[str, float]:
        """Compute the loss and the metrics on data: ``{"loss": …, "accuracy": …}``.

        The data, copies and errors are those of `fit`.

        The loss is the same function as in `fit`. The loss that `fit` reports for the same data can differ,
        because of dropout, batch statistics, and parameters that change from batch to batch.
        """
        loss = losses.get(loss) if isinstance(loss, str | dict) else loss
        return training.evaluate(self, x, y, loss, metrics, sample_weight)

    @overload
    def __getitem__(self, index: int) -> Layer: ...

    @overload
    def __getitem__(self, index: slice) -> Network: ...

    def __getitem__(self, index: int | slice) -> Layer | Network:
        if not isinstance(index, slice):
            return self.layers[index]
        start, stop, stride = index.indices(len(self.layers))
        if stride != 1 or stop <= start:
            raise ConfigurationError(
                f"a slice takes one or more neighbouring layers, in order, not [{start}:{stop}:{stride}]"
            )
        _ = self.arena  # a slice shares parameters, so they must exist
        sliced = Network.__new__(Network)
        sliced.__dict__.update(self.__dict__)
        sliced.layers = self.layers[start:stop]
        before, held = (len(list(walk(some))) for some in (self.layers[:start], sliced.layers))
        sliced.span = (self.span[0] + before, self.span[0] + before + held)
        sliced._encoder_length = None
        sliced._parent = self._parent or self
        sliced._prepare_plans()
        return sliced

    def __len__(self) -> int:
        return len(self.layers)

    def summary(self) -> str:
        """Return a table of the layers, the shapes of their outputs, and their numbers of parameters."""
        return summary.of(self)

    def __repr__(self) -> str:
        return f"Network([{', '.join(repr(layer) for layer in self.layers)}], device={self.device!r})"


def load(
    path: str | os.PathLike[str], device: str | Backend | None = None, precision: str | None = None
) -> Network:
    """Read a network that `Network.save` wrote; see `Network.load`."""
    return Network.load(path, device, precision)
