"""A network: layers in order, their arena, and plans to run them."""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np

from nnx import initializers, losses, model_files, optimizers, training
from nnx.backends import Array, Backend, resolve
from nnx.data.rows import Rows
from nnx.data.samples import Augmentation, host_array
from nnx.distributed import ALONE, Communicator
from nnx.errors import ConfigurationError, DataError, FileFormatError, flag, whole
from nnx.layers import Layer, Plan, stack
from nnx.layers.base import as_shape, check_integers, walk
from nnx.layers.descriptions import entry_of, from_entry
from nnx.layers.plan import shape_of
from nnx.losses import Loss
from nnx.losses.base import activated
from nnx.metrics import Metrics
from nnx.optimizers import Optimizer
from nnx.parameters import Arena
from nnx.training.callbacks import Callback, History
from nnx.training.checkpoints import Checkpoint

HostArray = np.ndarray[Any, Any]


class Network:
    """Layers in order, with explicit forward and backward passes, on one device.

    Parameters
    ----------
    layers : sequence of Layer
        The first may leave its input width out: it is then taken from the first data seen.
    device : str, optional
        ``"auto"``, ``"cpu"``, ``"gpu"``, ``"gpu:1"`` or a backend's name; None takes the default
        (`nnx.use`, ``NNX_DEVICE``). Read once, when the network is made.
    dtype : {"float32", "float64"}
    seed : int, optional
        Initial weights, shuffles and dropout masks derive from it; None draws one, see ``network.seed``.
    fuse : bool
        False runs every layer as an operation of its own, for study and for tests.

    Attributes
    ----------
    layers : tuple of Layer
    code : int or None
        For an autoencoder: how many layers encode. ``network[:code]`` then gives the codes. Saved with it.

    Raises
    ------
    ConfigurationError
        If there is no layer, a layer belongs to another network, or widths do not fit.
    DeviceError
        If the device cannot be used.

    Examples
    --------
    >>> import nnx
    >>> network = nnx.Network([nnx.Dense(2, 4), nnx.Tanh(), nnx.Dense(1), nnx.Sigmoid()], seed=0)
    >>> network.predict([[0.0, 1.0]]).shape
    (1, 1)
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        device: str | Backend | None = None,
        dtype: Any = "float32",
        seed: int | None = None,
        fuse: bool = True,
    ) -> None:
        self._assemble(layers, device, dtype, seed, fuse)
        first = self.layers[0]
        known = first.input_shape or first.inputs
        if known is not None:
            self.build(known)
        self._adopt()

    def _assemble(
        self, layers: Sequence[Layer], device: str | Backend | None, dtype: Any, seed: int | None, fuse: bool
    ) -> None:
        """Everything but parameters."""
        self.layers = stack.expand(layers)
        self._backend = resolve(device)
        self.dtype = _dtype(dtype)
        self.seed = initializers.fresh_seed() if seed is None else whole("seed", seed, least=0)
        self.fuse = flag("fuse", fuse)
        self._code: int | None = None
        self.span = (0, len(list(walk(self.layers))))  # in the arena, which counts layers in containers too
        self._arena: Arena | None = None
        self._parent: Network | None = None
        self._prepare_plans()
        stack.name(self.layers)

    def _adopt(self) -> None:
        """Make the layers this network's, once nothing can be refused any more."""
        for layer in self.layers:
            layer.owned = True
            layer.absorb()

    def _prepare_plans(self) -> None:
        self._plans: dict[Any, Plan] = {}
        self._lock = threading.Lock()

    # ------------------------------------------------------------------ build

    def build(self, inputs: int | tuple[int, ...]) -> Network:
        """Fix the shape of the input and draw the initial weights; does nothing on a network that has them.

        Parameters
        ----------
        inputs : int or tuple of int
            The shape of a row, without the batch axis; a number n of features is the shape (n,).

        Raises
        ------
        DataError
            If the network is built for another shape.
        ConfigurationError
            If a layer states a width that does not fit the layer before it.
        """
        if inputs == 0:
            raise DataError("a network takes at least one feature, not 0")
        shape = as_shape(inputs)
        if self._arena is not None:
            if shape != self.input_shape:
                found, takes = _in_words(shape), _in_words(shape_of(self.input_shape))
                raise DataError(f"x has {found}, but {self.layers[0]!r} of this network takes {takes}")
            return self
        layers = list(walk(self.layers))
        kept = [stack.values(layer) for layer in layers]
        self._allocate(shape)
        generator = initializers.generator(self.seed, "weights")
        for layer, values in zip(layers, kept, strict=True):
            if values is None:
                own = None if layer.seed is None else initializers.generator(layer.seed, "weights")
                layer.initialize(own or generator)
            else:
                with self._backend.hold():
                    for name, value in values.items():
                        getattr(layer, name)[...] = self._backend.asarray(value, self.dtype)
        return self

    def _allocate(self, inputs: int | tuple[int, ...]) -> None:
        """Fix all shapes and make the arena; its values are zero."""
        stack.connect(self.layers, inputs)
        self._arena = Arena(list(walk(self.layers)), self._backend, self.dtype, self.seed)

    @property
    def arena(self) -> Arena:
        """Where the parameters live.

        Raises
        ------
        ConfigurationError
            If the input width is not known yet.
        """
        if self._arena is None:
            raise ConfigurationError(
                f"the input width of {self.layers[0]!r} is not known yet: state it (Dense(inputs, units)), "
                "call build(inputs), or fit data first"
            )
        return self._arena

    @property
    def code(self) -> int | None:
        """For an autoencoder: how many layers encode.

        Raises
        ------
        ConfigurationError
            If it is set to a number that leaves no layer on one side.
        """
        return self._code

    @code.setter
    def code(self, value: int | None) -> None:
        code = None if value is None else whole("code", value)
        if code is not None and code >= len(self.layers):
            raise ConfigurationError(
                f"code must be between 1 and {len(self.layers) - 1} layers, not {value!r}"
            )
        self._code = code

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        """The shape of a row, without the batch axis; None while it is not known."""
        return self.layers[0].input_shape

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape of a row's output."""
        _ = self.arena
        return shape_of(self.layers[-1].output_shape)

    @property
    def takes_integers(self) -> bool:
        """Whether x holds integers, which reach the first layer unchanged; else x holds floats."""
        return stack.takes_integers(self.layers)

    @property
    def inputs(self) -> int | None:
        """The size of the last axis of a row: its number of features."""
        return self.layers[0].inputs

    @property
    def outputs(self) -> int:
        """The size of the last axis of a row's output."""
        _ = self.arena
        assert self.layers[-1].outputs is not None
        return self.layers[-1].outputs

    @property
    def backend(self) -> Backend:
        """The backend that computes."""
        return self._backend if self._arena is None else self._arena.backend

    @property
    def device(self) -> str:
        """The device that the work really runs on: ``"cpu"``, ``"gpu:0"``."""
        return self.backend.device

    def to(self, device: str | Backend) -> Network:
        """Move parameters, statistics and optimizer state to another device, in place; returns the network.

        Raises
        ------
        ConfigurationError
            On a slice: move the network it belongs to.
        DeviceError
            If the device cannot be used; the network then stays where it was.
        """
        if self._parent is not None:
            raise ConfigurationError("a slice cannot be moved: call to(device) on the network it belongs to")
        backend = resolve(device)
        if self._arena is not None and backend is not self._arena.backend:
            self._arena.to(backend)
            self._plans.clear()  # their room is on the device that is left
        self._backend = backend
        return self

    def asarray(self, x: Any) -> Array:
        """Host data as an array of the network's device and dtype; integers stay, where it takes those."""
        return self.backend.asarray(x, None if self.takes_integers else self.dtype)

    # ----------------------------------------------------------------- passes

    def plan(self, mode: str, *, without_last: bool = False) -> Plan:
        """The plan of a mode (``"training"``, ``"inference"``), made at its first use on a device."""
        key = (mode, without_last)
        plan = self._plans.get(key)
        if plan is None or plan.backend is not self.arena.backend:
            plan = self._plans[key] = Plan(
                self.layers, self.arena, keep=mode == "training", fuse=self.fuse, without_last=without_last
            )
        return plan

    def training_plan(self, loss: Loss) -> tuple[Plan, str]:
        """The plan that `fit` runs, and the loss's kind: fused with the last activation where it can be."""
        kind = self._fused_kind(loss)
        return self.plan("training", without_last=kind is not None), kind or loss.kind

    def forward(self, x: Array, training: bool = False) -> Array:
        """The network's output for rows x.

        Parameters
        ----------
        x : array of shape (rows, *input_shape)
            An array of the network's device, see `asarray`.
        training : bool
            True keeps what `backward` needs, lets dropout drop, and batch normalization use the batch's own
            statistics.

        Returns
        -------
        array of shape (rows, *output_shape)
            Valid until the network's next pass, `predict` and `evaluate` included; copy it to keep it.

        Raises
        ------
        DataError
            If x is of another device or does not fit the first layer.
        """
        if not self.backend.owns(x):
            raise DataError(
                f"forward takes arrays of {self.device}, not {type(x).__name__}: x = network.asarray(x)"
            )
        self._receive("forward", x)
        if self.takes_integers:
            check_integers(self.layers[0], x)
        elif x.dtype != self.dtype:
            raise DataError(
                f"forward takes {self.dtype.name} in this network, not {x.dtype}: x = network.asarray(x)"
            )
        return self.plan("training" if training else "inference").forward(x, training)

    def backward(self, dy: Array, input_gradient: bool = False) -> Array | None:
        """Overwrite all gradients from dy = ∂L/∂y, for the last ``forward(x, training=True)``.

        Returns ∂L/∂x where ``input_gradient`` asks for it, else None.

        Raises
        ------
        ConfigurationError
            If there was no such forward pass.
        DataError
            If dy does not have the output's shape.
        """
        return self.plan("training").backward(dy, input_gradient)

    def predict(self, x: Any, batch_size: int = training.EVALUATION_ROWS) -> HostArray:
        """The network's output for host data, as a NumPy array; concurrent calls take turns.

        Parameters
        ----------
        x : array_like, or Rows, of shape (rows, *input_shape)
        batch_size : int
            Rows at a time.

        Raises
        ------
        DataError
            If x has no axis besides the rows, is empty, or does not fit the first layer.
        """
        integers = self.takes_integers
        if isinstance(x, Rows):
            x = x if integers else x.astype(self.dtype)
        elif not self.backend.owns(x):
            x = host_array(x, "x")
        if integers:
            check_integers(self.layers[0], x)
        batch_size = whole("batch_size", batch_size)
        if x.ndim < 2 or x.shape[0] == 0:
            raise DataError(f"predict takes x of shape (rows, inputs) with at least a row, not {x.shape}")
        with self._lock:
            self._receive("predict", x)
            result = np.empty((x.shape[0], *self.output_shape), self.dtype)
            plan = self.plan("inference")
            for start in range(0, x.shape[0], batch_size):
                part = x[start : start + batch_size]
                part = self.asarray(np.asarray(part) if isinstance(part, Rows) else part)
                result[start : start + batch_size] = self.backend.to_numpy(plan.forward(part, False))
        return result

    def _receive(self, what: str, x: Any) -> None:
        """See that rows have the shape that the network takes; the first it meets decide that."""
        shape = self.input_shape if self._arena is not None else None
        if x.ndim < 2 or (shape is not None and x.ndim != 1 + len(shape)):
            axes = ("inputs",) if shape is None or len(shape) == 1 else shape
            expected = ", ".join(map(str, ("rows", *axes)))
            raise DataError(f"{what} takes x of shape ({expected}), not {tuple(x.shape)}")
        self.build(tuple(x.shape[1:]))

    def score(
        self, x: HostArray, y: HostArray, loss: Loss, weights: Any = None, output: bool = True
    ) -> tuple[float, HostArray | None]:
        """The loss of some rows, the same function of them as in `fit`, and what metrics are taken on.

        A final activation is fused with its loss where `fit` fuses it, so that neither clips nor rounds
        probabilities. `measure` in `nnx.training.evaluation` calls this for each batch; concurrent calls take
        turns.

        Parameters
        ----------
        x, y, weights : array
            On the host, as checked by `nnx.data.samples.check_samples`.
        output : bool
            Whether the second is wanted; else it is None.
        """
        backend = self.backend
        with self._lock, backend.hold(), backend.quiet():
            last = self.layers[-1]
            kind = self._fused_kind(loss)
            result = self.plan("inference", without_last=kind is not None).forward(self.asarray(x), False)
            if kind is None:
                loss.check_predictions(backend, result)
            value = backend.empty(1, self.dtype)
            weights = None if weights is None else backend.asarray(weights)
            loss.evaluate(backend, backend.asarray(y), result, value, None, weights, kind)
            if not output:
                return float(value[0]), None
            if kind is None:
                result = loss.predictions(backend, result)
            else:
                result = activated(backend, last.fused_kind, result)
            return float(value[0]), backend.to_numpy(result).copy()

    def _fused_kind(self, loss: Loss) -> str | None:
        """The loss's kind that takes what goes into the last activation; None where that is not fused."""
        return loss.fused_kind(self.layers[-1].fused_kind) if self.fuse else None

    # --------------------------------------------------------------- training

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
    ) -> History:
        """Train on host data.

        Parameters
        ----------
        x : array_like, or Rows, of shape (rows, *input_shape)
            Bytes (uint8) stay bytes on the device, and are the numbers 0 to 255: ``nnx.Rows(x, divisor=255)``
            has them divided.
        y : array_like, or Rows, of shape (rows, *output_shape)
            Or (rows,) for one output, or integer labels, of the output's shape without its last axis.
            ``y is x`` (an autoencoder) stores the data only once.
        loss : Loss, or what `nnx.losses.get` takes
        optimizer : Optimizer, or what `nnx.optimizers.get` takes
        epochs, batch_size : int
            The last batch of an epoch may be smaller; a batch may not be larger than the data.
        validation : float, (x, y) or (x, y, weights), optional
            The last share of the rows (taken before any shuffle), or data of its own; recorded as
            ``val_loss`` and ``val_<metric>``.
        metrics : sequence of str or callable, or mapping of names to them
            Taken on validation data, with its weights, see `nnx.metrics`. A mapping names them:
            ``{"q90": partial(quantile, q=0.9)}`` is recorded as ``val_q90``.
        callbacks : sequence of Callback
        checkpoint : Checkpoint, optional
            Writes the whole state of the training to a folder at regular times, and resumes from there.
        shuffle : bool
            Draw a new order for every epoch.
        sample_weight : array_like of shape (rows,), optional
            A batch's loss is Σ w ℓ / Σ w.
        augment : callable, optional
            ``augment(generator, x, y) -> (x, y)`` on each batch, on the host: NumPy arrays in, of the same
            shapes out, the generator derived from the seed, the epoch and the batch. Where ``y is x``
            above, it is here too: return the changed rows twice to reconstruct them, or (changed,
            unchanged) for a denoising autoencoder. Validation data is left as it is.
        communicator : Communicator
            What `nnx.distributed.connect` returns: the ranks of its job train together, each with its rows
            of every batch. All call `fit` with the same arguments; `batch_size` is that of all together.
        on_nonfinite : {"stop", "skip", "rollback"}
            What follows on a loss or gradient that is NaN or infinite. Parameters and running statistics are
            in any case as before that batch. ``"stop"`` raises. ``"skip"`` leaves that batch's update out
            and counts it (``history.left_out``); the epoch's loss is then that of the others.
            ``"rollback"`` goes back to the newest checkpoint (see `Checkpoint`) and on by half the learning
            rate; the sixth time it raises (``history.rollbacks``).

        Returns
        -------
        History

        Raises
        ------
        DataError
            If the data does not fit, or holds NaN or infinity.
        ConfigurationError
            If an option makes no sense.
        TrainingError
            If a loss or gradient is not finite; the parameters are then as before that batch.
        OutOfMemoryError
            If a batch takes more than is left of the host's memory; the text says how much (a `DeviceError`
            says it of a GPU's).
        RankError
            If a rank does not come, or was given other data or options than the others.
        """
        loss = losses.get(loss) if isinstance(loss, str | dict) else loss
        optimizer = optimizers.get(optimizer) if isinstance(optimizer, str | dict) else optimizer
        options = training.FitOptions(
            loss=loss, optimizer=optimizer, epochs=epochs, batch_size=batch_size, validation=validation,
            metrics=metrics, callbacks=callbacks, checkpoint=checkpoint, shuffle=shuffle,
            sample_weight=sample_weight, augment=augment, communicator=communicator,
            on_nonfinite=on_nonfinite,
        )  # fmt: skip
        return training.fit(self, x, y, options)

    def evaluate(
        self,
        x: Any,
        y: Any,
        *,
        loss: Loss | str | dict[str, Any],
        metrics: Metrics = (),
        sample_weight: Any = None,
    ) -> dict[str, float]:
        """``{"loss": …}`` and the metrics on data, in inference; errors as for `fit`.

        The loss is the same function as in `fit`: of logits where a final activation is fused with it. It
        differs from `fit`'s by what training does: dropout, a batch's own statistics, and parameters that
        change from batch to batch.
        """
        loss = losses.get(loss) if isinstance(loss, str | dict) else loss
        return training.evaluate(self, x, y, loss, metrics, sample_weight)

    # ---------------------------------------------------- parts and parameters

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
                f"a slice covers a contiguous range of layers, not [{start}:{stop}:{stride}]"
            )
        _ = self.arena  # a slice shares parameters, so they must exist
        part = Network.__new__(Network)
        part.__dict__.update(self.__dict__)
        part.layers = self.layers[start:stop]
        before, held = (len(list(walk(some))) for some in (self.layers[:start], part.layers))
        part.span = (self.span[0] + before, self.span[0] + before + held)
        part._code = None
        part._parent = self._parent or self
        part._prepare_plans()
        return part

    def __len__(self) -> int:
        return len(self.layers)

    def parameters(self) -> Iterator[tuple[str, Array, Array]]:
        """(name, value, gradient) of each parameter, as views; write through ``value[...] = …``."""
        _ = self.arena
        for layer in self.layers:
            for name, value, gradient in layer.named_parameters():
                yield f"{layer.name}.{name}", value, gradient

    def parameter_count(self) -> int:
        """How many numbers are trained."""
        return sum(value.size for _, value, _ in self.parameters())

    def weights(self) -> dict[str, HostArray]:
        """Copies on the host of all parameters and running statistics, by name."""
        to_numpy = self.arena.backend.to_numpy
        persistent = list(self._persistent())
        found = {name: to_numpy(value).copy() for name, value in persistent}
        if len(found) < len(persistent):
            names = [name for name, _ in persistent]
            twice = next(name for name in names if names.count(name) > 1)
            raise ConfigurationError(
                f"two parameters are called {twice!r}: give their layers different names"
            )
        return found

    def set_weights(self, weights: dict[str, Any]) -> None:
        """Write `weights` (as from `weights`) into the network.

        Raises
        ------
        DataError
            If a name or shape does not fit; nothing is then written.
        """
        persistent = dict(self._persistent())
        if set(weights) != set(persistent):
            odd = sorted(set(weights) ^ set(persistent))
            raise DataError(f"weights do not fit the network: {', '.join(odd[:4])} missing on one side")
        ready = {}
        for name, value in persistent.items():
            if np.shape(weights[name]) != value.shape:
                raise DataError(f"{name} has shape {value.shape}, not {np.shape(weights[name])}")
            ready[name] = self.backend.asarray(weights[name], self.dtype)
        with self.backend.hold():
            for name, value in persistent.items():
                value[...] = ready[name]

    def _persistent(self) -> Iterator[tuple[str, Array]]:
        for name, value, _ in self.parameters():
            yield name, value
        for layer in self.layers:
            for name, value in layer.named_state():
                yield f"{layer.name}.{name}", value

    def summary(self) -> str:
        """A table of the layers, the shapes of their outputs, and their parameters."""
        layers = list(walk(self.layers))
        names = [f"{'  ' * layer.name.count('.')}{layer.name.rpartition('.')[2]}" for layer in layers]
        width = max(map(len, names))
        shapes = [str(_described(layer.output_shape) or "?") for layer in layers]
        wide = max(8, *map(len, shapes))
        lines = [f"{'layer':{width}}  {'outputs':>{wide}}  {'parameters':>12}"]
        for layer, name, outputs in zip(layers, names, shapes, strict=True):
            count = f"{layer.parameter_count():,}" if layer.arena is not None else "?"
            frozen = "" if layer.trainable else "  frozen"
            lines.append(f"{name:{width}}  {outputs:>{wide}}  {count:>12}{frozen}")
        total = f"{self.parameter_count():,} parameters" if self._arena is not None else "not built"
        return "\n".join([*lines, f"{total}, {self.dtype.name}, {self.device} ({self.backend.name})"])

    # ------------------------------------------------- copies, files, pickles

    def copy(self) -> Network:
        """A network of its own with the same layers, values and statistics; optimizer state is not copied."""
        twin = Network.from_config(self.config(), device=self.backend, draw=self._arena is None)
        if self._arena is not None:
            twin.set_weights(self._renamed(twin))
        return twin

    def _renamed(self, twin: Network) -> dict[str, HostArray]:
        names = [name for name, _ in twin._persistent()]
        return dict(zip(names, self.weights().values(), strict=True))

    def config(self) -> dict[str, Any]:
        """What `from_config` needs to build it again, as values that JSON can hold.

        Raises
        ------
        ConfigurationError
            If the ``config()`` of a layer of your own lacks an argument of its constructor. `copy`, `save`,
            pickles and checkpoints raise it too.
        """
        return {
            "layers": list(map(entry_of, self.layers)),
            "inputs": _described(self.input_shape),
            "dtype": self.dtype.name,
            "seed": self.seed,
            "fuse": self.fuse,
            "code": self.code,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], device: str | Backend | None = None, *, draw: bool = True
    ) -> Network:
        """A network from `config`, with fresh initial weights.

        With ``draw=False`` all values are zero, for a caller who sets them next: that saves memory and time.
        """
        layers = list(map(from_entry, config["layers"]))
        network = cls.__new__(cls)
        network._assemble(layers, device, config["dtype"], config["seed"], config["fuse"])
        if config["inputs"] is not None:
            inputs = config["inputs"]
            shape = tuple(inputs) if isinstance(inputs, list) else inputs
            (network.build if draw else network._allocate)(shape)
        network._adopt()
        network.code = config["code"]
        return network

    def save(self, path: str | os.PathLike[str], metadata: dict[str, Any] | None = None) -> None:
        """Write layers, parameters and statistics to a safetensors file; a failure leaves no half of one.

        Parameters
        ----------
        path : path
        metadata : dict, optional
            Anything JSON can hold, returned by `nnx.checkpoints.read_metadata`.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        if self._parent is not None:  # in a file the layers are counted from the slice's own first
            self.copy().save(path, metadata)
            return
        to_numpy = self.arena.backend.to_numpy  # on the host no copy: saving takes hardly any memory
        values = {name: to_numpy(value) for name, value in self._persistent()}
        model_files.write(path, values, self.config(), metadata or {})

    @classmethod
    def load(cls, path: str | os.PathLike[str], device: str | Backend | None = None) -> Network:
        """Read a network written by `save`.

        Raises
        ------
        FileFormatError
            If the file is damaged, of another kind or version, or its arrays do not fit its layers.
        OutOfMemoryError
            If memory is too short; the text says what takes how much. About three times the size of the
            parameters is needed: what is read, the values, and room for gradients.
        """
        backend = resolve(device)
        weights, config = model_files.read(path)

        def build() -> Network:
            _check_claim(config, weights)
            return cls.from_config(config, backend, draw=False)

        network: Network = model_files.fitted(path, build, weights)
        return network

    def __getstate__(self) -> dict[str, Any]:
        if self._parent is not None:
            return self.copy().__getstate__()
        weights = self.weights() if self._arena is not None else None
        # the CPU by its own name where NumPy was not asked for: another machine may have no Numba
        device = "numpy" if self.backend.name == "numpy" else self.device
        return {"config": self.config(), "weights": weights, "device": device}

    def __setstate__(self, state: dict[str, Any]) -> None:
        twin = Network.from_config(state["config"], device=state["device"])
        self.__dict__.update(twin.__dict__)
        if state["weights"] is not None:
            self.set_weights(state["weights"])

    def __repr__(self) -> str:
        return f"Network([{', '.join(repr(layer) for layer in self.layers)}], device={self.device!r})"


def load(path: str | os.PathLike[str], device: str | Backend | None = None) -> Network:
    """Read a network written by `Network.save`; see `Network.load`."""
    return Network.load(path, device)


def _check_claim(config: dict[str, Any], weights: dict[str, HostArray]) -> None:
    """See that the layers of a file take about as many numbers as it holds, before room is made for them."""
    layers = stack.expand(list(map(from_entry, config["layers"])))
    claimed = 0
    if config["inputs"] is not None:
        inputs = config["inputs"]
        stack.connect(layers, tuple(inputs) if isinstance(inputs, list) else inputs)
        shapes = [s for layer in walk(layers) for s in (layer.parameter_shapes(), layer.state_shapes())]
        claimed = sum(math.prod(shape) for named in shapes for shape in named.values())
    held = sum(value.size for value in weights.values())
    if claimed > 2 * held + 2**16:  # which of the arrays does not fit is said where the weights are set
        raise FileFormatError(f"its layers take {claimed:,} numbers, but it holds {held:,}")


def _in_words(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} features" if len(shape) == 1 else f"rows of shape {shape}"


def _described(shape: tuple[int, ...] | None) -> int | list[int] | None:
    """A shape as files have it: the number of features, as in version 0.1, or a list of all axes."""
    if shape is None:
        return None
    return shape[0] if len(shape) == 1 else list(shape)


def _dtype(dtype: Any) -> np.dtype[Any]:
    with contextlib.suppress(TypeError):
        known: np.dtype[Any] = np.dtype(dtype)
        if known.name in ("float32", "float64"):
            return known
    raise ConfigurationError(f"dtype must be float32 or float64, not {dtype!r}")
