"""The base of all layers: parameters are views into an arena, and two passes write into given arrays."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

from nnx import initializers
from nnx.backends import Array, resolve
from nnx.errors import ConfigurationError, DataError, flag, whole
from nnx.layers import held, integers
from nnx.layers.copies import Copies
from nnx.layers.plan import Plan, shape_of
from nnx.layers.workspace import Workspace
from nnx.parameters import Arena, Shapes
from nnx.records import LayerRecord


class Layer(Copies):
    """Base class of all layers, also of your own.

    A layer maps rows of shape `input_shape` to rows of shape `output_shape`. It holds parameters, and nothing
    that depends on a batch. What the backward pass needs from the forward pass is in the `Workspace`.

    A subclass defines `forward_into` and `backward_into`; if it has parameters, also `parameter_shapes` and
    `initial_values`; and if its output is not as wide as its input, also `width`. ``load`` finds the class by
    its name. `config` must return all arguments of the constructor, else a network with this layer can be
    neither copied nor saved. Only containers (`Sequential`, `Residual`, `Concatenate`) hold other layers: in
    other layers, the parameters of held layers would be neither trained nor saved.

    Attributes
    ----------
    input_shape, output_shape : tuple of int or None
        Shapes of a row, without the batch axis; None until they are known.
    inputs, outputs : int or None
        The sizes of the last axes of these shapes.
    layout : {"features", "rows", "shape"}
        The form in which the passes see a batch of shape (rows, …). ``"features"``: as (rows × positions,
        inputs), so a layer that works on the last axis is written for rows of features and takes any shape.
        ``"rows"``: as (rows, all numbers of a row). ``"shape"``: unchanged.
    input_dtype : {"float", "integer"}
        With "integer", integers reach the layer with their own type, and nothing asks for dx.
    input_limit : int or None
        For a layer that takes integers: they must lie in 0 to `input_limit` − 1, and others are refused
        before a pass. None: any integers.
    term : str
        For a layer that adds a term to the loss: the term's name in the history; else empty. The forward pass
        writes the term, a mean over the rows, into ``workspace.term`` of shape (1,), unless that is None.
        The backward pass adds the term's gradient, times ``workspace.share``, to dx or to the gradients of
        the parameters. See `Workspace.row_shares`.
    term_note : str
        What the term needs to be finite, for the error if it is not.
    trainable : bool
        If False, optimizers do not change the layer's parameters.
    name : str
        The layer's name in its network (``"dense_2"``); empty without a network.

    Notes
    -----
    If a network is deleted, a layer of it that you still hold keeps its values: ``layer.W`` reads and writes
    them, and `forward` works. The layer cannot be given to another network. Its values are views into the
    network's buffers, so the buffers stay in memory. To keep only the values, copy them
    (``layer.W.copy()``), or the layer: ``copy.deepcopy(layer)`` belongs to no network.

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

    record: ClassVar[LayerRecord]  # only layers of nnx have it, see `nnx.records`
    registry: ClassVar[dict[str, type[Layer]]] = {}  # layers of nnx by name, others by module and name

    layout: ClassVar[str] = "features"
    # whether a step on a GPU with it may be recorded, see `nnx.training.replay`
    replays: bool = False
    is_view: ClassVar[bool] = False  # whether the layer only changes the shape and computes nothing
    term: str = ""
    term_note: str = ""
    takes_factors: bool = False  # whether the passes in bfloat16 are those of `nnx.layers.factors`
    takes_sparse: bool = False  # whether the passes also take a `SparseBatch`, for which nothing asks for dx
    input_dtype: str = "float"
    input_limit: int | None = None
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

    # ---------------------------------------------- what a subclass defines

    def parameter_shapes(self) -> Shapes:
        """Return the shapes of the parameters by name; each becomes the attributes ``name`` and ``dname``."""
        return {}

    def sparse_parameters(self) -> tuple[str, ...]:
        """Return the names of parameters of which a step only touches the rows that it uses.

        ``used_name`` is then the parameter's `UsedRows`, which writes its gradient.
        """
        return ()

    def state_shapes(self) -> Shapes:
        """Return the shapes of the state by name: saved but not trained, such as running statistics."""
        return {}

    def initial_values(self, generator: Any) -> dict[str, Any]:
        """Return host arrays for parameters and state by name; those that are missing start at zero."""
        return {}

    def width(self, inputs: int) -> int:
        """Return the size of the output's last axis, for the size of the input's last axis."""
        return inputs

    def shape_after(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the output's shape for an input's shape; by default only the last axis changes."""
        return (*input_shape[:-1], self.width(input_shape[-1]))

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, as values that JSON can hold."""
        return {}

    def factor_count(self, rows: int) -> int:
        """Return how many rounded factors a pass stores if the network's products have bfloat16 factors."""
        return 0

    def forward_into(self, x: Array, y: Array, workspace: Workspace) -> None:
        """Compute y of shape (rows, outputs) from x of shape (rows, inputs); `layout` can change the form."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward_into")

    def backward_into(self, dy: Array, dx: Array | None, workspace: Workspace) -> None:
        """Overwrite the parameters' gradients, and dx unless it is None, from dy = ∂L/∂y."""
        raise NotImplementedError(f"{type(self).__name__} does not define backward_into")

    # --------------------------------------------------- used alone or built

    @property
    def takes_activation(self) -> bool:
        """Return whether `forward_into` also computes an activation that a plan fuses into the layer."""
        return False

    @property
    def reads_output(self) -> bool:
        """Return whether `backward_into` reads ``workspace.y``; then nothing may change y before it."""
        return True

    @property
    def fused_kind(self) -> str:
        """Return the kind of the activation that this layer computes; empty for other layers."""
        return ""

    @property
    def trainable(self) -> bool:
        """Return whether optimizers may change this layer."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = flag(f"{self.name or type(self).__name__}: trainable", value)
        if self.arena is not None:
            self.arena.trainable_changed()

    def connect(self, inputs: int | tuple[int, ...]) -> tuple[int, ...]:
        """Set the input's shape (given, or known from the layer before) and return the output's shape.

        Parameters
        ----------
        inputs : int or tuple of int
            The shape of a row; a number n is the shape (n,).

        Raises
        ------
        ConfigurationError
            If the layer expects another width or shape, or holds other layers.
        """
        shape = as_shape(inputs)
        if self.inputs is not None and self.inputs != shape[-1] and not self.is_view:
            raise ConfigurationError(
                f"{self!r} expects {self.inputs} inputs, but the layer or the data before it has "
                f"{shape[-1]}: change one of the two numbers"
            )
        self.input_shape, self.inputs = shape, shape[-1]
        self.output_shape = self.shape_after(shape)
        self.outputs = self.output_shape[-1]
        self.refuse_inner_layers()
        return self.output_shape

    def refuse_inner_layers(self) -> None:
        """Check that no attribute holds a layer or a network, because it would be neither trained nor saved.

        Raises
        ------
        ConfigurationError
            If an attribute does; the text names it.
        """
        held.refuse(self, type(self).__mro__[: type(self).__mro__.index(Layer)])

    def expand(self) -> list[Layer]:
        """Return the layer itself, and the activation if the layer is a shorthand for both."""
        return [self]

    def absorb(self) -> list[Layer]:
        """Do `expand` for a network, which then holds the activation as a separate layer."""
        return self.expand()

    def bind(self, arena: Arena, views: dict[str, Array]) -> None:
        """Store the arena's views as attributes."""
        self.arena = arena
        self._plan = None
        for name, view in views.items():
            setattr(self, name, view)

    def placed(self, layers: Sequence[Layer]) -> None:
        """Look at all layers of the network, with those in containers, when this one has its place there."""

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
        """Give a layer without a network its own arena and initial values; networks do it for their layers.

        Parameters
        ----------
        inputs : int or tuple of int, optional
            The shape of a row; a number n is the shape (n,). None if the layer was made with its width.
        device, dtype
            As for `Network`.

        Raises
        ------
        ConfigurationError
            If the shape is not known, or the layer belongs to a network.
        """
        if self.owned:
            raise ConfigurationError(f"{self.name} belongs to a network, which builds it")
        shape = inputs if inputs is not None else self.input_shape or self.inputs
        if shape is None:
            raise ConfigurationError(
                f"{type(self).__name__}: the number of inputs is not known: call build(inputs=…)"
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
        """Return the layer's output for rows x; the layer's own plan stores what `backward` needs.

        Parameters
        ----------
        x : array of shape (rows, *input_shape)
            An array on the layer's device. A layer that is not built yet is built for x.
        training : bool
            Whether dropout drops, and batch normalization uses the batch's statistics.

        Returns
        -------
        array of shape (rows, *output_shape)
            It is valid until the next forward pass of this layer; copy it to keep it.

        Raises
        ------
        DataError
            If x has only the axis of rows, or does not fit the layer's input.
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
                if layer.parameter_shapes():
                    raise ConfigurationError(
                        f"{self!r} alone cannot hold the parameters of its activation {layer!r}: put both "
                        "into a network"
                    )
            # The layer holds its plan, so the plan has a weak reference: no cycle keeps both in memory.
            self._plan = Plan([weakref.proxy(self), *activations], self.arena, keep=True)
        x = self.arena.backend.asarray(x, self.arena.dtype if self.input_dtype == "float" else None)
        if (taken := integers.limits([self])) is not None:
            taken.check(x, "x", backend=self.arena.backend)
        return self._plan.forward(x, training=training)

    def backward(self, dy: Array) -> Array | None:
        """Compute the parameters' gradients from dy = ∂L/∂y for the last forward pass; return dx = ∂L/∂x.

        A layer that takes integers returns None.

        Raises
        ------
        ConfigurationError
            If there was no forward pass.
        DataError
            If dy does not have the output's shape.
        """
        if self._plan is None or self.arena is None:
            raise ConfigurationError(f"{self!r}: call forward before backward")
        dy = self.arena.backend.asarray(dy, self.arena.dtype)
        dx = self._plan.backward(dy, input_gradient=self.input_dtype == "float")
        if self.arena.sparse:
            self.arena.sparse.show()
        return dx

    def named_parameters(self) -> Iterator[tuple[str, Array, Array]]:
        """Yield (name, value, gradient) of each parameter, as views."""
        for name in self.parameter_shapes():
            yield name, getattr(self, name), getattr(self, "d" + name)

    def named_state(self) -> Iterator[tuple[str, Array]]:
        """Yield (name, value) of the state, which is not trained, as views."""
        for name in self.state_shapes():
            yield name, getattr(self, name)

    def connections(self) -> dict[str, Any]:
        """Return the shapes that `connect` sets, by attribute."""
        return {name: getattr(self, name) for name in ("input_shape", "inputs", "output_shape", "outputs")}

    def parameter_count(self) -> int:
        """Return the number of trained values (0 until the layer is built)."""
        return sum(value.size for _, value, _ in self.named_parameters()) if self.arena is not None else 0

    @classmethod
    def _from_config(cls, config: dict[str, Any]) -> Layer:
        return cls(**config)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.config().items() if value is not None)
        return f"{self.name or type(self).__name__}({arguments})"


def walk(layers: Iterable[Layer]) -> Iterator[Layer]:
    """Yield the layers in order, each container before the layers that it holds."""
    for layer in layers:
        yield layer
        for branch in layer.branches:
            yield from walk(branch)


def as_shape(inputs: int | tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a row, from its shape or the number of its features.

    Raises
    ------
    ConfigurationError
        If the shape does not consist of positive whole numbers.
    """
    shape = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
    if not shape:
        raise ConfigurationError("the shape of a row needs at least one axis")
    return tuple(whole("the shape of a row", size) for size in shape)


def full_name(kind: type[Layer]) -> str:
    """Return a class's module and name."""
    return f"{kind.__module__}.{kind.__qualname__}"
