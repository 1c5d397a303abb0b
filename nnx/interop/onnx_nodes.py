"""Convert each ONNX operator to layers of nnx."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from nnx.errors import ConfigurationError
from nnx.interop import onnx_images as images
from nnx.interop.affine import clip, scale_by, shift_by
from nnx.interop.onnx_forms import NO_LOG_SOFTMAX
from nnx.interop.onnx_step import Step
from nnx.interop.onnx_tensors import UNKNOWN
from nnx.interop.parts import Part
from nnx.layers import (
    ELU,
    GELU,
    KINDS,
    SELU,
    BatchNorm,
    Dense,
    Dropout,
    HardSigmoid,
    Layer,
    LayerNorm,
    PReLU,
    Sigmoid,
    SiLU,
    Softmax,
)
from nnx.layers.containers import Container
from nnx.ops.curves import SELU_ALPHA, SELU_SCALE
from nnx.records import Counterpart

HostArray = np.ndarray[Any, Any]


Reader = Callable[[list[Part], Step], list[Part]]


def _layer(make: Callable[[Step], Layer]) -> Reader:
    return lambda parts, step: [*parts, Part(make(step), {})]


def _gemm(parts: list[Part], step: Step) -> list[Part]:
    W, c = step.needed(1), step.constant(2)
    if step.attributes.get("transA"):
        raise ConfigurationError("transA: its data are columns, but nnx takes rows")
    W = step.matrix(step.number("alpha", 1.0) * (W.T if step.attributes.get("transB") else W))
    c = np.zeros(1, W.dtype) if c is None else step.number("beta", 1.0) * c
    b = np.broadcast_to(_row(c, W.shape[1], 2), (W.shape[1],))
    return [*parts, Part(Dense(*W.shape), {"W": W, "b": b})]


def _matmul(parts: list[Part], step: Step) -> list[Part]:
    W = step.needed(1)
    if W.ndim != 2:
        raise ConfigurationError(f"its weights have {W.ndim} axes: nnx needs a matrix")
    W = step.matrix(W)
    return [*parts, Part(Dense(*W.shape), {"W": W, "b": np.zeros(W.shape[1], W.dtype)})]


def _operand(step: Step) -> tuple[HostArray, bool]:
    """Return the constant row of an operator with two operands, and whether the data come first."""
    if len(step.inputs) != 2:
        raise ConfigurationError(f"it has {len(step.inputs)} operands: nnx reads operators with two")
    first, second = step.inputs
    constant = second if first is None else first
    if constant is None or (first is not None and second is not None):
        raise ConfigurationError("both its operands are the data")
    return _row(step.layout.array(constant), step.shape[-1], step.rank), first is None


def _add(parts: list[Part], step: Step) -> list[Part]:
    return shift_by(parts, _operand(step)[0])


def _sub(parts: list[Part], step: Step) -> list[Part]:
    row, data_first = _operand(step)
    return shift_by(parts, -row) if data_first else shift_by(scale_by(parts, -1.0), row)


def _mul(parts: list[Part], step: Step) -> list[Part]:
    return scale_by(parts, _operand(step)[0])


def _div(parts: list[Part], step: Step) -> list[Part]:
    row, data_first = _operand(step)
    if not data_first or not row.all():
        raise ConfigurationError("it divides by the data, or by zero")
    return scale_by(parts, 1.0 / row)


def _row(value: HostArray, width: int, rank: int) -> HostArray:
    """Return an array that is equal for all rows as a single row, in float64."""
    if value.size != (value.shape[-1] if value.ndim else 1):
        raise ConfigurationError(
            f"its array of shape {value.shape} must have one number for each feature, the last axis"
        )
    if value.ndim > rank or (width != UNKNOWN and value.size not in (1, width)):
        raise ConfigurationError(f"its array of shape {value.shape} does not fit rows of {width or '?'}")
    return np.asarray(value.reshape(-1), np.float64)


def _bounds(step: Step) -> tuple[Any, Any]:
    if step.opset < 11:
        low, high = step.attributes.get("min"), step.attributes.get("max")
    else:
        low, high = step.constant(1), step.constant(2)
    largest = float(np.finfo(np.float32).max)
    low, high = (None if value is None else float(np.asarray(value).item()) for value in (low, high))
    return None if low is None or low <= -largest else low, None if high is None or high >= largest else high


def _clip(parts: list[Part], step: Step) -> list[Part]:
    if any(name and value is None for name, value in zip(step.node.input[1:], step.inputs[1:], strict=True)):
        raise ConfigurationError("its bounds must be constants")
    low, high = _bounds(step)
    if low is not None and high is not None and low > high:
        raise ConfigurationError(f"its lower bound {low:g} is above its upper bound {high:g}")
    return clip(parts, low, high)


def _prelu(parts: list[Part], step: Step) -> list[Part]:
    slopes = step.layout.array(step.needed(1))
    if slopes.ndim > step.rank:
        raise ConfigurationError(f"its slopes of shape {slopes.shape} do not fit rows of {step.shape[1:]}")
    slopes = slopes.reshape((1,) * (step.rank - slopes.ndim) + slopes.shape)
    if slopes.shape[0] != 1:
        raise ConfigurationError("it has other slopes for other rows")
    shared = [i for i in range(1, step.rank) if slopes.shape[i] == 1 and step.shape[i] != 1]
    return [*parts, Part(PReLU(shared), {"alpha": slopes[0]})]


def _selu(parts: list[Part], step: Step) -> list[Part]:
    """γ ELU(α); with the usual constants, a SELU."""
    alpha, gamma = step.number("alpha", SELU_ALPHA), step.number("gamma", SELU_SCALE)
    if (np.float32(alpha), np.float32(gamma)) == (np.float32(SELU_ALPHA), np.float32(SELU_SCALE)):
        return [*parts, Part(SELU(), {})]
    return scale_by([*parts, Part(ELU(alpha), {})], gamma)


def _celu(parts: list[Part], step: Step) -> list[Part]:
    """α ELU(x / α)."""
    alpha = step.number("alpha", 1.0)
    if alpha <= 0.0:
        raise ConfigurationError(f"alpha must be positive, not {alpha:g}")
    return scale_by([*scale_by(parts, 1.0 / alpha), Part(ELU(1.0), {})], alpha)


def _hard_sigmoid(parts: list[Part], step: Step) -> list[Part]:
    """max(0, min(1, α x + β)); with α = 1/6 and β = 1/2, a hard sigmoid of nnx."""
    alpha, beta = step.number("alpha", 0.2), step.number("beta", 0.5)
    if (np.float32(alpha), beta) == (np.float32(1.0 / 6.0), 0.5):
        return [*parts, Part(HardSigmoid(), {})]
    return clip(shift_by(scale_by(parts, alpha), beta), 0.0, 1.0)


def _scaler(parts: list[Part], step: Step) -> list[Part]:
    """(x - offset) scale, as in scikit-learn's scalers."""
    offset, scale = (
        _row(step.layout.array(np.array(step.attributes.get(name, [other]))), step.shape[-1], step.rank)
        for name, other in (("offset", 0.0), ("scale", 1.0))
    )
    return scale_by(shift_by(parts, -offset), scale)


