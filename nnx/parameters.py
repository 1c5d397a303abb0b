"""The arena: one flat buffer for all parameters, one for all gradients, one for saved state.

Layers hold views into these buffers. So one optimizer call updates all parameters, a norm is one reduction,
and saving, moving to another device and exchanging between processes each copy whole buffers.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol
from weakref import WeakKeyDictionary, ref

from nnx.backends import Array, Backend
from nnx.errors import ConfigurationError
from nnx.ops.steps import PerStep
from nnx.used_rows import SparseParameters, UsedRows

ALIGNMENT = 64  # bytes: a cache line, and the widest vector register
RESERVED = (  # attributes of a layer that a parameter may not replace
    *("inputs", "outputs", "input_shape", "output_shape", "layout", "is_view", "input_dtype", "branches"),
    *("input_limit", "arena", "name", "index", "owned", "seed", "term", "trainable"),
)

Shapes = dict[str, tuple[int, ...]]


class Parameterized(Protocol):
    """What the arena needs from a layer."""

    trainable: bool
    term: str

    @property
    def name(self) -> str:
        """Return the layer's name in its network."""
        ...

    def named_parameters(self) -> Iterator[tuple[str, Array, Array]]:
        """Yield (name, value, gradient) of each parameter, as views."""
        ...

    def parameter_shapes(self) -> Shapes:
        """Return the shapes of the parameters by attribute name."""
        ...

    def sparse_parameters(self) -> tuple[str, ...]:
        """Return the names of parameters of which a step only touches the rows that it uses."""
        ...

    def state_shapes(self) -> Shapes:
        """Return the shapes of the state by attribute name: saved but not trained (running statistics)."""
        ...

    def bind(self, arena: Arena, views: dict[str, Array]) -> None:
        """Store the views: ``name`` and ``"d" + name`` for each parameter, ``name`` for each state.

        For a sparse parameter, ``"used_" + name`` is its `UsedRows`.
        """
        ...


@dataclass(frozen=True)
class Span:
    """A contiguous range of trainable parameters, with its gradients and slots, as views for one call.

    If `used` is given, the range is one sparse parameter, and only these rows are updated. Its values then
    have the shape of the table, so that a rule for flat buffers cannot update all rows by mistake.
    """

    values: Array
    gradients: Array
    slots: tuple[Array | None, ...]
    settings: Any = None  # of a parameter group
    used: UsedRows | None = None


@dataclass
class OptimizerState:
    """The state of one optimizer for one arena.

    Attributes
    ----------
    slots : dict of str to array of shape (size,)
        Moments, one number for each parameter.
    step : int
        Number of steps that this optimizer took.
    scale : float
        Factor of the learning rate; it is below 1 after training returned to a checkpoint
        (``fit(on_nonfinite="rollback")``).
    """

    slots: dict[str, Array]
    step: int = 0
    scale: float = 1.0
    spans: dict[tuple[int, int], list[Span]] = field(default_factory=dict)
    groups: Any = ()  # the parameter groups for which `spans` were made


