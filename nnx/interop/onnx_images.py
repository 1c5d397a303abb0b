"""Read ONNX's operators on images: convolutions, poolings and nearest resizing. Also Gather, an embedding."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnx import layers
from nnx.errors import ConfigurationError
from nnx.interop.onnx_step import Step
from nnx.interop.onnx_tensors import UNKNOWN
from nnx.interop.paddings import Axis, Extension, fitted
from nnx.interop.parts import Part
from nnx.layers import Reshape

HostArray = np.ndarray[Any, Any]
NOTSET, VALID, SAME_UPPER, SAME_LOWER = "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"


def _spatial(step: Step) -> list[int]:
    """Return the lengths of an image's axes, without rows and channels."""
    if not step.layout.images:
        raise ConfigurationError("its data have no channels on the second axis")
    lengths = step.shape[1:-1]
    if UNKNOWN in step.shape[1:]:
        raise ConfigurationError("the size of its images is open: export the model with fixed sizes")
    if len(lengths) > 2:
        raise ConfigurationError(f"its images have {len(lengths)} axes: nnx's layers take one or two")
    return lengths


def _named(kind: str, step: Step) -> Any:
    """Return the class for the number of axes of the images."""
    return getattr(layers, f"{kind}{len(_spatial(step))}D")


def _lengths(step: Step, name: str, otherwise: int = 1) -> list[int]:
    axes = len(_spatial(step))
    given = [int(one) for one in step.attributes.get(name, [otherwise] * axes)]
    if len(given) != axes:
        raise ConfigurationError(f"its {name} are {given}, for images with {axes} axes")
    return given


def _argument(lengths: Sequence[int]) -> Any:
    """Return lengths as an argument of a layer: one number for one axis."""
    return lengths[0] if len(lengths) == 1 else tuple(lengths)


def _pads(step: Step) -> tuple[list[int], list[int]]:
    pads = [int(one) for one in step.attributes.get("pads", [0] * 2 * len(_spatial(step)))]
    half = len(pads) // 2
    return pads[:half], pads[half:]


def _auto_pad(step: Step) -> str:
    text = step.attributes.get("auto_pad", b"NOTSET").decode()
    if text not in (NOTSET, VALID, SAME_UPPER, SAME_LOWER):
        raise ConfigurationError(f"its auto_pad is {text!r}")
    return str(text)