class NotAChainError(Exception):
    """Nodes that no layer computes together."""


def two_classes(parts: list[Part], steps: list[Step]) -> list[Part]:
    """Read 1 - σ(z) next to σ(z), which scikit-learn's classifiers of two classes give, as σ of -z and z.

    Raise NotAChainError if the nodes compute something else.
    """
    kinds = [step.node.op_type for step in steps]
    layers = [type(part.layer) for part in parts[-2:]]
    if kinds != ["Sub", "Concat"] or layers != [Dense, Sigmoid] or len(steps[1].node.input) != 2:
        raise NotAChainError
    one, other = steps[0].inputs
    between = [steps[0].node.output[0], steps[0].node.input[1]]
    if one is None or other is not None or bool((one != 1.0).any()) or one.ndim > steps[0].rank:
        raise NotAChainError
    if (
        list(steps[1].node.input) != between
        or steps[1].attributes["axis"] % steps[0].rank != steps[0].rank - 1
    ):
        raise NotAChainError
    values = parts[-2].values
    doubled = {name: np.concatenate([-value, value], axis=-1) for name, value in values.items()}
    return [*parts[:-2], Part(Dense(*doubled["W"].shape), doubled), parts[-1]]


def _batch_norm(parts: list[Part], step: Step) -> list[Part]:
    if step.attributes.get("training_mode") or step.outputs > 1:
        raise ConfigurationError("it is in training mode: export the model for inference")
    if step.rank != 2 and not step.layout.images:
        raise ConfigurationError(
            f"its data have {step.rank} axes, with features on the second: nnx has them on the last"
        )
    names = ("gamma", "beta", "running_mean", "running_variance")
    values = {name: step.needed(position) for position, name in enumerate(names, 1)}
    if step.layout.folded:
        values = {name: step.layout.array(value) for name, value in values.items()}
    return [*parts, Part(BatchNorm(step.number("momentum", 0.9), step.number("epsilon", 1e-5)), values)]


