"""What each operator of ONNX is in nnx's layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from nnx.errors import ConfigurationError
from nnx.interop.parts import Part
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

HostArray = np.ndarray[Any, Any]


class Step(NamedTuple):
    """A node: its inputs (None where the data goes in), attributes, outputs used, and what surrounds it."""

    node: Any
    inputs: list[HostArray | None]
    attributes: dict[str, Any]
    outputs: int
    rank: int
    opset: int

    def number(self, name: str, otherwise: float) -> float:
        """A number as it was written: ONNX keeps them in 32 bits, and 0.3 would come back as 0.30000001."""
        return float(str(np.float32(self.attributes.get(name, otherwise))))

    def constant(self, position: int) -> HostArray | None:
        """The array at a position, None where it is left out."""
        return self.inputs[position] if position < len(self.inputs) else None

    def needed(self, position: int) -> HostArray:
        """The array at a position that must not be left out, nor be the data."""
        array = self.constant(position)
        if array is None:
            raise ConfigurationError("its data must be the first input and its weights constants")
        return array

    def last_axis(self, name: str, otherwise: int) -> None:
        """Refuse an axis that is not the last."""
        axis = int(self.attributes.get(name, otherwise))
        if axis % self.rank != self.rank - 1:
            raise ConfigurationError(
                f"it runs over axis {axis} of {self.rank}: nnx's layers run over the last"
            )


Reader = Callable[[list[Part], Step], list[Part]]


def _layer(make: Callable[[Step], Layer]) -> Reader:
    return lambda parts, step: [*parts, Part(make(step), {})]


def _gemm(parts: list[Part], step: Step) -> list[Part]:
    W, c = step.needed(1), step.constant(2)
    if step.attributes.get("transA"):
        raise ConfigurationError("transA: its data are columns, nnx takes rows")
    W = step.number("alpha", 1.0) * (W.T if step.attributes.get("transB") else W)
    c = np.zeros(1, W.dtype) if c is None else step.number("beta", 1.0) * c
    return [*parts, Part(Dense(*W.shape), {"W": W, "b": _row(c, W.shape[1])})]


def _matmul(parts: list[Part], step: Step) -> list[Part]:
    W = step.needed(1)
    if W.ndim != 2:
        raise ConfigurationError(f"its weights have {W.ndim} axes: nnx takes a matrix")
    return [*parts, Part(Dense(*W.shape), {"W": W, "b": np.zeros(W.shape[1], W.dtype)})]


def _add(parts: list[Part], step: Step) -> list[Part]:
    """A constant row: the bias of the `Dense` before it, or the β of a frozen `BatchNorm` with σ = γ = 1."""
    constants = [value for value in step.inputs if value is not None]
    if len(constants) != 1:
        raise ConfigurationError("it adds the data to themselves")
    if parts and "b" in parts[-1].values:
        dense, values = parts[-1]
        b = values["b"] + _row(constants[0], values["b"].size)
        return [*parts[:-1], Part(dense, values | {"b": b})]
    row = _row(constants[0], constants[0].shape[-1] if constants[0].ndim else 1)
    layer = BatchNorm(epsilon=0.5)
    layer.trainable = False
    same = {"gamma": np.ones_like(row), "running_mean": np.zeros_like(row)}
    return [*parts, Part(layer, same | {"running_variance": np.full_like(row, 0.5), "beta": row})]


def _row(value: HostArray, width: int) -> HostArray:
    """An array that is the same for every row, as one row."""
    if value.size != (value.shape[-1] if value.ndim else 1):
        raise ConfigurationError(f"it adds an array of shape {value.shape}: another row to each row")
    return np.broadcast_to(value.reshape(-1), (width,)).copy()


def _batch_norm(parts: list[Part], step: Step) -> list[Part]:
    if step.attributes.get("training_mode") or step.outputs > 1:
        raise ConfigurationError("it is in training mode")
    if step.rank != 2:
        raise ConfigurationError(
            f"its data have {step.rank} axes and their features on the second: nnx takes rows"
        )
    names = ("gamma", "beta", "running_mean", "running_variance")
    values = {name: step.needed(position) for position, name in enumerate(names, 1)}
    return [*parts, Part(BatchNorm(step.number("momentum", 0.9), step.number("epsilon", 1e-5)), values)]


def _layer_norm(parts: list[Part], step: Step) -> list[Part]:
    step.last_axis("axis", -1)
    gamma, beta = step.needed(1), step.constant(2)
    beta = np.zeros_like(gamma) if beta is None else beta
    return [*parts, Part(LayerNorm(step.number("epsilon", 1e-5)), {"gamma": gamma, "beta": beta})]


def _softmax(step: Step) -> Layer:
    step.last_axis("axis", -1 if step.opset >= 13 else 1)
    return Softmax()


def _dropout(step: Step) -> Layer:
    training = step.constant(2)
    if training is not None and bool(training.all()):
        raise ConfigurationError("it is in training mode")
    ratio = step.constant(1)
    written = step.number("ratio", 0.5) if ratio is None else float(str(np.float32(ratio.item())))
    return Dropout(written)


def _gelu(step: Step) -> Layer:
    return GELU(approximate=step.attributes.get("approximate", b"none") == b"tanh")


def _swish(step: Step) -> Layer:
    if step.number("alpha", 1.0) != 1.0:
        raise ConfigurationError("alpha: nnx's SiLU is x σ(x)")
    return SiLU()


READERS: dict[str, Reader] = {
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Add": _add,
    "Relu": _layer(lambda step: ReLU()),
    "LeakyRelu": _layer(lambda step: LeakyReLU(step.number("alpha", 0.01))),
    "Elu": _layer(lambda step: ELU(step.number("alpha", 1.0))),
    "Gelu": _layer(_gelu),
    "Swish": _layer(_swish),
    "Sigmoid": _layer(lambda step: Sigmoid()),
    "Tanh": _layer(lambda step: Tanh()),
    "Softplus": _layer(lambda step: Softplus()),
    "Softmax": _layer(_softmax),
    "Identity": _layer(lambda step: Identity()),
    "Dropout": _layer(_dropout),
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
}
