"""Packed ensembles: several networks that share most of their weights and run as one.

`Members` gives each member its own view of a row, on a new axis; all layers after it that work on the last
axis (`Dense`, activations, `Dropout`, `LayerNorm`) then serve all members with the same weights, in one
product; `MemberDense` has separate weights for each member, and is usually the last layer.
"""

from __future__ import annotations

import math
from typing import Any

from nnx.backends import Array
from nnx.errors import ConfigurationError, whole
from nnx.layers.base import Layer
from nnx.layers.workspace import Workspace
from nnx.parameters import Shapes
from nnx.records import Case, LayerRecord

__all__ = ["FeatureScale", "MemberDense", "Members"]

NO_COUNTERPART = "it has no layer with separate weights for each member of an ensemble"
STARTS = ("signs", "normal", "ones")


class FeatureScale(Layer):
    """y = x ∘ s: each feature (on the last axis) times a trained number; s starts at 1.

    Backward: ds = Σ_rows x ∘ dy, dx = dy ∘ s. With a larger learning rate than the other parameters it
    learns which features matter.

    Attributes
    ----------
    s : array of shape (inputs,)

    References
    ----------
    Holzmüller, Grinsztajn and Steinwart (2024), Better by default: strong pre-tuned MLPs and boosted trees on
    tabular data, section 3 (the "scaling layer" of RealMLP).
    """

    record = LayerRecord(
        names=("feature_scale",),
        keras="no layer of it has only a weight for each feature",
        onnx="it is written as Mul, and read back as a Rescale",
        listed=False,
    )
    reads_output = False
    replays = True
    s: Array
    ds: Array

    def parameter_shapes(self) -> Shapes:
        """Return the shape of s."""
        assert self.inputs is not None
        return {"s": (self.inputs,)}

    def initial_values(self, generator: Any) -> dict[str, Any]:
        """Return s = 1."""
        return {"s": generator.uniform(1.0, 1.0, self.inputs)}

    def forward_into(self, x: Array, y: Array, workspace: Workspace) -> None:
        """Compute y = x ∘ s."""
        workspace.backend.xp.multiply(x, self.s, out=y)

    def backward_into(self, dy: Array, dx: Array | None, workspace: Workspace) -> None:
        """Compute ds, and dx = dy ∘ s."""
        xp, product = workspace.backend.xp, workspace.scratch("product", dy.shape)
        xp.multiply(dy, workspace.x, out=product)
        workspace.backend.axis_sums(product[None], self.ds[None])
        if dx is not None:
            xp.multiply(dy, self.s, out=dx)


