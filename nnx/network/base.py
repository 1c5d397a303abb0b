"""The base of a network: its layers in order, their parameters on one device, and the passes.

Of the network's files, a training step runs this one only. `storage.py` and `network.py` add the rest.
"""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from nnx import initializers
from nnx.backends import Array, Backend, automatic, foreign, resolve
from nnx.data.sparse_rows import is_sparse
from nnx.errors import ConfigurationError, DataError, flag, whole
from nnx.layers import Layer, Plan, integers, stack
from nnx.layers.base import as_shape, walk
from nnx.layers.plan import shape_of
from nnx.losses import Loss
from nnx.network import receiving, sparse_input
from nnx.network.precision import check as check_precision
from nnx.network.precision import resolve as resolve_precision
from nnx.parameters import Arena


class NetworkBase:
    """Build layers on a device, and run them forward and backward."""

    def __init__(
        self,
        layers: Sequence[Layer],
        device: str | Backend | None = None,
        dtype: Any = None,
        seed: int | None = None,
        fuse: bool = True,
        precision: str | None = None,
    ) -> None:
        # checked before the device: without the list, a layer would be taken for the device
        expanded = stack.expand(layers)
        backend = resolve(device)
        precision = resolve_precision(precision, dtype, backend, walk(expanded))
        self._assemble(layers, backend, precision, seed, fuse)
        self._undecided = automatic(device)
        first = self.layers[0]
        known = first.input_shape or first.inputs
        if known is not None:
            self.build(known)
        self._adopt()

    def _assemble(
        self, layers: Sequence[Layer], backend: Backend, precision: str, seed: int | None, fuse: bool
    ) -> None:
        """Set every attribute; the parameters follow in `build`."""
        self.layers = stack.expand(layers)
        self._backend = backend
        self._undecided = False  # whether the first data may choose the device, see `follow`
        self.in_fit = False  # set while `fit` trains the network
        self._precision = precision
        self.dtype: np.dtype[Any] = np.dtype("float64" if precision == "float64" else "float32")
        self.seed = initializers.fresh_seed() if seed is None else whole("seed", seed, least=0)
        self.fuse = flag("fuse", fuse)
        self._encoder_length: int | None = None
        self.span = (0, len(list(walk(self.layers))))  # the arena also counts layers in containers
        self._arena: Arena | None = None
        self._parent: Self | None = None
        self._prepare_plans()
        stack.name(self.layers)

    def _adopt(self) -> None:
        """Mark the layers as this network's; called last, as a network that fails must take no layer."""
        for layer in self.layers:
            layer.owned = True
            layer.absorb()

    def _prepare_plans(self) -> None:
        """Start without plans; a slice calls it too, for plans of the slice."""
        self._plans: dict[Any, Plan] = {}
        self._lock = threading.Lock()

    # ------------------------------------------------------------------ build

    def build(self, inputs: int | tuple[int, ...]) -> Self:
        """Set the shape of the input and draw the initial weights; return the network.

        A network that is already built for this shape does not change.

        Parameters
        ----------
        inputs : int or tuple of int
            The shape of a row, without the batch axis; the number n means the shape (n,).

        Raises
        ------
        DataError
            If the network was built for another shape.
        ConfigurationError
            If a layer expects another width than the layer before it returns.
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
                stack.set_values(layer, values)
        return self

    def _allocate(self, inputs: int | tuple[int, ...]) -> None:
        """Set the shapes of all layers, and make their arena, filled with zeros."""
        stack.connect(self.layers, inputs)
        rounds = self.precision == "bfloat16"
        self._arena = Arena(list(walk(self.layers)), self._backend, self.dtype, self.seed, rounds)

    @functools.cached_property
    def arena(self) -> Arena:
        """The buffers that hold all parameters, gradients and running statistics.

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
    def encoder_length(self) -> int | None:
        """For an autoencoder: the number of layers that encode; None for other networks.

        Raises
        ------
        ConfigurationError
            If it is set to a number that leaves the encoder or the decoder without a layer.
        """
        return self._encoder_length

    @encoder_length.setter
    def encoder_length(self, value: int | None) -> None:
        length = None if value is None else whole("encoder_length", value)
        if length is not None and length >= len(self.layers):
            raise ConfigurationError(
                f"encoder_length must be between 1 and {len(self.layers) - 1} layers, not {value!r}"
            )
        self._encoder_length = length

    @property
    def code(self) -> int | None:
        """The old name of `encoder_length`, from version 0.1."""
        warnings.warn("network.code is now network.encoder_length", DeprecationWarning, stacklevel=2)
        return self.encoder_length

    @code.setter
    def code(self, value: int | None) -> None:
        warnings.warn("network.code is now network.encoder_length", DeprecationWarning, stacklevel=2)
        self.encoder_length = value

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        """The shape of a row of x, without the batch axis; None while it is not known."""
        return self.layers[0].input_shape

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape of a row of the output, without the batch axis."""
        _ = self.arena
        return shape_of(self.layers[-1].output_shape)

    @property
    def takes_integers(self) -> bool:
        """Whether the first layer takes integers; they reach it unchanged. If not, x holds floats."""
        return stack.takes_integers(self.layers)

    @property
    def takes_sparse(self) -> bool:
        """Whether a batch of sparse rows stays sparse; else its rows become dense, one batch at a time."""
        return sparse_input.takes_sparse(self)

    @property
    def limits(self) -> integers.Limits | None:
        """The integers that the network takes; None if it takes floats."""
        return integers.limits(self.layers)

    @property
    def inputs(self) -> int | None:
        """The number of features: the size of the last axis of x. None while it is not known."""
        return self.layers[0].inputs

    @property
    def outputs(self) -> int:
        """The size of the last axis of the output."""
        _ = self.arena
        assert self.layers[-1].outputs is not None
        return self.layers[-1].outputs

    @property
    def backend(self) -> Backend:
        """The backend that computes."""
        return self._backend if self._arena is None else self._arena.backend

    @property
    def precision(self) -> str:
        """``"float32"``, ``"float64"``, or ``"bfloat16"``: float32, with bfloat16 factors of products."""
        return self._precision

    @property
    def device(self) -> str:
        """The device that the network computes on: ``"cpu"``, ``"gpu:0"``."""
        return self.backend.device

    def to(self, device: str | Backend) -> Self:
        """Move parameters, running statistics and optimizer state to another device; return the network.

        The network itself changes; no copy is made.

        Raises
        ------
        ConfigurationError
            On a slice: move the whole network. In a callback of `fit`: move the network before or after it.
        DeviceError
            If the device cannot be used, or not with the network's precision. The network then stays on its
            device.
        """
        if self._parent is not None:
            raise ConfigurationError("a slice cannot be moved: call to(device) on the whole network")
        if self.in_fit:
            raise ConfigurationError(
                "a network cannot be moved while fit trains it: call to(device) before or after"
            )
        backend = resolve(device)
        check_precision(self.precision, backend)
        if self._arena is not None and backend is not self._arena.backend:
            self._arena.to(backend)
            self._plans.clear()  # their buffers are on the old device
        self._backend = backend
        self._undecided = False
        return self

    def follow(self, x: Any) -> None:
        """Move to the GPU of the first data, if the device was left open (``device=None`` or ``"auto"``).

        `fit`, `evaluate` and `predict` call it. Host data leave the network where it is.

        Raises
        ------
        DeviceError
            If nnx cannot use that GPU.
        """
        if not self._undecided or self._parent is not None:
            return
        self._undecided = False
        if foreign.on_gpu(x):
            there = foreign.place(x)
            if there.startswith("gpu:") and there != self.device:
                self.to(there)

    def asarray(self, x: Any) -> Array:
        """Return x on the network's device, C-contiguous and in its dtype.

        Host data are copied to a GPU. An array that is there already (of CuPy, or of a library with DLPack
        such as PyTorch) is used without a copy if its type and layout fit; so is host data on the CPU.
        Integers keep their type if the network takes integers. A sparse matrix of SciPy becomes a
        `SparseBatch` if the network takes it (`takes_sparse`), else a dense array.

        Raises
        ------
        DeviceError
            If x lies on another device than the network.
        DataError
            If x cannot be read as an array.
        """
        if is_sparse(x) and not self.takes_integers:
            return sparse_input.batch(self, x)
        return self.backend.asarray(x, None if self.takes_integers else self.dtype)

    # ----------------------------------------------------------------- passes

    def plan(self, mode: str, *, without_last: bool = False) -> Plan:
        """Return the plan of a mode: ``"training"``, ``"inference"``, or ``"gradient"``, of the input."""
        key = (mode, without_last)
        plan = self._plans.get(key)
        if plan is None or plan.backend is not self.arena.backend:
            plan = self._plans[key] = Plan(
                self.layers, self.arena, keep=mode != "inference", fuse=self.fuse, without_last=without_last
            )
        return plan

    def training_plan(self, loss: Loss) -> tuple[Plan, str]:
        """Return the plan that `fit` runs, and the kind of loss to compute.

        If the loss can be fused with the last activation, the plan leaves that activation out.
        """
        kind = self._fused_kind(loss)
        return self.plan("training", without_last=kind is not None), kind or loss.kind

    def forward(self, x: Array, training: bool = False) -> Array:
        """Compute the network's output for rows x.

        Parameters
        ----------
        x : array of shape (rows, *input_shape)
            An array on the network's device, see `asarray`.
        training : bool
            True stores what `backward` needs, turns dropout on, and lets batch normalization use the
            statistics of this batch.

        Returns
        -------
        array of shape (rows, *output_shape)
            The next pass overwrites it, also that of `predict` or `evaluate`: copy it to keep it.

        Raises
        ------
        DataError
            If x is on another device, or does not fit the first layer.
        """
        plan = self._plans.get(("training" if training else "inference", False))
        if plan is None or not plan.takes(x) or plan.backend is not self.arena.backend:
            receiving.check(self, "forward", x)
            plan = self.plan("training" if training else "inference")
        return plan.forward(x, training)

    def backward(self, dy: Array, input_gradient: bool = False) -> Array | None:
        """Compute all gradients from dy = ∂L/∂y, for the last ``forward(x, training=True)``.

        They overwrite those of the pass before. Returns ∂L/∂x if `input_gradient` is True, else None. dy is
        an array on the network's device; of another type than the network's, it is converted.

        Raises
        ------
        ConfigurationError
            If there was no forward pass with ``training=True``.
        DataError
            If dy is on another device, or does not have the output's shape.
        """
        if not self.backend.owns(dy) or dy.dtype != self.dtype:
            dy = receiving.gradient(self, dy)
        dx = self.plan("training").backward(dy, input_gradient)
        if self.arena.sparse:
            self.arena.sparse.show()
        return dx

    def terms(self) -> dict[str, Array]:
        """Return the terms that layers add to the loss, of the last ``forward(x, training=True)``.

        Each is an array of shape (1,) on the device, by its name. `backward` includes their gradients, so in
        your own loop the value that is trained is your loss plus these terms. `fit` adds them itself.
        """
        found: dict[str, Array] = {}
        for layer, value in self.plan("training").terms():
            found[layer.term] = found[layer.term] + value if layer.term in found else value
        return found

    def _fused_kind(self, loss: Loss) -> str | None:
        """Return the kind of loss that includes the last activation; None if the two are not fused."""
        return loss.fused_kind(self.layers[-1].fused_kind) if self.fuse else None


def _in_words(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} features" if len(shape) == 1 else f"rows of shape {shape}"
