"""Containers: layers that hold layers.

The branches of a container are lists of layers. Each branch has its own plan inside the network's plan. The
inner layers are planned, fused, trained, frozen, checked and saved like all others, and named by their path
(``residual_1.dense_2``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from nnx.backends import Array
from nnx.errors import ConfigurationError
from nnx.layers import stack
from nnx.layers.base import Layer, walk
from nnx.layers.descriptions import entry_of, from_entry
from nnx.layers.workspace import Workspace
from nnx.records import Case, Counterpart, LayerRecord

__all__ = ["Concatenate", "Residual", "Sequential"]

Layers = Sequence[Layer]
DENSE, BACK = {"name": "dense", "units": 5}, {"name": "dense", "units": 4}  # for gradient checks
ITS_LAYERS = "a file has the layers that it holds, one after the other"


def _some_layers(*described: str | dict[str, Any]) -> list[Layer]:
    """Make layers for a gradient check."""
    from nnx.layers import get  # imported late: it needs all layers, also these containers

    return [get(one) for one in described]


class Container(Layer):
    """Base of the containers.

    Attributes
    ----------
    branches : tuple of tuples of Layer
        The layers of each branch. An empty branch returns its input.
    """

    layout = "shape"
    replays = True

    def __init__(self, branches: Sequence[Layers]) -> None:
        super().__init__()
        if type(self) is Container:
            raise ConfigurationError("Container is a base class: use Sequential, Residual or Concatenate")
        held = [stack.expand(branch, type(self).__name__) if branch else () for branch in branches]
        inner = [layer for branch in held for layer in branch]
        if len(set(map(id, inner))) < len(inner):
            raise ConfigurationError(f"{type(self).__name__} has the same layer twice: make a second one")
        self.branches = tuple(held)
        kinds = {stack.takes_integers(branch) for branch in held}
        if len(kinds) > 1:
            raise ConfigurationError(
                f"{type(self).__name__}: one branch takes integers and another takes floats, but all "
                "branches get the same input: use branches of one kind"
            )
        self.input_dtype = "integer" if kinds == {True} else "float"
        for branch in held:
            if branch and self.inputs is None and not branch[0].is_view:
                self.inputs = branch[0].inputs
        for layer in inner:
            layer.absorb()
        stack.adopt(self)

    # ------------------------------------------------------------------ what it holds

    @property
    def trainable(self) -> bool:
        """Return whether optimizers may change any of its layers; setting it sets all layers."""
        return any(layer.trainable for branch in self.branches for layer in branch)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for branch in self.branches:
            for layer in branch:
                layer.trainable = value

    def named_parameters(self) -> Iterator[tuple[str, Array, Array]]:
        """Yield (path in the container, value, gradient) of each parameter of its layers."""
        for layer in self._inner():
            for name, value, gradient in layer.named_parameters():
                yield f"{layer.name.removeprefix(f'{self.name}.')}.{name}", value, gradient

    def named_state(self) -> Iterator[tuple[str, Array]]:
        """Yield (path in the container, value) of the state of its layers."""
        for layer in self._inner():
            for name, value in layer.named_state():
                yield f"{layer.name.removeprefix(f'{self.name}.')}.{name}", value

    def _inner(self) -> Iterator[Layer]:
        return (layer for branch in self.branches for layer in branch)

    def connect(self, inputs: int | tuple[int, ...]) -> tuple[int, ...]:
        """See `Layer.connect`; each branch is connected to the same input."""
        before = [(layer, layer.connections()) for layer in walk([self])]
        try:
            return super().connect(inputs)
        except ConfigurationError as error:
            for layer, kept in before:
                vars(layer).update(kept)
            raise ConfigurationError(f"in {self.name or type(self).__name__}: {error}") from error

    def refuse_inner_layers(self) -> None:
        """Do nothing: a container may hold layers."""

    def _shapes(self, input_shape: tuple[int, ...]) -> list[tuple[int, ...]]:
        """Connect each branch, and return the shapes of their outputs."""
        return [stack.connect(branch, input_shape) for branch in self.branches]

    # ---------------------------------------------------------------------- passes

    def place(self, workspace: Workspace, rows: int) -> None:
        """Give the branches' plans arrays for their outputs and dx; None means an array of the plan."""
        raise NotImplementedError

    def __repr__(self) -> str:
        branches = [f"[{', '.join(map(repr, branch))}]" for branch in self.branches]
        return f"{self.name or type(self).__name__}({self._arguments(branches)})"

    def _arguments(self, branches: list[str]) -> str:
        return ", ".join(branches)

    @classmethod
    def _from_config(cls, config: dict[str, Any]) -> Layer:
        return cls(**{name: _built(value) for name, value in config.items()})


