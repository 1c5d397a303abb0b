"""What every layer is: parameters as views into an arena, and two passes that write where they are told."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any, ClassVar

from nnx import initializers
from nnx.backends import Array, resolve
from nnx.errors import ConfigurationError, DataError, FileFormatError, flag, nearest
from nnx.layers.plan import Cache, Plan
from nnx.parameters import Arena, Shapes


class Layer:
    """Base class of all layers, and of your own.

    A layer maps rows of `inputs` numbers to rows of `outputs` numbers. It holds parameters and nothing that
    depends on a batch: what backward needs again is kept in the `Cache` it is handed.

    A subclass writes `forward_into` and `backward_into`; with parameters also `parameter_shapes` and
    `initial_values`; where its output is not as wide as its input, `width`. The class is then known to
    ``load`` by its name. Its constructor's arguments are expected back from `config`: a network with a layer
    whose `config` lacks one is neither copied nor saved. A layer does not hold other layers: their parameters
    would be neither trained nor saved.

    Attributes
    ----------
    inputs, outputs : int or None
        Widths; None until known.
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
    ...     def forward_into(self, x, y, cache):
    ...         y[...] = x * self.factor
    ...     def backward_into(self, dy, dx, cache):
    ...         self.dfactor[...] = (dy * cache.x).sum(axis=0)
    ...         if dx is not None:
    ...             dx[...] = dy * self.factor
    """

    registry: ClassVar[dict[str, type[Layer]]] = {}  # nnx's by their name, others by module and name

    inputs: int | None = None
    outputs: int | None = None
    arena: Arena | None = None
    name: str = ""
    index: int = 0
    owned: bool = False
    seed: int | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Layer.registry[cls.__name__ if cls.__module__.startswith("nnx.") else _full_name(cls)] = cls

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
        """The number of outputs for a number of inputs."""
        return inputs

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, as values that JSON can hold."""
        return {}

    def forward_into(self, x: Array, y: Array, cache: Cache) -> None:
        """Compute y, of shape (rows, outputs), from x, of shape (rows, inputs)."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward_into")

    def backward_into(self, dy: Array, dx: Array | None, cache: Cache) -> None:
        """Overwrite the gradients of the parameters and, where wanted, dx, from dy = ∂L/∂y."""
        raise NotImplementedError(f"{type(self).__name__} does not define backward_into")

    # --------------------------------------------------- used alone or built

    @property
    def takes_activation(self) -> bool:
        """Whether its `forward_into` also computes an activation that a plan fuses into it."""
        return False

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

    def connect(self, inputs: int) -> int:
        """Fix the input width (given, or inferred from the layer before) and return the output's.

        Raises
        ------
        ConfigurationError
            If the layer states another width, or holds other layers.
        """
        if self.inputs is not None and self.inputs != inputs:
            raise ConfigurationError(
                f"{self!r} expects {self.inputs} inputs, but what comes before it gives {inputs}"
            )
        self.inputs = inputs
        self.outputs = self.width(inputs)
        self.refuse_inner_layers()
        return self.outputs

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
                        "neither counted, trained nor saved: list all layers in the network itself"
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

    def build(self, inputs: int | None = None, *, device: Any = None, dtype: Any = "float32") -> Layer:
        """Give a layer used alone its own arena and initial values; a network does this for its layers.

        Raises
        ------
        ConfigurationError
            If the input width is neither stated nor given, or the layer belongs to a network.
        """
        if self.owned:
            raise ConfigurationError(f"{self.name} belongs to a network, which builds it")
        inputs = inputs if inputs is not None else self.inputs
        if inputs is None:
            raise ConfigurationError(
                f"{type(self).__name__}: the number of inputs is not known: build(inputs=…)"
            )
        self.connect(inputs)
        backend = resolve(device)
        seed = initializers.fresh_seed() if self.seed is None else self.seed
        Arena([self], backend, backend.xp.dtype(dtype), seed)
        self.initialize(initializers.generator(seed, "weights"))
        return self

    def forward(self, x: Array, training: bool = False) -> Array:
        """The layer's output for rows x; what backward needs is kept in a plan of the layer's own.

        Parameters
        ----------
        x : array of shape (rows, inputs)
            An array of the layer's device; host data for a layer not built yet, which builds it there.
        training : bool
            Whether dropout drops and batch normalization uses the batch's own statistics.

        Returns
        -------
        array of shape (rows, outputs)
            Valid until the next forward pass of the same layer; copy it to keep it.

        Raises
        ------
        DataError
            If x is not two-dimensional or not as wide as the layer's input.
        """
        if not hasattr(x, "ndim"):
            x = resolve("cpu" if self.arena is None else self.arena.backend).asarray(x)
        if x.ndim != 2:
            raise DataError(f"{self!r} takes x of shape (rows, inputs), not {tuple(x.shape)}")
        if self.arena is None:
            floating = str(x.dtype) if str(x.dtype) in ("float32", "float64") else "float32"
            self.build(x.shape[1], dtype=floating)
        assert self.arena is not None
        if self._plan is None:
            activations = self.expand()[1:]
            for layer in activations:
                layer.connect(self.outputs or 0)
            # the layer holds its plan, so the plan refers to it weakly: no cycle keeps the two in memory
            self._plan = Plan([weakref.proxy(self), *activations], self.arena, keep=True)
        x = self.arena.backend.asarray(x, self.arena.dtype)
        return self._plan.forward(x, training=training)

    def backward(self, dy: Array) -> Array:
        """dx = ∂L/∂x from dy = ∂L/∂y, for the batch of the last forward pass; parameters' gradients too.

        Raises
        ------
        ConfigurationError
            If there was no forward pass.
        DataError
            If dy is not of the output's shape.
        """
        if self._plan is None or self.arena is None:
            raise ConfigurationError(f"{self!r}: backward before forward")
        return self._plan.backward(self.arena.backend.asarray(dy, self.arena.dtype), input_gradient=True)

    def named_parameters(self) -> Iterator[tuple[str, Array, Array]]:
        """(name, value, gradient) of each parameter, as views."""
        for name in self.parameter_shapes():
            yield name, getattr(self, name), getattr(self, "d" + name)

    def parameter_count(self) -> int:
        """How many numbers are trained (0 while the input width is unknown)."""
        return sum(value.size for _, value, _ in self.named_parameters()) if self.arena is not None else 0

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.config().items() if value is not None)
        return f"{self.name or type(self).__name__}({arguments})"


def _holds_layers(value: Any, depth: int = 3) -> bool:
    """Whether it is a layer or a network, or a collection of some."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return depth > 0 and any(_holds_layers(one, depth - 1) for one in value)
    return hasattr(type(value), "parameter_count")


