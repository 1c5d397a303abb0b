"""The ONNX model of a network: a node for each layer, and its values as initializers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import nnx
from nnx.errors import ConfigurationError
from nnx.layers import (
    ELU,
    GELU,
    BatchNorm,
    Dense,
    Dropout,
    Identity,
    Layer,
    LayerNorm,
    LeakyReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from nnx.network import Network

OPERATORS, IR = 20, 9  # Gelu came with set 20, which came with IR version 9: older readers go on reading
CODE = "nnx.code"


class Operator(NamedTuple):
    """An operator, its attributes, and the layer's arrays that it takes after the data."""

    kind: str
    attributes: dict[str, Any]
    arrays: tuple[str, ...]


def _plain(kind: str, **attributes: Any) -> Callable[[Any], Operator]:
    return lambda layer: Operator(kind, attributes, ())


def _batch_norm(layer: BatchNorm) -> Operator:
    arrays = ("gamma", "beta", "running_mean", "running_variance")
    return Operator("BatchNormalization", {"epsilon": layer.epsilon, "momentum": layer.momentum}, arrays)


def _layer_norm(layer: LayerNorm) -> Operator:
    return Operator("LayerNormalization", {"axis": -1, "epsilon": layer.epsilon}, ("gamma", "beta"))


WRITERS: dict[type[Layer], Callable[[Any], Operator]] = {
    Dense: lambda layer: Operator("Gemm", {}, ("W", "b")),
    ReLU: _plain("Relu"),
    LeakyReLU: lambda layer: Operator("LeakyRelu", {"alpha": layer.alpha}, ()),
    ELU: lambda layer: Operator("Elu", {"alpha": layer.alpha}, ()),
    GELU: lambda layer: Operator("Gelu", {"approximate": "tanh" if layer.approximate else "none"}, ()),
    SiLU: _plain("Sigmoid"),  # and then a Mul: an operator of its own, Swish, came with set 24
    Sigmoid: _plain("Sigmoid"),
    Tanh: _plain("Tanh"),
    Softplus: _plain("Softplus"),
    Softmax: _plain("Softmax", axis=-1),
    Identity: _plain("Identity"),
    Dropout: lambda layer: Operator("Dropout", {}, ("ratio",)),
    BatchNorm: _batch_norm,
    LayerNorm: _layer_norm,
}


def model_of(onnx: Any, network: Network, weights: dict[str, Any]) -> Any:
    """An ``onnx.ModelProto``.

    Raises
    ------
    ConfigurationError
        If a layer is one that has no operator.
    """
    helper = onnx.helper
    values = dict(weights)
    nodes: list[Any] = []
    source = "x"
    for position, layer in enumerate(network.layers):
        if type(layer) not in WRITERS:
            known = ", ".join(kind.__name__ for kind in WRITERS)
            raise ConfigurationError(
                f"layer {position}, {layer!r}: there is no operator of ONNX for it; these go over: {known}"
            )
        if isinstance(layer, Dropout):
            values[f"{layer.name}.ratio"] = np.array(layer.rate, np.float32)
        target = "y" if layer is network.layers[-1] else f"{layer.name}.y"
        nodes += _nodes(helper, layer, source, target)
        source = target
    kind = helper.np_dtype_to_tensor_dtype(network.dtype)
    graph = helper.make_graph(
        nodes,
        "nnx",
        [helper.make_tensor_value_info("x", kind, ["batch", network.inputs])],
        [helper.make_tensor_value_info("y", kind, ["batch", network.outputs])],
        [onnx.numpy_helper.from_array(np.array(value, order="C"), name) for name, value in values.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPERATORS)], ir_version=IR,
        producer_name="nnx", producer_version=nnx.__version__,
    )  # fmt: skip
    if network.code is not None:
        helper.set_model_props(model, {CODE: str(network.code)})
    return model


def _nodes(helper: Any, layer: Layer, source: str, target: str) -> list[Any]:
    operator = WRITERS[type(layer)](layer)
    inputs = [source, *(f"{layer.name}.{array}" for array in operator.arrays)]
    if type(layer) is not SiLU:
        return [helper.make_node(operator.kind, inputs, [target], layer.name, **operator.attributes)]
    gate = f"{layer.name}.sigmoid"
    return [
        helper.make_node(operator.kind, inputs, [gate], gate),
        helper.make_node("Mul", [source, gate], [target], layer.name),
    ]
