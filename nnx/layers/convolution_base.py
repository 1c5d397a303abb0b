"""What all convolutions share: arguments, parameters, shapes, and passes."""

from __future__ import annotations

import functools
import math
from typing import Any, ClassVar

from nnx import initializers
from nnx.backends import Array
from nnx.errors import ConfigurationError, flag, whole
from nnx.initializers import Initializer
from nnx.layers.activations import make
from nnx.layers.base import Layer
from nnx.layers.images import Sizes, check_axes, images, known_padding, pair, sizes
from nnx.layers.workspace import Workspace
from nnx.ops.windows import Windows, windows
from nnx.parameters import Shapes


class Convolution(Layer):
    """Base of the convolutions: their arguments, parameters and passes."""

    layout = "shape"
    replays = True
    axes: ClassVar[int] = 2

    W: Array
    b: Array
    dW: Array  # noqa: N815 - the mathematical name
    db: Array

    def __init__(
        self, filters: int, kernel_size: Sizes, strides: Sizes, padding: str, dilation: Sizes, groups: int,
        use_bias: bool, activation: str | None, initializer: str | dict[str, Any] | Initializer,
        seed: int | None,
    ) -> None:  # fmt: skip
        super().__init__()
        if type(self) is Convolution:
            raise ConfigurationError("Convolution is a base class: use Conv1D, Conv2D or Conv2DTranspose")
        if activation is not None:
            make(activation)  # refuses an unknown name here, where the user wrote it
        kind = type(self).__name__
        self.filters = whole(f"{kind}: filters", filters)
        self.kernel_size = sizes(f"{kind}: kernel_size", kernel_size, self.axes)
        self.strides = sizes(f"{kind}: strides", strides, self.axes)
        self.padding = known_padding(f"{kind}: padding", padding)
        self.dilation = sizes(f"{kind}: dilation", dilation, self.axes)
        if max(self.strides) > 1 and max(self.dilation) > 1:
            raise ConfigurationError(
                f"{kind}: strides {self.strides} and dilation {self.dilation}: one of the two must be 1"
            )
        self.groups = whole(f"{kind}: groups", groups)
        if self.filters % self.groups:
            raise ConfigurationError(
                f"{kind}: {self.filters} filters cannot be divided into {self.groups} equal groups"
            )
        self.use_bias = flag(f"{kind}: use_bias", use_bias)
        self.activation = activation
        self.initializer = initializers.get(initializer)
        self.seed = None if seed is None else whole(f"{kind}: seed", seed, least=0)

    # ------------------------------------------------------------------ shapes

    def shape_after(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return (height, width, filters), or (length, filters).

        Raises
        ------
        ConfigurationError
            If rows have another number of axes, the groups do not fit the channels, or no window fits.
        """
        check_axes(self, self.axes, input_shape)
        if input_shape[-1] % self.groups:
            raise ConfigurationError(
                f"{self!r}: the {input_shape[-1]} channels of rows of shape {input_shape} cannot be divided "
                f"into {self.groups} equal groups"
            )
        try:
            found = self._windows_on(input_shape)
        except ConfigurationError as error:
            raise ConfigurationError(
                f"{self!r} with rows of shape {input_shape}, channels last: {error}"
            ) from error
        return (*self._image_after(found)[2 - self.axes :], self.filters)

    def _windows_on(self, input_shape: tuple[int, ...]) -> Windows:
        """Return the windows on an input; a sequence is an image of height 1."""
        size, kernel, strides, dilation = map(
            pair, (input_shape[:-1], self.kernel_size, self.strides, self.dilation)
        )
        return self._windows_of(size, kernel, strides, self.padding, dilation)

    _windows_of = staticmethod(functools.lru_cache(1024)(windows))

    def _image_after(self, found: Windows) -> tuple[int, int]:
        """Return height and width of the output."""
        return found.outputs

    def parameter_shapes(self) -> Shapes:
        """Return the shapes of W and b."""
        assert self.inputs is not None
        shapes: Shapes = {"W": (*self.kernel_size, self.inputs // self.groups, self.filters)}
        return shapes | {"b": (self.filters,)} if self.use_bias else shapes

    def initial_values(self, generator: Any) -> dict[str, Any]:
        """Return W from the initializer; b starts at 0."""
        return {"W": self.initializer(generator, self.parameter_shapes()["W"])}

    # ------------------------------------------------------------- activation

    @property
    def takes_activation(self) -> bool:
        """Return True, unless a subclass has its own passes."""
        own = type(self)
        ours = Convolution.forward_into, Convolution.backward_into
        return (own.forward_into, own.backward_into) == ours

    @property
    def reads_output(self) -> bool:
        """Return False, unless a subclass has its own passes; a fused activation is counted separately."""
        return not self.takes_activation

    def expand(self) -> list[Layer]:
        """Return the layer and, if the shorthand names one, its activation."""
        return [self] if self.activation is None else [self, make(self.activation)]

    def absorb(self) -> list[Layer]:
        """Do `expand`; afterwards this layer computes only the convolution."""
        layers = self.expand()
        self.activation = None
        return layers

    # ------------------------------------------------------------------ passes

    def forward_into(self, x: Array, y: Array, workspace: Workspace) -> None:
        """Compute y, and the activation if the plan fused one."""
        x, W = images(x), self._kernel(self.W)
        rounded = (("x", x), ("W", W)) if workspace.bfloat16 else ()
        self._forward(
            workspace, x=x, W=W, b=self.b if self.use_bias else None, y=images(y), kind=workspace.kind,
            alpha=workspace.alpha, factors=tuple(self._rounded(*one, workspace) for one in rounded),
        )  # fmt: skip

    def backward_into(self, dy: Array, dx: Array | None, workspace: Workspace) -> None:
        """Compute dW, db and dx."""
        given = (workspace.x, dy, dx, workspace.y, workspace.dz)
        x, dy, dx, y, dz = (None if one is None else images(one) for one in given)
        W, rounded_dz = self._kernel(self.W), None
        if workspace.bfloat16:
            x, W, rounded_dz = (self._rounded(*one, workspace) for one in (("x", x), ("W", W), ("dz", dy)))
        self._backward(
            workspace, dy=dy, x=x, W=W, dW=self._kernel(self.dW), db=self.db if self.use_bias else None,
            dx=dx, kind=workspace.kind, alpha=workspace.alpha, y=y, dz=dz, rounded_dz=rounded_dz,
        )  # fmt: skip

    def _forward(self, workspace: Workspace, **arguments: Any) -> None:
        """Call the operation of the forward pass."""
        workspace.backend.convolution_forward(
            **arguments, windows=self._windows(), groups=self.groups, buffer=workspace.scratch
        )

    def _backward(self, workspace: Workspace, **arguments: Any) -> None:
        """Call the operation of the backward pass."""
        workspace.backend.convolution_backward(
            **arguments, windows=self._windows(), groups=self.groups, buffer=workspace.scratch
        )

    def _windows(self) -> Windows:
        assert self.input_shape is not None
        return self._windows_on(self.input_shape)

    def _kernel(self, W: Array) -> Array:
        """Return W of sequences as that of images of height 1."""
        return W if self.axes == 2 else W.reshape(1, *W.shape)

    def _rounded(self, name: str, like: Array, workspace: Workspace) -> Array:
        """Return the array for a factor that is rounded to bfloat16; the forward pass writes x and W."""
        return workspace.buffer(f"rounded {name}", like.shape, "float32")

    def factor_count(self, rows: int) -> int:
        """Return how many rounded factors a pass stores; `rows` counts the positions of the input."""
        assert self.inputs is not None
        assert self.input_shape is not None
        assert self.output_shape is not None
        weights = math.prod(self.parameter_shapes()["W"])
        images = rows // math.prod(self.input_shape[:-1])
        return rows * self.inputs + images * math.prod(self.output_shape) + weights

    # ------------------------------------------------------------- description

    def config(self) -> dict[str, Any]:
        """Return the arguments; in a network, the activation is a separate layer."""
        described = initializers.describe(self.initializer)
        if described is None and self.arena is None:
            raise ConfigurationError(
                f"{self!r}: your own initializer cannot be saved: build the network first"
            )
        config = self._arguments() | {"use_bias": self.use_bias}
        if described not in (None, "glorot_uniform"):
            config["initializer"] = described
        if self.seed is not None:
            config["seed"] = self.seed
        return config

    def _arguments(self) -> dict[str, Any]:
        """Return the arguments that all convolutions have."""
        return {
            "filters": self.filters, "kernel_size": list(self.kernel_size), "strides": list(self.strides),
            "padding": self.padding, "dilation": list(self.dilation),
        }  # fmt: skip

    def __repr__(self) -> str:
        text = f"{self.filters}, {'×'.join(map(str, self.kernel_size))}"
        for name in ("strides", "dilation"):
            if max(getattr(self, name)) > 1:
                text += f", {name}={'×'.join(map(str, getattr(self, name)))}"
        text += f", padding={self.padding!r}" if self.padding != "valid" else ""
        text += f", groups={self.groups}" if self.groups > 1 else ""
        return f"{self.name or type(self).__name__}({text})"