def _layer_norm(parts: list[Part], step: Step) -> list[Part]:
    step.last_axis("axis", -1)
    gamma, beta = step.needed(1), step.constant(2)
    beta = np.zeros_like(gamma) if beta is None else beta
    if step.layout.folded:
        gamma, beta = (step.layout.array(value) for value in (gamma, beta))
    return [*parts, Part(LayerNorm(step.number("epsilon", 1e-5)), {"gamma": gamma, "beta": beta})]


def _softmax(step: Step) -> Layer:
    step.last_axis("axis", -1 if step.opset >= 13 else 1)
    return Softmax()


def _log_softmax(parts: list[Part], step: Step) -> list[Part]:
    raise ConfigurationError(NO_LOG_SOFTMAX)


def _dropout(step: Step) -> Layer:
    training = step.constant(2)
    if training is not None and bool(training.all()):
        raise ConfigurationError("it is in training mode: export the model for inference")
    ratio = step.constant(1)
    written = step.number("ratio", 0.5) if ratio is None else float(str(np.float32(ratio.item())))
    return Dropout(written)


def _gelu(step: Step) -> Layer:
    return GELU(approximate=step.attributes.get("approximate", b"none") == b"tanh")


def _swish(step: Step) -> Layer:
    if step.number("alpha", 1.0) != 1.0:
        raise ConfigurationError("its alpha is not 1: nnx's SiLU is x σ(x)")
    return SiLU()


def _plain(kind: type[Layer], theirs: Counterpart) -> Reader:
    """Return a reader of an operator without arrays: its attributes are in the record."""
    arguments, takes = theirs.arguments.items(), inspect.signature(kind).parameters
    return _layer(lambda step: kind(**{o: step.number(name, takes[o].default) for name, o in arguments}))


OPERATORS: dict[str, tuple[type[Layer], Counterpart]] = {}
for kind in KINDS:
    if isinstance(kind.record.onnx, Counterpart):  # SpatialDropout has Dropout's operator, and comes later
        OPERATORS.setdefault(kind.record.onnx.name, (kind, kind.record.onnx))
READERS: dict[str, Reader] = {
    name: _plain(kind, theirs)
    for name, (kind, theirs) in OPERATORS.items()
    if not (theirs.arrays or kind.is_view or issubclass(kind, Container))
} | {
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Add": _add,
    "Sum": _add,
    "Sub": _sub,
    "Mul": _mul,
    "Div": _div,
    "Neg": lambda parts, step: scale_by(parts, -1.0),
    "Clip": _clip,
    "Max": lambda parts, step: clip(parts, low=_operand(step)[0]),
    "Min": lambda parts, step: clip(parts, high=_operand(step)[0]),
    "PRelu": _prelu,
    "Selu": _selu,
    "Celu": _celu,
    "HardSigmoid": _hard_sigmoid,
    "ai.onnx.ml.Scaler": _scaler,
    "Gelu": _layer(_gelu),
    "Swish": _layer(_swish),
    "Softmax": _layer(_softmax),
    "LogSoftmax": _log_softmax,
    "Dropout": _layer(_dropout),
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "Conv": images.convolution,
    "ConvTranspose": images.transposed_convolution,
    "MaxPool": images.max_pooling,
    "AveragePool": images.average_pooling,
    "GlobalAveragePool": images.global_pooling,
    "GlobalMaxPool": images.global_pooling,
    "ReduceMean": images.reduced,
    "ReduceMax": images.reduced,
    "Resize": images.resize,
    "Upsample": images.resize,
    "Gather": images.embedding,
}

# operators that treat all numbers alike, so they also work without an axis of features
EVERYWHERE = tuple(name for name, (kind, _) in OPERATORS.items() if kind.record.elementwise)
