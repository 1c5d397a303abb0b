"""Build the ONNX model of a network: a node for each layer, and its values as initializers.

ONNX's operators on images take the channels on the second axis, and nnx has them on the last. A Transpose is
added only where a layer needs the other order: once before the first convolution, not around each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import nnx
from nnx.interop.affine import Scaling, exact_type, far_offset, is_far
from nnx.interop.onnx_write_images import IMAGES, OTHERS
from nnx.interop.onnx_write_tables import TABLES
from nnx.interop.parts import read_back, refuse_unknown
from nnx.layers import (
    GELU,
    KINDS,
    BatchNorm,
    Dense,
    Dropout,
    Layer,
    PReLU,
    Rescale,
    Reshape,
    Sequential,
    SiLU,
)
from nnx.layers.stack import takes_integers
from nnx.network import Network
from nnx.records import Counterpart

OPERATORS, IR = 20, 9  # set 20 added Gelu; IR version 9 is the oldest that has it
CODE = "nnx.code"
HostArray = np.ndarray[Any, Any]
WRITABLE = {kind: kind.record.onnx for kind in KINDS if isinstance(kind.record.onnx, Counterpart)}


def model_of(
    onnx: Any,
    network: Network,
    weights: dict[str, Any],
    inputs: Scaling | None = None,
    outputs: Scaling | None = None,
) -> Any:
    """Return an ``onnx.ModelProto``; with scalings, it takes and returns numbers as in the user's files."""
    helper = onnx.helper
    graph = Graph(helper, network, dict(weights))
    source, taken = graph.scaled(inputs)
    refuse_unknown(network, {**WRITABLE, **TABLES}, "ONNX", "onnx")
    source = graph.ordered(graph.chain(network.layers, source), False, len(network.output_shape or ()))
    given = graph.unscaled(outputs, source)
    if takes_integers(network.layers):
        taken = np.dtype(np.int64)
    kinds = [helper.np_dtype_to_tensor_dtype(dtype) for dtype in (taken, given)]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "nnx",
            [helper.make_tensor_value_info("x", kinds[0], ["batch", *(network.input_shape or ())])],
            [helper.make_tensor_value_info("y", kinds[1], ["batch", *(network.output_shape or ())])],
            [onnx.numpy_helper.from_array(np.array(v, order="C"), name) for name, v in graph.values.items()],
        ),
        opset_imports=[helper.make_opsetid("", OPERATORS)], ir_version=IR,
        producer_name="nnx", producer_version=nnx.__version__,
    )  # fmt: skip
    if network.encoder_length is not None:
        encoder = read_back(network.layers[: network.encoder_length]) + (0 if inputs is None else 1)
        helper.set_model_props(model, {CODE: str(encoder)})
    return model


def _alike(layer: Layer) -> bool:
    """Return whether a layer computes the same in every order of axes."""
    return isinstance(layer, Rescale | Dropout | PReLU) or layer.record.elementwise


