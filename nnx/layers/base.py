"""What every layer is: parameters as views into an arena, and two passes that write where they are told."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

from nnx import initializers
from nnx.backends import Array, resolve
from nnx.errors import ConfigurationError, DataError, flag, whole
from nnx.layers.plan import Plan, shape_of
from nnx.layers.workspace import Workspace
from nnx.parameters import Arena, Shapes
from nnx.records import LayerRecord


class Layer:
    """Base class of all layers, and of your own.

    A layer maps rows of shape `input_shape` to rows of shape `output_shape`. It holds parameters and nothing
    that depends on a batch: what backward needs again is kept in the `Workspace` it is handed.

    A subclass writes `forward_into` and `backward_into`; with parameters also `parameter_shapes` and
    `initial_values`; where its output is not as wide as its input, `width`. The class is then known to
    ``load`` by its name. Its constructor's arguments are expected back from `config`: a network with a layer
    whose `config` lacks one is neither copied nor saved. A layer does not hold other layers, unless it is a
    container (`Sequential`, `Residual`, `Concatenate`): their parameters would be neither trained nor saved.

    Attributes
    ----------
    input_shape, output_shape : tuple of int or None
        Shapes of a row, without the batch axis; None until known.
    inputs, outputs : int or None
        The sizes of their last axes.
    layout : {"features", "rows", "shape"}
        The form in which the passes see a batch of shape (rows, …). ``"features"``: as (rows × positions,
        inputs), so that a layer that works on the last axis is written for rows of features and takes any
        shape. ``"rows"``: as (rows, all numbers of a row). ``"shape"``: as it is.
    input_dtype : {"float", "integer"}
        Integers reach the layer in the type in which they are given; it is then never asked for dx.
    trainable : bool
        False makes optimizers leave the layer's parameters as they are.
    name : str
        Its name in the network it belongs to (``"dense_2"``), else its kind.

    Notes
    -----
    A layer of a network that was dropped keeps its values: ``layer.W`` reads and writes them, and `forward`
    works. It still counts as that network's and cannot be given to another; and it keeps the network's
    buffers in memory, because its values are views into them. Copy them (``layer.W.copy()``) to keep only
    those.

    Examples
    --------
    >>> import nnx
    >>> class Scale(nnx.Layer):
    ...     def parameter_shapes(self):
    ...         return {"factor": (self.inputs,)}
    ...     def initial_values(self, generator):
    ...         return {"factor": generator.uniform(0.5, 1.5, self.inputs)}
    ...     def forward_into(self, x, y, workspace):
    ...         y[...] = x * self.factor
    ...     def backward_into(self, dy, dx, workspace):
    ...         self.dfactor[...] = (dy * workspace.x).sum(axis=0)
    ...         if dx is not None:
    ...             dx[...] = dy * self.factor
    """

    record: ClassVar[LayerRecord]  # of a layer of nnx, see `nnx.records`
    registry: ClassVar[dict[str, type[Layer]]] = {}  # nnx's by their name, others by module and name

    layout: ClassVar[str] = "features"
    is_view: ClassVar[bool] = False  # a layer that only changes the shape: nothing is computed
    input_dtype: str = "float"
    branches: tuple[tuple[Layer, ...], ...] = ()  # the layers that a container holds

    input_shape: tuple[int, ...] | None = None
    output_shape: tuple[int, ...] | None = None
    inputs: int | None = None
    outputs: int | None = None
    arena: Arena | None = None
    name: str = ""
    index: int = 0
    owned: bool = False
    seed: int | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Layer.registry[cls.__name__ if cls.__module__.startswith("nnx.") else full_name(cls)] = cls

    def __init__(self) -> None:
        self._trainable = True
        self._plan: Plan | None = None

    # ------------------------------------------------ what a subclass writes

    def parameter_shapes(self) -> Shapes:
        """Shapes of what is trained, by name: each becomes the attributes ``name`` and ``dname``."""
        return {}

    def state_shapes(self) -> Shapes:
        """Shapes of what is kept and saved but not trained (running statistics), by name."""
        return {}

    def initial_values(self, generator: Any) -> dict[str, Any]:
        """Host arrays for parameters and state, by name; those left out start at zero."""
        return {}

    def width(self, inputs: int) -> int:
        """The size of the output's last axis for that of the input's."""
        return inputs

    def shape_after(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The output's shape for the input's: all axes but the last stay, and that becomes `width`."""
        return (*input_shape[:-1], self.width(input_shape[-1]))

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, as values that JSON can hold."""
        return {}

    def forward_into(self, x: Array, y: Array, workspace: Workspace) -> None:
        """Compute y, of shape (rows, outputs), from x, of shape (rows, inputs); see `layout` for others."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward_into")

    def backward_into(self, dy: Array, dx: Array | None, workspace: Workspace) -> None:
        """Overwrite the gradients of the parameters and, where wanted, dx, from dy = ∂L/∂y."""
        raise NotImplementedError(f"{type(self).__name__} does not define backward_into")

    # --------------------------------------------------- used alone or built

    @property
    def takes_activation(self) -> bool:
        """Whether its `forward_into` also computes an activation that a plan fuses into it."""
        return False

    @property
    def reads_output(self) -> bool:
        """Whether `backward_into` reads ``workspace.y``: nobody may then change it after the forward pass."""
        return True

    @property
    def fused_kind(self) -> str:
        """The backend's activation that this layer is and nothing but it; empty where it is anything else."""
        return ""

    @property
    def trainable(self) -> bool:
        """Whether optimizers may change this layer."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = flag(f"{self.name or type(self).__name__}: trainable", value)
        if self.arena is not None:
            self.arena.trainable_changed()

    def connect(self, inputs: int | tuple[int, ...]) -> tuple[int, ...]:
        """Fix the input's shape (given, or known from the layer before) and return the output's.

        Parameters
        ----------
        inputs : int or tuple of int
            The shape of a row; a number n is the shape (n,).

        Raises
        ------
        ConfigurationError
            If the layer states another width or takes no such shape, or holds other layers.
        """
        shape = as_shape(inputs)
        if self.inputs is not None and self.inputs != shape[-1] and not self.is_view:
            raise ConfigurationError(
                f"{self!r} expects {self.inputs} inputs, but what comes before it gives {shape[-1]}"
            )
        self.input_shape, self.inputs = shape, shape[-1]
        self.output_shape = self.shape_after(shape)
        self.outputs = self.output_shape[-1]
        self.refuse_inner_layers()
        return self.output_shape

    def refuse_inner_layers(self) -> None:
        """See that no attribute holds a layer or a network, of which nothing would be trained or saved.

        Raises
        ------
        ConfigurationError
            If one does; the text names it.
        """
        kinds = type(self).__mro__[: type(self).__mro__.index(Layer)]
        for owner in (self, *kinds):
            for name, value in vars(owner).items():
                if _holds_layers(value):
                    raise ConfigurationError(
                        f"{type(self).__name__} holds another layer in {name!r}, whose parameters would be "
                        "neither counted, trained nor saved: list all layers in the network itself, or "
                        "join them by nnx.Sequential, nnx.Residual or nnx.Concatenate"
                    )

    def expand(self) -> list[Layer]:
        """The layers this one stands for: itself, and the activation of a shorthand."""
        return [self]

    def absorb(self) -> list[Layer]:
        """`expand` for a network, which from then on holds the activation as a layer of its own."""
        return self.expand()

    def bind(self, arena: Arena, views: dict[str, Array]) -> None:
        """Take the arena's views as attributes."""
        self.arena = arena
        self._plan = None
        for name, view in views.items():
            setattr(self, name, view)

    def initialize(self, generator: Any) -> None:
        """Draw initial values into the views."""
        assert self.arena is not None
        backend = self.arena.backend
        with backend.hold():
            for name, value in self.initial_values(generator).items():
                getattr(self, name)[...] = backend.asarray(value, self.arena.dtype)

    def build(
        self, inputs: int | tuple[int, ...] | None = None, *, device: Any = None, dtype: Any = "float32"
    ) -> Layer:
        """Give a layer used alone its own arena and initial values; a network does this for its layers.

        Parameters
        ----------
        inputs : int or tuple of int, optional
            The shape of a row; a number n is the shape (n,). None where the layer states its width.
        device, dtype
            As for `Network`.

        Raises
        ------
        ConfigurationError
            If the shape is neither stated nor given, or the layer belongs to a network.
        """
        if self.owned:
            raise ConfigurationError(f"{self.name} belongs to a network, which builds it")
        shape = inputs if inputs is not None else self.input_shape or self.inputs
        if shape is None:
            raise ConfigurationError(
                f"{type(self).__name__}: the number of inputs is not known: build(inputs=…)"
            )
        self.connect(shape)
        backend = resolve(device)
        seed = initializers.fresh_seed() if self.seed is None else self.seed
        layers = list(walk([self]))
        Arena(layers, backend, backend.xp.dtype(dtype), seed)
        generator = initializers.generator(seed, "weights")
        for layer in layers:
            layer.initialize(generator)
        return self

    def forward(self, x: Array, training: bool = False) -> Array:
        """The layer's output for rows x; what backward needs is kept in a plan of the layer's own.

        Parameters
        ----------
        x : array of shape (rows, *input_shape)
            An array of the layer's device; host data for a layer not built yet, which builds it there.
        training : bool
            Whether dropout drops and batch normalization uses the batch's own statistics.

        Returns
        -------
        array of shape (rows, *output_shape)
            Valid until the next forward pass of the same layer; copy it to keep it.

        Raises
        ------
        DataError
            If x has no axis besides the rows, or does not fit the layer's input.
        """
        if not hasattr(x, "ndim"):
            x = resolve("cpu" if self.arena is None else self.arena.backend).asarray(x)
        if x.ndim < 2:
            raise DataError(f"{self!r} takes x of shape (rows, inputs), not {tuple(x.shape)}")
        if self.arena is None:
            floating = str(x.dtype) if str(x.dtype) in ("float32", "float64") else "float32"
            self.build(tuple(x.shape[1:]), dtype=floating)
        assert self.arena is not None
        if self._plan is None:
            activations = self.expand()[1:]
            for layer in activations:
                layer.connect(shape_of(self.output_shape))
            # the layer holds its plan, so the plan refers to it weakly: no cycle keeps the two in memory
            self._plan = Plan([weakref.proxy(self), *activations], self.arena, keep=True)
        x = self.arena.backend.asarray(x, self.arena.dtype if self.input_dtype == "float" else None)
        if self.input_dtype != "float":
            check_integers(self, x)
        return self._plan.forward(x, training=training)

    def backward(self, dy: Array) -> Array | None:
        """dx = ∂L/∂x from dy = ∂L/∂y, for the batch of the last forward pass; parameters' gradients too.

        None for a layer that takes integers.

        Raises
        ------
        ConfigurationError
            If there was no forward pass.
        DataError
            If dy is not of the output's shape.
        """
        if self._plan is None or self.arena is None:
            raise ConfigurationError(f"{self!r}: backward before forward")
        dy = self.arena.backend.asarray(dy, self.arena.dtype)
        return self._plan.backward(dy, input_gradient=self.input_dtype == "float")

    def named_parameters(self) -> Iterator[tuple[str, Array, Array]]:
        """(name, value, gradient) of each parameter, as views."""
        for name in self.parameter_shapes():
            yield name, getattr(self, name), getattr(self, "d" + name)

    def named_state(self) -> Iterator[tuple[str, Array]]:
        """(name, value) of what is kept but not trained, as views."""
        for name in self.state_shapes():
            yield name, getattr(self, name)

    def connections(self) -> dict[str, Any]:
        """The shapes that `connect` fixes, by attribute."""
        return {name: getattr(self, name) for name in ("input_shape", "inputs", "output_shape", "outputs")}

    def parameter_count(self) -> int:
        """How many numbers are trained (0 while the input width is unknown)."""
        return sum(value.size for _, value, _ in self.named_parameters()) if self.arena is not None else 0

    @classmethod
    def _from_config(cls, config: dict[str, Any]) -> Layer:
        return cls(**config)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.config().items() if value is not None)
        return f"{self.name or type(self).__name__}({arguments})"


def walk(layers: Iterable[Layer]) -> Iterator[Layer]:
    """The layers in order, each container before the layers that it holds."""
    for layer in layers:
        yield layer
        for branch in layer.branches:
            yield from walk(branch)


def as_shape(inputs: int | tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a row, from the shape or the number of its features.

    Raises
    ------
    ConfigurationError
        If it is not made of positive whole numbers.
    """
    shape = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
    if not shape:
        raise ConfigurationError("the shape of a row needs at least one axis")
    return tuple(whole("the shape of a row", size) for size in shape)


def check_integers(layer: Layer, x: Array) -> None:
    """Refuse an array of other types for a layer that takes integers.

    Raises
    ------
    DataError
        If it does not hold integers.
    """
    if x.dtype.kind not in "iu":
        raise DataError(f"{layer!s} takes integers, not {x.dtype}: x = x.astype(int)?")


def _holds_layers(value: Any, depth: int = 3) -> bool:
    """Whether it is a layer or a network, or a collection of some."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return depth > 0 and any(_holds_layers(one, depth - 1) for one in value)
    return hasattr(type(value), "parameter_count")


def full_name(kind: type[Layer]) -> str:
    """A class by its module and name."""
    return f"{kind.__module__}.{kind.__qualname__}"