class Sequential(Container):
    """Combine layers that run one after the other into one layer.

    Parameters
    ----------
    layers : sequence of Layer

    Raises
    ------
    ConfigurationError
        If there is no layer, a layer already belongs to a network, or shapes do not fit.

    Examples
    --------
    >>> import nnx
    >>> block = nnx.Sequential([nnx.Dense(8), nnx.ReLU(), nnx.Dense(4)])
    >>> nnx.Network([block, nnx.Softmax()]).build(3).output_shape
    (4,)
    """

    record = LayerRecord(
        names=("sequential",),
        cases=(Case(lambda: {"layers": _some_layers(DENSE, "tanh", DENSE)}),),
        keras=ITS_LAYERS,
        onnx=ITS_LAYERS,
        listed=False,
    )

    def __init__(self, layers: Layers) -> None:
        super().__init__([_some("Sequential", layers)])

    def shape_after(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the last layer's shape."""
        return self._shapes(input_shape)[0]

    def place(self, workspace: Workspace, rows: int) -> None:
        """Let the last layer write y, and the first layer dx."""
        workspace.plans[0].lay_out(rows, workspace.y, workspace.dx)

    def forward_into(self, x: Array, y: Array, workspace: Workspace) -> None:
        """Run the layers forward."""
        plan = workspace.plans[0]
        result = plan.run(x, workspace)
        if not plan.groups:
            y[...] = result

    def backward_into(self, dy: Array, dx: Array | None, workspace: Workspace) -> None:
        """Run the layers backward."""
        plan = workspace.plans[0]
        result = plan.run_back(dy, dx is not None)
        if dx is not None and not plan.groups:
            dx[...] = result

    def config(self) -> dict[str, Any]:
        """Return the layers' descriptions."""
        return {"layers": list(map(entry_of, self.branches[0]))}


class Residual(Container):
    """y = f(x) + x, where f is a sequence of layers; with a projection p: y = f(x) + p(x).

    Backward: dx = ∂f/∂x dy + dy, or ∂f/∂x dy + ∂p/∂x dy.

    Parameters
    ----------
    layers : sequence of Layer
        The layers of f. Their output has the shape of their input, or of the projection's output.
    projection : Layer or sequence of Layer, optional
        The layers of p, needed if the shapes of x and f(x) differ: ``projection=nnx.Dense(16)``.

    Raises
    ------
    ConfigurationError
        If there is no layer, a layer already belongs to a network, or shapes do not fit.

    Notes
    -----
    If the last layer of f does not need its own output in the backward pass (`Dense` without a fused
    activation, a normalization, `Dropout`), f writes into y, and x is added in place.

    References
    ----------
    He, Zhang, Ren and Sun (2016), Deep residual learning for image recognition, eq. 1 and 2.

    Examples
    --------
    >>> import nnx
    >>> block = nnx.Residual([nnx.LayerNorm(), nnx.Dense(32), nnx.GELU(), nnx.Dense(8)])
    >>> network = nnx.Network([nnx.Dense(3, 8), block, nnx.Dense(1)], seed=0)
    >>> [name for name, _, _ in network.parameters()][2:5]
    ['residual_1.layernorm_1.gamma', 'residual_1.layernorm_1.beta', 'residual_1.dense_1.W']
    """

    record = LayerRecord(
        names=("residual",),
        cases=(
            Case(lambda: {"layers": _some_layers("layer_norm", DENSE, "gelu", BACK)}),
            Case(lambda: {"layers": _some_layers(DENSE, "tanh"), "projection": _some_layers(DENSE)}),
        ),
        keras=Counterpart("Add"),
        onnx=Counterpart("Add"),
        listed=False,
    )
    reads_output = False

    def __init__(self, layers: Layers, projection: Layer | Layers | None = None) -> None:
        way = [projection] if isinstance(projection, Layer) else (projection or [])
        super().__init__([_some("Residual", layers), way])

    def shape_after(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of both terms."""
        result, added = self._shapes(input_shape)
        if result != added:
            has = f"its projection returns {added}" if self.branches[1] else f"its input has {added}"
            advice = "" if self.branches[1] else f": add a projection to {result}, projection=nnx.Dense(…)"
            if advice and result[:-1] != added[:-1]:  # Dense changes the last axis only
                advice = (
                    f': use padding="same" without strides, or add a projection to {result}, such as '
                    "nnx.Conv2D(…) with the same strides"
                )
            raise ConfigurationError(f"its layers return rows of shape {result}, but {has}{advice}")
        return result

    def place(self, workspace: Workspace, rows: int) -> None:
        """Let f write y, if it can, and dx."""
        plan, projection = workspace.plans
        workspace.direct = bool(plan.groups) and not plan.reads_output
        plan.lay_out(rows, workspace.y if workspace.direct else None, workspace.dx)
        projection.lay_out(rows)

    def forward_into(self, x: Array, y: Array, workspace: Workspace) -> None:
        """Compute f(x), then add the other term."""
        plan, projection = workspace.plans
        result, added = plan.run(x, workspace), projection.run(x, workspace)
        # if f wrote into y, result is a view of y, and CuPy would copy a view before it writes y
        workspace.backend.xp.add(y if workspace.direct else result, added, out=y)

    def backward_into(self, dy: Array, dx: Array | None, workspace: Workspace) -> None:
        """Compute dx of f, then add dx of the other term."""
        plan, projection = workspace.plans
        result = plan.run_back(dy, dx is not None)
        added = projection.run_back(dy, dx is not None)
        if dx is not None:
            workspace.backend.xp.add(
                dx if plan.groups else result, added, out=dx
            )  # f wrote dx, as in `place`

    def _arguments(self, branches: list[str]) -> str:
        return ", projection=".join(branches if self.branches[1] else branches[:1])

    def config(self) -> dict[str, Any]:
        """Return the descriptions of the layers and of the projection."""
        layers, projection = (list(map(entry_of, branch)) for branch in self.branches)
        return {"layers": layers, "projection": projection or None}


class Concatenate(Container):
    """Join the outputs of several branches on the last axis; all branches take the same input.

    Backward: each branch gets its part of dy; dx is the sum of the branches' dx.

    Parameters
    ----------
    branches : sequence of sequences of Layer
        At least one branch. Their outputs must agree in all axes but the last. An empty branch returns its
        input: ``Concatenate([[], [nnx.Dense(8), nnx.ReLU()]])``.

    Raises
    ------
    ConfigurationError
        If there is no branch, a layer already belongs to a network, or shapes do not fit.

    Notes
    -----
    Kernels need contiguous arrays, and a part of y is not contiguous. So each branch writes into its own
    buffer, which is then copied into y.

    References
    ----------
    Szegedy et al. (2015), Going deeper with convolutions, section 4.
    """

    record = LayerRecord(
        names=("concatenate",),
        cases=(
            Case(
                lambda: {
                    "branches": [
                        _some_layers(DENSE, "tanh"), [],
                        _some_layers("batch_norm", {"name": "dropout", "rate": 0.3}, DENSE),
                    ]
                }
            ),
        ),
        keras=Counterpart("Concatenate", fixed={"axis": -1}),
        onnx=Counterpart("Concat", fixed={"axis": -1}),
        listed=False,
    )  # fmt: skip
    reads_output = False

    def __init__(self, branches: Sequence[Layers]) -> None:
        if not isinstance(branches, Sequence) or not branches or any(isinstance(b, Layer) for b in branches):
            raise ConfigurationError(
                "Concatenate takes a list of lists of layers: Concatenate([[nnx.Dense(8)], [nnx.Dense(4)]])"
            )
        super().__init__(branches)

    def shape_after(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the common shape, with the sum of the last axes."""
        shapes = self._shapes(input_shape)
        if len({shape[:-1] for shape in shapes}) > 1:
            raise ConfigurationError(
                f"its branches return rows of shapes {', '.join(map(str, shapes))}: all axes but the last "
                "must agree"
            )
        return (*shapes[0][:-1], sum(shape[-1] for shape in shapes))

    def place(self, workspace: Workspace, rows: int) -> None:
        """Let the first branch write dx."""
        for number, plan in enumerate(workspace.plans):
            plan.lay_out(rows, None, workspace.dx if number == 0 else None)

    def forward_into(self, x: Array, y: Array, workspace: Workspace) -> None:
        """Run the branches forward, one after the other."""
        end = 0
        for plan in workspace.plans:
            begin, end = end, end + plan.output_shape[-1]
            y[..., begin:end] = plan.run(x, workspace)

    def backward_into(self, dy: Array, dx: Array | None, workspace: Workspace) -> None:
        """Run the branches backward, and add up their dx."""
        end = 0
        for number, plan in enumerate(workspace.plans):
            begin, end = end, end + plan.output_shape[-1]
            own = workspace.buffer(f"dy {number}", (*dy.shape[:-1], end - begin))
            own[...] = dy[..., begin:end]
            result = plan.run_back(own, dx is not None)
            if dx is not None and number:
                dx += result
            elif dx is not None and not plan.groups:
                dx[...] = result

    def config(self) -> dict[str, Any]:
        """Return the descriptions of the branches."""
        return {"branches": [list(map(entry_of, branch)) for branch in self.branches]}


def _some(name: str, layers: Layers) -> Layers:
    if isinstance(layers, Layer) or not isinstance(layers, Sequence) or not layers:
        raise ConfigurationError(f"{name} takes a list of at least one layer: nnx.{name}([nnx.Dense(8), …])")
    return layers


def _built(value: Any) -> Any:
    """Build layers from their descriptions, in the same lists."""
    if isinstance(value, list):
        return [_built(one) for one in value]
    return from_entry(value) if isinstance(value, dict) else value