class Graph:
    """The nodes and arrays of a model, added layer by layer."""

    def __init__(self, helper: Any, network: Network, values: dict[str, Any]) -> None:
        self.helper, self.dtype, self.values = helper, network.dtype, values
        self.nodes: list[Any] = []
        self.images: set[str] = set()  # values with channels on the second axis
        self.moved: dict[str, str] = {}  # values, each with its Transpose

    def node(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        """Add a node and return the name of its output."""
        self.nodes.append(self.helper.make_node(kind, inputs, [f"{name}.y"], name, **attributes))
        return f"{name}.y"

    def constant(self, kind: str, source: str, name: str, value: HostArray) -> str:
        """Add a node that takes a constant as its second input."""
        self.values[name] = value
        return self.node(kind, [source, name], f"{name}.{kind.lower()}")

    def cast(self, source: str, dtype: np.dtype[Any], name: str) -> str:
        """Add a node that changes the float type."""
        return self.node("Cast", [source], name, to=self.helper.np_dtype_to_tensor_dtype(dtype))

    def scaled(self, scaling: Scaling | None) -> tuple[str, np.dtype[Any]]:
        """Add (x - shift) / scale; in float64 if it subtracts, as float32 may not hold x precisely enough."""
        if scaling is None:
            return "x", self.dtype
        dtype = exact_type(scaling, self.dtype)
        source = "x"
        if scaling.shift.any():
            source = self.constant("Sub", source, "inputs.shift", scaling.shift.astype(dtype))
        source = self.constant("Div", source, "inputs.scale", scaling.scale.astype(dtype))
        return (source if dtype == self.dtype else self.cast(source, self.dtype, "inputs.cast")), dtype

    def unscaled(self, scaling: Scaling | None, source: str) -> np.dtype[Any]:
        """Add z scale + shift as the output y; in float64 if it adds."""
        dtype = self.dtype if scaling is None else exact_type(scaling, self.dtype)
        if dtype != self.dtype:
            source = self.cast(source, dtype, "outputs.cast")
        if scaling is not None:
            source = self.constant("Mul", source, "outputs.scale", scaling.scale.astype(dtype))
            if scaling.shift.any():
                self.constant("Add", source, "outputs.shift", scaling.shift.astype(dtype))
        self.nodes[-1].output[0] = "y"
        return dtype

    def ordered(self, source: str, images: bool, axes: int) -> str:
        """Return a value with rows of so many axes, with channels on axis 1 (`images`) or on the last."""
        if axes < 2 or (source in self.images) == images:
            return source
        if source not in self.moved:
            order = [0, axes, *range(1, axes)] if images else [0, *range(2, axes + 1), 1]
            name = f"{source.removesuffix('.y')}.{'there' if images else 'back'}"
            self.moved[source] = self.node("Transpose", [source], name, perm=order)
            self.moved[self.moved[source]] = source
            self._mark(self.moved[source], images)
        return self.moved[source]

    def _mark(self, value: str, images: bool) -> str:
        if images:
            self.images.add(value)
        return value

    def chain(self, layers: Sequence[Layer], source: str) -> str:
        """Add the nodes of layers and containers; return the name of the last output."""
        for layer in layers:
            ends = [self.chain(branch, source) for branch in layer.branches]
            if isinstance(layer, Sequential):
                (source,) = ends
            elif ends:
                source = self.join(layer, ends)
            else:
                source = self.layer(layer, source)
        return source

    def join(self, layer: Layer, ends: list[str]) -> str:
        """Add the node that joins the ends of a container's branches."""
        theirs, axes = WRITABLE[type(layer)], len(layer.output_shape or ())
        images = axes > 1 and not self.images.isdisjoint(ends)
        ends = [self.ordered(end, images, axes) for end in ends]
        options = {
            name: 1 if images else value for name, value in theirs.fixed.items()
        }  # the axis of features
        return self._mark(self.node(theirs.name, ends, layer.name, **options), images)

    def layer(self, layer: Layer, source: str) -> str:
        """Add the nodes of a layer that is no container, and return the name of its output."""
        axes = len(layer.input_shape or ())
        on_images = type(layer) in IMAGES or isinstance(layer, BatchNorm)
        images = axes > 1 and (on_images or (source in self.images and _alike(layer)))
        result = self.nodes_of(layer, self.ordered(source, images, axes))
        return self._mark(result, images and len(layer.output_shape or ()) > 1)

    def nodes_of(self, layer: Layer, source: str) -> str:
        """Add the nodes of a layer that takes the axes in this order."""
        write = (IMAGES | OTHERS | TABLES).get(type(layer))
        if write is not None:
            return write(self, layer, source)
        if isinstance(layer, BatchNorm) and is_far(layer, self.values):
            return self.far_batch_norm(layer, source)
        if isinstance(layer, Rescale):
            return self.rescale(layer, source)
        if isinstance(layer, PReLU) and source in self.images:
            name = f"{layer.name}.alpha"
            self.values[name] = np.moveaxis(self.values[name], -1, 0)
        if isinstance(layer, SiLU):  # the operator Swish came only with set 24
            gate = self.node("Sigmoid", [source], f"{layer.name}.sigmoid")
            return self.node("Mul", [source, gate], layer.name)
        if isinstance(layer, Dense) and len(layer.input_shape or ()) > 1:  # a Gemm takes matrices only
            product = self.node("MatMul", [source, f"{layer.name}.W"], f"{layer.name}.matmul")
            return self.node("Add", [product, f"{layer.name}.b"], layer.name)
        return self.node_of(layer, source)

    def node_of(self, layer: Layer, source: str) -> str:
        """Add the node whose attributes and arrays are in the layer's record."""
        if isinstance(layer, Dropout):
            self.values[f"{layer.name}.ratio"] = np.array(layer.rate, np.float32)
        if isinstance(layer, Reshape):
            self.values[f"{layer.name}.shape"] = np.array([0, *(layer.output_shape or ())])  # 0: as it was
        theirs = WRITABLE[type(layer)]
        attributes = {} if isinstance(layer, Reshape) else theirs.values(layer)
        if isinstance(layer, GELU):
            attributes["approximate"] = "tanh" if layer.approximate else "none"
        arrays = [f"{layer.name}.{array}" for array in theirs.arrays]
        return self.node(theirs.name, [source, *arrays], layer.name, **attributes)

    def row(self, kind: str, source: str, name: str, value: HostArray, layer: Layer) -> str:
        """Add a node that takes a number, or one for each feature, as its second input."""
        images = source in self.images
        if images and value.size > 1:
            value = value.reshape(-1, *[1] * (len(layer.input_shape or ()) - 1))
        return self._mark(self.constant(kind, source, name, value), images)

    def rescale(self, layer: Rescale, source: str) -> str:
        """Add x · scale + offset; in float64 if float32 would lose digits of the sum."""
        wide = np.dtype(np.float64) if far_offset(layer) else self.dtype
        if wide != self.dtype:
            images = source in self.images
            source = self._mark(self.cast(source, wide, f"{layer.name}.wide"), images)
        for kind, name in (("Mul", "scale"), ("Add", "offset")):
            value = np.atleast_1d(np.asarray(getattr(layer, name), wide))
            source = self.row(kind, source, f"{layer.name}.{name}", value, layer)
        return source if wide == self.dtype else self.cast(source, self.dtype, f"{layer.name}.narrow")

    def far_batch_norm(self, layer: BatchNorm, source: str) -> str:
        """Add (x - μ) (γ / σ) + β in this order: ONNX Runtime multiplies BatchNormalization out."""
        names = (f"{layer.name}.{array}" for array in ("gamma", "running_variance", "running_mean", "beta"))
        gamma, variance, mean, beta = (self.values.pop(name) for name in names)
        factor = gamma.astype(np.float64) / np.sqrt(variance.astype(np.float64) + layer.epsilon)
        source = self.row("Sub", source, f"{layer.name}.mean", mean, layer)
        source = self.row("Mul", source, f"{layer.name}.factor", factor.astype(self.dtype), layer)
        return self.row("Add", source, f"{layer.name}.beta", beta, layer)