class Members(Layer):
    """Repeat a row for k members, each with its own scale of the features: y_m = x ∘ R_m.

    Rows of shape (inputs,) become rows of shape (k, inputs). Layers after it that work on the last axis have
    the same weights for all members, and compute all members in one product of k times as many rows.

    Backward: dR_m = Σ_rows x ∘ dy_m, dx = Σ_m dy_m ∘ R_m.

    Parameters
    ----------
    members : int
        k, the number of members.
    start : {"signs", "normal", "ones"}
        How R starts: 1 or −1 at random, standard normal, or 1 for all (the members then start equal).

    Attributes
    ----------
    R : array of shape (members, inputs)

    Raises
    ------
    ConfigurationError
        If `members` is not a positive integer, `start` is unknown, or rows have several axes.

    References
    ----------
    Gorishniy, Kotelnikov and Babenko (2025), TabM: advancing tabular deep learning with parameter-efficient
    ensembling, section 3.3 ("TabM-mini": only the first adapter is left). Wen, Tran and Ba (2020),
    BatchEnsemble, eq. 5.

    Examples
    --------
    >>> import nnx
    >>> layers = [nnx.Members(4), nnx.Dense(8), nnx.ReLU(), nnx.MemberDense(1)]
    >>> nnx.Network(layers, seed=0).build(3).output_shape
    (4, 1)
    """

    record = LayerRecord(
        names=("members",),
        cases=(Case({"members": 3, "start": "normal"}, options={"inputs": 4}),),
        keras=NO_COUNTERPART,
        onnx="it is written as Mul, and not read back",
        listed=False,
    )
    layout = "rows"
    reads_output = False
    replays = True
    R: Array
    dR: Array  # noqa: N815

    def __init__(self, members: int, start: str = "signs") -> None:
        super().__init__()
        self.members = whole("Members: members", members)
        if start not in STARTS:
            raise ConfigurationError(f"Members: start must be one of {', '.join(STARTS)}, not {start!r:.40}")
        self.start = start

    def shape_after(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return (members, inputs)."""
        if len(input_shape) > 1:
            raise ConfigurationError(
                f"Members takes rows of features, not rows of shape {input_shape}: put nnx.Flatten() first"
            )
        return (self.members, *input_shape)

    def parameter_shapes(self) -> Shapes:
        """Return the shape of R."""
        assert self.inputs is not None
        return {"R": (self.members, self.inputs)}

    def initial_values(self, generator: Any) -> dict[str, Any]:
        """Return R as `start` says."""
        shape = (self.members, self.inputs)
        if self.start == "normal":
            return {"R": generator.standard_normal(shape)}
        if self.start == "signs":
            return {"R": 2.0 * generator.integers(0, 2, shape) - 1.0}
        return {"R": generator.uniform(1.0, 1.0, shape)}

    def forward_into(self, x: Array, y: Array, workspace: Workspace) -> None:
        """Compute y_m = x ∘ R_m."""
        workspace.backend.xp.multiply(x[:, None, :], self.R, out=y.reshape(x.shape[0], *self.R.shape))

    def backward_into(self, dy: Array, dx: Array | None, workspace: Workspace) -> None:
        """Compute dR, and dx as the sum over the members."""
        xp, x = workspace.backend.xp, workspace.x
        split = dy.reshape(x.shape[0], *self.R.shape)
        product = workspace.scratch("product", split.shape)
        xp.multiply(split, x[:, None, :], out=product)
        workspace.backend.axis_sums(product.reshape(1, x.shape[0], self.R.size), self.dR.reshape(1, -1))
        if dx is not None:
            xp.multiply(split, self.R, out=product)
            workspace.backend.axis_sums(product, dx)

    def config(self) -> dict[str, Any]:
        """Return the number of members and how R starts."""
        return {"members": self.members, "start": self.start}


class MemberDense(Layer):
    """A fully connected layer with separate weights for each member: y_m = x_m W_m + b_m.

    Rows have the shape (k, inputs), as `Members` returns them, and become rows of shape (k, units). All
    members are one batched product.

    Backward: dW_m = x_mᵀ dy_m, db_m = Σ_rows dy_m, dx_m = dy_m W_mᵀ.

    Parameters
    ----------
    units : int

    Attributes
    ----------
    W : array of shape (k, inputs, units)
    b : array of shape (k, units)

    Raises
    ------
    ConfigurationError
        If `units` is not a positive integer, or rows do not have two axes.
    """

    record = LayerRecord(
        names=("member_dense",),
        cases=(
            Case({"units": 2}, options={"inputs": (3, 4)}),
            Case({"units": 1}, "on one row", {"inputs": (3, 4), "rows": 1}),
        ),
        keras=NO_COUNTERPART,
        onnx="it is written as MatMul and Add, and not read back",
        listed=False,
    )
    layout = "shape"
    reads_output = False
    replays = True
    W: Array
    b: Array
    dW: Array  # noqa: N815
    db: Array

    def __init__(self, units: int) -> None:
        super().__init__()
        self.units = whole("MemberDense: units", units)

    def shape_after(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return (members, units)."""
        if len(input_shape) != 2:
            raise ConfigurationError(
                f"MemberDense takes rows of shape (members, features), not {input_shape}: put nnx.Members(k) "
                "before the layers of the members"
            )
        return (input_shape[0], self.units)

    def parameter_shapes(self) -> Shapes:
        """Return the shapes of W and b."""
        assert self.input_shape is not None
        members, inputs = self.input_shape
        return {"W": (members, inputs, self.units), "b": (members, self.units)}

    def initial_values(self, generator: Any) -> dict[str, Any]:
        """Return W and b, uniform on ±1/√inputs."""
        assert self.inputs is not None
        limit = 1.0 / math.sqrt(self.inputs)
        return {n: generator.uniform(-limit, limit, shape) for n, shape in self.parameter_shapes().items()}

    def forward_into(self, x: Array, y: Array, workspace: Workspace) -> None:
        """Multiply the rows of each member with its W, and add its b."""
        product = workspace.scratch("product", (x.shape[1], x.shape[0], self.units))
        workspace.backend.matmul(x.transpose(1, 0, 2), self.W, product)
        y[...] = product.transpose(1, 0, 2)
        workspace.backend.xp.add(y, self.b, out=y)

    def backward_into(self, dy: Array, dx: Array | None, workspace: Workspace) -> None:
        """Compute dW, db, and dx unless it is None."""
        backend, x = workspace.backend, workspace.x
        backend.matmul(x.transpose(1, 2, 0), dy.transpose(1, 0, 2), self.dW)
        backend.axis_sums(dy.reshape(1, x.shape[0], self.b.size), self.db.reshape(1, -1))
        if dx is not None:
            product = workspace.scratch("dx", (x.shape[1], x.shape[0], x.shape[2]))
            backend.matmul(dy.transpose(1, 0, 2), self.W.transpose(0, 2, 1), product)
            dx[...] = product.transpose(1, 0, 2)

    def config(self) -> dict[str, Any]:
        """Return the number of units."""
        return {"units": self.units}