def _full_name(kind: type[Layer]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _named(name: str) -> list[type[Layer]]:
    """The classes that a name means: the one of nnx, or all others that have it."""
    if name in Layer.registry:
        return [Layer.registry[name]]
    return [known for known in Layer.registry.values() if known.__name__ == name]


def kind_of(layer: Layer) -> str:
    """A layer's class as a file names it: by its name alone where no other class has it."""
    kind = type(layer)
    full = _full_name(kind)
    return kind.__name__ if all(_full_name(known) == full for known in _named(kind.__name__)) else full


def from_config(kind: str, config: dict[str, Any]) -> Layer:
    """A layer from its class's name and `Layer.config`.

    Raises
    ------
    FileFormatError
        If no such class is known (import the module that defines it first), several have the name, or the
        arguments do not fit.
    """
    found = _named(kind)
    if not found:
        raise FileFormatError(f"unknown layer {kind!r}{nearest(kind, Layer.registry)}")
    if len(found) > 1:
        raise FileFormatError(
            f"layer {kind!r} is a name of {' and of '.join(map(_full_name, found))}, and nothing says "
            "which is meant: load it where only the right one is imported"
        )
    made = found[0]
    try:
        return made(**config)
    except (TypeError, ConfigurationError) as error:
        raise FileFormatError(f"layer {kind} cannot be built from {config!r}: {error}") from error