def _windows(step: Step, kernel: Sequence[int]) -> list[Axis]:
    """Return where the windows of a convolution or pooling begin on each axis, and how many there are."""
    strides, dilations = _lengths(step, "strides"), _lengths(step, "dilations")
    befores, afters = _pads(step)
    auto, axes = _auto_pad(step), []
    for at, size in enumerate(_spatial(step)):
        stride, reach = strides[at], (kernel[at] - 1) * dilations[at] + 1
        begin, end = (befores[at], afters[at]) if auto == NOTSET else (0, 0)
        room = size + begin + end - reach
        outputs = room // stride + 1
        if step.attributes.get("ceil_mode") and auto == NOTSET:
            outputs = -(-room // stride) + 1
            outputs -= (outputs - 1) * stride >= size + begin  # such a window reads only padding
        if auto in (SAME_UPPER, SAME_LOWER):
            outputs = -(-size // stride)
            total = max((outputs - 1) * stride + reach - size, 0)
            begin = (total + (auto == SAME_LOWER)) // 2
        axes.append(Axis(size, kernel[at], stride, dilations[at], begin, outputs))
    _check_outputs(step, [axis.outputs for axis in axes])
    return axes


def _check_outputs(step: Step, outputs: Sequence[int]) -> None:
    """Refuse a node whose result has another size than ONNX states: its padding is not understood."""
    stated = step.after[2:]
    if stated and UNKNOWN not in stated and list(stated) != list(outputs):
        raise ConfigurationError(f"it gives images of {list(stated)}, but {list(outputs)} were expected")


def _extended(W: HostArray, axes: Sequence[Axis], extensions: Sequence[Extension], step: Step) -> HostArray:
    """Return a kernel with zeros at its edges."""
    if any(map(any, extensions)):
        W = np.pad(W, [*extensions, (0, 0), (0, 0)])
        before, after = ([axis.kernel for axis in axes], list(W.shape[:-2]))
        step.say(
            f"nnx has no such padding; in the network, its kernel of {before} has zeros at its edges, {after}"
        )
    return W


def _kernel(step: Step) -> HostArray:
    """Return the weights with the axes of the kernel first, and then the second axis and the first."""
    W = step.needed(1)
    axes = len(_spatial(step))
    if W.ndim != axes + 2 or list(step.attributes.get("kernel_shape", W.shape[2:])) != list(W.shape[2:]):
        raise ConfigurationError(f"its weights of shape {W.shape} do not fit its kernel")
    return W.transpose([*range(2, axes + 2), 1, 0])


def _values(W: HostArray, b: HostArray | None) -> dict[str, HostArray]:
    return {"W": W} if b is None else {"W": W, "b": b}


def convolution(parts: list[Part], step: Step) -> list[Part]:
    """Read Conv."""
    W, b = _kernel(step), step.constant(2)
    make = _named("Conv", step)
    axes = _windows(step, W.shape[:-2])
    padding, extensions = fitted(axes)
    W = _extended(W, axes, extensions, step)
    layer = make(
        W.shape[-1],
        _argument(W.shape[:-2]),
        strides=_argument([axis.stride for axis in axes]),
        padding=padding,
        dilation=_argument([axis.dilation for axis in axes]),
        groups=int(step.attributes.get("group", 1)),
        use_bias=b is not None,
    )
    return [*parts, Part(layer, _values(W, b))]


def transposed_convolution(parts: list[Part], step: Step) -> list[Part]:
    """Read ConvTranspose."""
    W, b = _kernel(step), step.constant(2)
    if len(_spatial(step)) != 2:
        raise ConfigurationError("nnx has transposed convolutions only of images with two axes")
    if step.attributes.get("group", 1) != 1:
        raise ConfigurationError("nnx's Conv2DTranspose has no groups")
    axes = _images(step, W.shape[:-2])
    padding, extensions = fitted(axes, transposed=True)
    W = _extended(W, axes, extensions, step)
    layer = layers.Conv2DTranspose(
        W.shape[-2],
        tuple(W.shape[:-2]),
        strides=tuple(axis.stride for axis in axes),
        padding=padding,
        dilation=tuple(axis.dilation for axis in axes),
        use_bias=b is not None,
    )
    return [*parts, Part(layer, _values(W, b))]


def _images(step: Step, kernel: Sequence[int]) -> list[Axis]:
    """Return what a transposed convolution leaves out at the beginning, and the size of its result."""
    strides, dilations = _lengths(step, "strides"), _lengths(step, "dilations")
    extra = _lengths(step, "output_padding", 0)
    befores, afters = _pads(step)
    shape, auto, axes = step.attributes.get("output_shape"), _auto_pad(step), []
    for at, size in enumerate(_spatial(step)):
        whole = strides[at] * (size - 1) + extra[at] + (kernel[at] - 1) * dilations[at] + 1
        begin, outputs = befores[at], whole - befores[at] - afters[at]
        if shape is not None or auto in (SAME_UPPER, SAME_LOWER):
            outputs = size * strides[at] if shape is None else int(shape[-len(kernel) :][at])
            total = max(whole - outputs, 0)
            begin = total // 2 if auto == SAME_UPPER else total - total // 2
            if shape is not None and whole < outputs:
                raise ConfigurationError("its output_shape is larger than its data fill")
        elif auto == VALID:
            begin, outputs = 0, whole
        axes.append(Axis(size, kernel[at], strides[at], dilations[at], begin, outputs))
    _check_outputs(step, [axis.outputs for axis in axes])
    return axes


def max_pooling(parts: list[Part], step: Step) -> list[Part]:
    """Read MaxPool."""
    return [*parts, _pooling("MaxPool", step)]


def average_pooling(parts: list[Part], step: Step) -> list[Part]:
    """Read AveragePool."""
    return [*parts, _pooling("AveragePool", step)]


def _pooling(kind: str, step: Step) -> Part:
    make, kernel = _named(kind, step), _lengths(step, "kernel_shape")
    axes = _windows(step, kernel)
    if any(axis.dilation != 1 and axis.kernel != 1 for axis in axes):
        raise ConfigurationError(f"nnx's {kind} layers have no dilation")
    axes = [axis._replace(dilation=1) for axis in axes]
    if kind == "AveragePool" and step.attributes.get("count_include_pad") and any(map(_reaches_out, axes)):
        raise ConfigurationError("it counts the padding in the mean (count_include_pad): nnx does not")
    padding, _ = fitted(axes, extend=False)
    strides = [axis.stride for axis in axes]
    return Part(make(_argument(kernel), strides=_argument(strides), padding=padding), {})


def _reaches_out(axis: Axis) -> bool:
    """Return whether a window reads padding."""
    end = (axis.outputs - 1) * axis.stride + axis.kernel - axis.begin
    return axis.begin > 0 or end > axis.size


def global_pooling(parts: list[Part], step: Step) -> list[Part]:
    """Read GlobalAveragePool or GlobalMaxPool, which keep axes of length 1."""
    kept = Reshape((*[1] * len(_spatial(step)), step.shape[-1]))
    return [*parts, Part(_named(step.node.op_type, step)(), {}), Part(kept, {})]


REDUCED = {"ReduceMean": "GlobalAveragePool", "ReduceMax": "GlobalMaxPool"}


def reduced(parts: list[Part], step: Step) -> list[Part]:
    """Read ReduceMean or ReduceMax over all axes of an image but the channels."""
    given = step.attributes.get("axes") if step.constant(1) is None else step.needed(1)
    axes = np.atleast_1d([] if given is None else given).tolist()
    over = sorted(step.layout.order[int(axis)] for axis in axes)
    if step.rank not in (3, 4) or over != list(range(1, step.rank - 1)):
        raise ConfigurationError("nnx pools over all axes of images but the channels, or over windows")
    pooled = Part(getattr(layers, f"{REDUCED[step.node.op_type]}{step.rank - 2}D")(), {})
    kept = Part(Reshape((*[1] * (step.rank - 2), step.shape[-1])), {})
    return [*parts, pooled, *([kept] if step.attributes.get("keepdims", 1) else [])]


# --------------------------------------------------------------------------------------------- resizing


def resize(parts: list[Part], step: Step) -> list[Part]:
    """Read Resize or Upsample that repeats each number."""
    if UNKNOWN in step.shape[1:]:
        raise ConfigurationError("the size of its images is open: export the model with fixed sizes")
    mode = step.attributes.get("mode", b"nearest").decode()
    if mode != "nearest":
        raise ConfigurationError(f"its mode is {mode!r}: nnx's UpSample layers repeat the nearest number")
    factors = step.layout.shape(_factors(step))
    whole = [round(factor) for factor in factors]
    if whole != factors or factors[-1] != 1 or min(whole) < 1 or not (3 <= step.rank <= 4 or max(whole) == 1):
        raise ConfigurationError(f"it enlarges the axes by {factors}: nnx only repeats numbers of images")
    if max(whole) == 1:
        return parts
    for factor, size in zip(whole[1:-1], step.shape[1:-1], strict=True):
        if not _repeats(step, factor, size):
            raise ConfigurationError("it rounds places in another way than by repeating each number")
    make = getattr(layers, f"UpSample{step.rank - 2}D")
    return [*parts, Part(make(_argument(whole[1:-1])), {})]


def _factors(step: Step) -> list[float]:
    """Return by how much each axis of the file grows."""
    attributes = step.attributes
    if attributes.get("keep_aspect_ratio_policy", b"stretch") != b"stretch" or attributes.get("antialias"):
        raise ConfigurationError("nnx has no antialias and no keep_aspect_ratio_policy")
    if attributes.get("coordinate_transformation_mode") == b"tf_crop_and_resize":
        raise ConfigurationError("nnx does not crop images")
    before = [step.shape[axis] for axis in step.layout.order]
    scales = attributes.get("scales")  # Upsample, before operator set 9
    if scales is None:
        last = len(step.inputs) - 1
        given = step.needed(last)
        sizes = last == 3
        axes = [int(axis) % step.rank for axis in attributes.get("axes", range(step.rank))]
        scales = [1.0] * step.rank
        for axis, value in zip(axes, given.reshape(-1).tolist(), strict=True):
            whole_axis = axis == 0 or not sizes
            scales[axis] = (1.0 if sizes else value) if whole_axis else value / before[axis]
    if scales[0] != 1:
        raise ConfigurationError("it repeats rows")
    return [float(scale) for scale in scales]


def _repeats(step: Step, factor: int, size: int) -> bool:
    """Return whether nearest resizing by a whole factor repeats each number of an axis `factor` times."""
    old = step.node.op_type == "Upsample" or step.opset < 11
    how = "asymmetric" if old else _text(step, "coordinate_transformation_mode", "half_pixel")
    rounding = "floor" if old else _text(step, "nearest_mode", "round_prefer_floor")
    at = np.arange(size * factor, dtype=np.float64)
    if how in ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel"):
        places = (at + 0.5) / factor - 0.5 if at.size > 1 or how != "pytorch_half_pixel" else at * 0.0
    elif how == "asymmetric":
        places = at / factor
    elif how == "align_corners":
        places = at * (size - 1) / max(size * factor - 1, 1)
    else:
        return False
    rounded: dict[str, Callable[[], Any]] = {
        "floor": lambda: np.floor(places),
        "ceil": lambda: np.ceil(places),
        "round_prefer_floor": lambda: np.ceil(places - 0.5),
        "round_prefer_ceil": lambda: np.floor(places + 0.5),
    }
    if rounding not in rounded:
        return False
    nearest = np.clip(rounded[rounding](), 0, size - 1)
    return bool((nearest == np.repeat(np.arange(size), factor)).all())


def _text(step: Step, name: str, otherwise: str) -> str:
    return str(step.attributes.get(name, otherwise.encode()).decode())


# -------------------------------------------------------------------------------------------- embedding


def _of_rows(step: Step, table: HostArray) -> bool:
    return step.attributes.get("axis", 0) in (0, -table.ndim)


def embedding(parts: list[Part], step: Step) -> list[Part]:
    """Read Gather of rows of a table, whose numbers are the data."""
    table = step.constant(0)
    if table is None or step.constant(1) is not None or not _of_rows(step, table):
        raise ConfigurationError("nnx reads Gather only of the rows of a constant table: an Embedding")
    if table.ndim < 2:
        raise ConfigurationError(f"its table has the shape {table.shape}: nnx needs a row for each number")
    rest = table.shape[1:]
    made = Part(layers.Embedding(len(table), math.prod(rest)), {"W": table.reshape(len(table), -1)})
    if UNKNOWN in step.shape[1:]:
        raise ConfigurationError("how many numbers a row has is open: export the model with a fixed length")
    if len(rest) == 1:
        return [*parts, made]
    return [*parts, made, Part(Reshape((*step.shape[1:], *rest)), {})]