class Arena:
    """Flat buffers for the layers of one network, or for one layer used alone.

    Layers hold their arena; the arena has weak references to its layers. So the memory of a deleted network
    is free at once, without Python's cycle collector. If you still hold a layer of it, that layer keeps its
    values and gradients, and these buffers stay in memory.

    Attributes
    ----------
    values, gradients : array of shape (size,)
        Parameters of all layers in order, each aligned to 64 bytes; the padding stays zero.
    exchange : array of shape (size + padding,)
        What ranks sum after a step: the gradients, then the step's loss, a signal and the terms of the loss,
        then the flags of sparse parameters.
    state : array of shape (state_size,)
        Saved but not trained, such as running statistics.
    states : mapping of Optimizer to OptimizerState
        The state of each optimizer. It is created at the optimizer's first step, and deleted with the
        optimizer.
    step : int
        Number of steps by all optimizers. It determines dropout masks and shuffles.
    seed : int
        Seed of initial weights, shuffles and dropout masks.
    bfloat16 : bool
        Whether products round their factors to bfloat16; all buffers are float32 then.
    sparse : SparseParameters
        The rows that the last pass used of each sparse parameter.
    passes : dict of int to (int, int)
        For a layer's index: the step of its last random draw, and the number of draws in this step; see
        `draw`.
    keys : dict of int to PerStep
        For a layer's index: the keys of its dropout masks, while `fit` computes a step on a GPU; else empty.
    fault : integer array of shape (1,)
        Not zero after a loss or gradient was not finite; optimizers then change nothing.
    """

    def __init__(
        self,
        layers: Sequence[Parameterized],
        backend: Backend,
        dtype: Any,
        seed: int,
        bfloat16: bool = False,
    ) -> None:
        self._layers = tuple(map(ref, layers))
        self.backend = backend
        self.dtype = dtype
        self.seed = seed
        self.bfloat16 = bfloat16
        self.step = 0
        self.passes: dict[int, tuple[int, int]] = {}
        self.keys: dict[int, PerStep] = {}
        self.states: WeakKeyDictionary[Any, OptimizerState] = WeakKeyDictionary()
        self._pad: int = max(ALIGNMENT // dtype.itemsize, 1)
        self._offsets: list[int] = []
        self.sparse = SparseParameters()
        size, state_size, flags = 0, 0, 0
        for layer in layers:
            _check_names(layer)
            self._offsets.append(size)
            size += sum(self._padded(shape) for shape in layer.parameter_shapes().values())
            state_size += sum(self._padded(shape) for shape in layer.state_shapes().values())
            flags += sum(layer.parameter_shapes()[name][0] for name in layer.sparse_parameters())
        self._offsets.append(size)
        # next to the gradients: the loss, a signal, and the terms of the loss
        self._extra = self._padded((2 + sum(bool(layer.term) for layer in layers),))
        nbytes = 2 * size * dtype.itemsize  # without slots, which are made at an optimizer's first step
        with backend.reserve(
            nbytes, f"a network of {size:,} parameters", "free some memory, or make its layers narrower"
        ):
            self.values = backend.zeros(size, dtype)
            self.exchange = backend.zeros(size + self._extra + flags, dtype)
        self.gradients = self.exchange[:size]
        self.state = backend.zeros(state_size, dtype)
        self.fault = backend.zeros(1, "int64")
        self._bind()

    def __len__(self) -> int:
        """Return the number of layers."""
        return len(self._layers)

    @property
    def layers(self) -> tuple[Parameterized, ...]:
        """Return all layers.

        Raises
        ------
        ReferenceError
            If the network was deleted, and some of its layers with it.
        """
        layers = tuple(layer() for layer in self._layers)
        if None in layers:
            raise ReferenceError("the network of these layers was deleted")
        return layers  # type: ignore[return-value]

    def _padded(self, shape: tuple[int, ...]) -> int:
        return -(-math.prod(shape) // self._pad) * self._pad

    def _bind(self) -> None:
        position, state_position, flags = 0, 0, self.values.size + self._extra
        self.sparse = SparseParameters()
        for layer in self.layers:
            views: dict[str, Array] = {}
            for name, shape in layer.parameter_shapes().items():
                span = slice(position, position + math.prod(shape))
                views[name] = self.values[span].reshape(shape)
                views["d" + name] = self.gradients[span].reshape(shape)
                if name in layer.sparse_parameters():
                    own, flags = self.exchange[flags : flags + shape[0]], flags + shape[0]
                    used = UsedRows(self.backend, views[name], views["d" + name], own)
                    used.extent = self._padded(shape)
                    views[f"used_{name}"] = self.sparse[position] = used
                position += self._padded(shape)
            for name, shape in layer.state_shapes().items():
                views[name] = self.state[state_position : state_position + math.prod(shape)].reshape(shape)
                state_position += self._padded(shape)
            layer.bind(self, views)

    def place(self, values: Array) -> int:
        """Return where a parameter begins in the buffers."""
        return int((_address(values) - _address(self.values)) // self.dtype.itemsize)

    def to(self, backend: Backend) -> None:
        """Move everything to another device, and give the layers their new views."""

        def move(x: Array, read: Any = self.backend.to_numpy) -> Array:
            return backend.asarray(read(x))

        # copy everything before replacing anything: if the device is full, nothing has changed
        moved = [move(x) for x in (self.values, self.exchange, self.state, self.fault)]
        slots = {
            optimizer: {name: move(slot) for name, slot in kept.slots.items()}
            for optimizer, kept in self.states.items()
        }
        self.values, self.exchange, self.state, self.fault = moved
        self.gradients = self.exchange[: self.values.size]
        for optimizer, kept in self.states.items():
            kept.slots = slots[optimizer]
        self.backend = backend
        self.trainable_changed()
        before = self.sparse
        self._bind()
        self.sparse.moved(before, move)

    def spans(self, first: int, last: int) -> Iterator[slice]:
        """Yield the trainable spans of layers ``first`` to ``last - 1``; adjacent spans are merged."""
        layers = self.layers
        start = stop = self._offsets[first]
        for index in range(first, last):
            high = self._offsets[index + 1]
            if not layers[index].trainable:
                if stop > start:
                    yield slice(start, stop)
                start = high
            stop = high
        if stop > start:
            yield slice(start, stop)

    def optimized(
        self,
        optimizer: object,
        slots: Sequence[tuple[str, float] | None],
        first: int,
        last: int,
        groups: Any = (),
        choose: Callable[[list[str]], list[Any]] | None = None,
    ) -> tuple[OptimizerState, list[Span]]:
        """Return an optimizer's state, and the trainable spans of some layers with their slots.

        Parameters
        ----------
        optimizer : object
            A new optimizer gets a new state.
        slots : sequence of (name, initial value) or None
            None is a slot that the optimizer does not need.
        first, last : int
            The index of the first layer, and one past the last.
        groups : object
            The optimizer's parameter groups. If this is another object than before, the spans are made
            again.
        choose : callable, optional
            Returns the settings of parameters from their names. Spans are divided where settings differ.
        """
        kept = self.states.get(optimizer)
        if kept is None:
            kept = self.states[optimizer] = self._new_state(optimizer, slots)
        if kept.groups is not groups:
            kept.spans.clear()
            kept.groups = groups
        ready = kept.spans.get((first, last))
        if ready is None:
            spans = self._divided(first, last, choose)
            buffers = [None if slot is None else kept.slots[slot[0]] for slot in slots]
            ready = kept.spans[first, last] = [
                Span(
                    self.values[span] if used is None else used.values,
                    self.gradients[span],
                    tuple(None if buffer is None else buffer[span] for buffer in buffers),
                    settings,
                    used,
                )
                for whole, settings in spans
                for span, used in self.sparse.apart(whole)
            ]
        return kept, ready

    def _divided(
        self, first: int, last: int, choose: Callable[[list[str]], list[Any]] | None
    ) -> Iterator[tuple[slice, Any]]:
        """Yield the trainable spans with their settings, divided where the settings differ."""
        if choose is None:
            yield from ((span, None) for span in self.spans(first, last))
            return
        begins, names = self._named()
        settings = choose(names)
        for span in self.spans(first, last):
            inside = [place for place, begin in enumerate(begins) if span.start <= begin < span.stop]
            start = span.start
            for place, following in pairwise(inside):
                if settings[following] != settings[place]:
                    yield slice(start, begins[following]), settings[place]
                    start = begins[following]
            yield slice(start, span.stop), settings[inside[-1]] if inside else None

    def name_of(self, values: Array) -> str:
        """Return the name of the parameter that begins where `values` begin."""
        begins, names = self._named()
        return names[begins.index(self.place(values))]

    def _named(self) -> tuple[list[int], list[str]]:
        """Return where each parameter starts in the buffers, in ascending order, and its name."""
        found: dict[int, str] = {}  # by position, as a container and its layers both name the same parameter
        for layer in self.layers:
            for name, value, _ in layer.named_parameters():
                if not value.flags.c_contiguous:
                    raise ConfigurationError(
                        f"{layer.name}.{name} is not contiguous in memory, but parameter groups need that: "
                        "remove the groups, or let named_parameters yield contiguous arrays"
                    )
                found[self.place(value)] = f"{layer.name}.{name}"
        return sorted(found), [found[begin] for begin in sorted(found)]

    def _new_state(self, optimizer: object, slots: Sequence[tuple[str, float] | None]) -> OptimizerState:
        buffers: dict[str, Array] = {}
        needed = [slot for slot in slots if slot is not None]
        if len(dict(needed)) < len(needed):
            names = ", ".join(name for name, _ in needed)
            raise ConfigurationError(f"{optimizer!r} has two slots with the same name: rename one of {names}")
        for name, value in needed:
            buffers[name] = self.backend.zeros(self.values.shape, self.dtype)
            with self.backend.hold():
                buffers[name] += value
        return OptimizerState(buffers)

    def draw(self, layer: int) -> int:
        """Count a layer's training pass; return the number of earlier ones since the last optimizer step."""
        step, count = self.passes.get(layer, (self.step, 0))
        count = count if step == self.step else 0
        self.passes[layer] = (self.step, count + 1)
        return count

    def trainable_changed(self) -> None:
        """Make the spans again at the next step; layers call this when their `trainable` is set."""
        for kept in self.states.values():
            kept.spans.clear()


def __getattr__(name: str) -> Any:
    if name == "Optimized":
        warnings.warn("nnx.parameters.Optimized is now nnx.parameters.Span", DeprecationWarning, stacklevel=2)
        return Span
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _address(x: Array) -> int:
    """Return the address of an array in its device's memory."""
    interface = getattr(x, "__cuda_array_interface__", None) or x.__array_interface__
    return int(interface["data"][0])


def _check_names(layer: Parameterized) -> None:
    """Check the names of a layer's parameters and state: each becomes an attribute, gradients with a "d".

    Raises
    ------
    ConfigurationError
        If two names are the same, or a name is already an attribute of the layer.
    """
    trained = list(layer.parameter_shapes())
    names = [*trained, *(f"d{name}" for name in trained), *layer.state_shapes()]
    for name in names:
        taken = name in RESERVED or callable(getattr(type(layer), name, None))
        if taken or names.count(name) > 1:
            raise ConfigurationError(
                f"{type(layer).__name__}: the parameter or state {name!r} would replace another attribute of "
                "the layer: choose another name (a parameter p also needs dp, for its gradient)"
            )
