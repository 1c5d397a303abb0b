"""Follow the order of axes through an ONNX graph: images have channels on the second axis there, last in nnx.

Each value of the graph has a *layout*: how its axes are ordered compared with nnx's array. A Transpose only
changes the layout, so nnx needs no layer for it. Flatten of an image gives features in the order (channels,
height, width) in the file, and in the order (height, width, channels) in nnx. The weights of the next `Dense`
layer are reordered for this.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from nnx.errors import ConfigurationError, FileFormatError
from nnx.interop.affine import rescale
from nnx.interop.branches import Call
from nnx.interop.onnx_tensors import STANDARD, UNKNOWN, Constants, named
from nnx.interop.parts import Part
from nnx.layers import (
    Dense,
    Flatten,
    GlobalAveragePool1D,
    GlobalAveragePool2D,
    GlobalMaxPool1D,
    GlobalMaxPool2D,
    LayerNorm,
    Rescale,
    Reshape,
    Softmax,
)

HostArray = np.ndarray[Any, Any]
Shapes = dict[str, list[int]]
Number = TypeVar("Number", int, float)
POOLS = ("MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool")
IMAGES = ("Conv", "ConvTranspose", *POOLS, "BatchNormalization")
RESIZES = ("Resize", "Upsample")
# a value before one of these may have another order of axes than the value after it
BREAKS = ("Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "MatMul", "Gemm", "Gather", "Shape")


NO_MOVES = "nnx has no layer that moves axes"


class Layout(NamedTuple):
    """The file's axis i is nnx's axis order[i]; both count the axis of rows.

    `folded` is (channels, height, width) if the features of a row are in this order in the file, and in the
    order (height, width, channels) in nnx; else it is empty.
    """

    order: tuple[int, ...]
    folded: tuple[int, ...] = ()

    @property
    def plain(self) -> bool:
        """Return whether the file and nnx have the same order."""
        return self.order == tuple(range(len(self.order))) and not self.folded

    @property
    def images(self) -> bool:
        """Return whether the file has the channels on the second axis, and nnx on the last."""
        return len(self.order) > 2 and self == channels_second(len(self.order))

    @property
    def usable(self) -> bool:
        """Return whether nnx's layers can take such a value."""
        return self.plain or self.images or bool(self.folded)

    def shape(self, lengths: Sequence[Number]) -> list[Number]:
        """Return lengths of the file's axes in nnx's order."""
        return [lengths[self.order.index(axis)] for axis in range(len(lengths))]

    @property
    def to_nnx(self) -> str:
        """Return the call that gives an array of the file's order in nnx's."""
        return f".transpose({', '.join(str(self.order.index(axis)) for axis in range(len(self.order)))})"

    def array(self, value: HostArray) -> HostArray:
        """Return an array that the file broadcasts to such a value, for nnx's order."""
        if self.plain or value.size == 1 or value.ndim > len(self.order):
            return value
        if self.folded:
            return unfolded(value, self.folded) if value.shape[-1] == math.prod(self.folded) else value
        full = value.reshape((1,) * (len(self.order) - value.ndim) + value.shape)
        return full.transpose([self.order.index(axis) for axis in range(len(self.order))])


def plain(rank: int) -> Layout:
    """Return the layout in which nothing moves."""
    return Layout(tuple(range(rank)))


def channels_second(rank: int) -> Layout:
    """Return the layout of images in a file."""
    return Layout((0, rank - 1, *range(1, rank - 1)))


def unfolded(value: HostArray, folded: Sequence[int], axis: int = -1) -> HostArray:
    """Return an array with its features, which are (channels, height, width), in nnx's order."""
    places = np.moveaxis(np.arange(math.prod(folded)).reshape(folded), 0, -1)
    return np.take(value, places.reshape(-1), axis)


class _Moved(NamedTuple):
    """A Transpose: what it takes, the order of its axes, and how an error names it."""

    source: str
    order: tuple[int, ...]
    by: str


class Layouts:
    """The layouts of the values of a graph."""

    def __init__(self, calls: Sequence[Call], attributes: Any, constants: Constants, shapes: Shapes) -> None:
        self._known: dict[str, Layout] = {}
        self._moved: dict[str, _Moved] = {}
        self._images = _images(calls, attributes, constants, shapes)
        self._attributes = attributes

    def without_transposes(self, calls: Sequence[Call]) -> list[Call]:
        """Return the calls that compute; what a Transpose gives is another name of what it takes."""
        kept = []
        for call in calls:
            if call.node.op_type == "Transpose" and call.node.domain in STANDARD:
                order = self._attributes(call.node).get("perm")
                if order is None or order[0] != 0:
                    raise FileFormatError(f"{named(call.node)}: it moves the axis of rows")
                self._moved[call.gives] = _Moved(call.takes[0], tuple(order), named(call.node))
            else:
                kept.append(call._replace(takes=tuple(map(self.source, call.takes))))
        return kept

    def rename(self, name: str, source: str) -> None:
        """Treat a value as another name of a value, in the same order of axes."""
        self._moved[name] = _Moved(source, tuple(range(len(self.of(source).order))), name)

    def source(self, name: str) -> str:
        """Return the value that one is a Transpose of, or its own name."""
        while name in self._moved:
            name = self._moved[name].source
        return name

    def is_image(self, name: str) -> bool:
        """Return whether a value reaches a convolution or another operator on images in its order of axes."""
        return name in self._images

    def set(self, name: str, layout: Layout) -> None:
        """Remember the layout of a value."""
        self._known[name] = layout

    def start(self, name: str, rank: int) -> None:
        """Set the layout of the graph's input."""
        self.set(name, channels_second(rank) if self.is_image(name) and rank > 2 else plain(rank))

    def of(self, name: str) -> Layout:
        """Return the layout of a value that was computed."""
        if name in self._moved:
            source, order, _ = self._moved[name]
            before = self.of(source)
            return before._replace(order=tuple(before.order[axis] for axis in order))
        return self._known[name]

    def check_output(self, name: str, notes: list[str]) -> None:
        """Note that the network's output has channels last; refuse other orders of axes or features."""
        layout = self.of(name)
        if layout.folded:
            raise FileFormatError(
                f"its output has the features of images of {layout.folded}, with channels first: nnx has "
                "channels last, and no layer that moves axes"
            )
        if name in self._moved and not layout.plain:
            raise FileFormatError(f"{self._moved[name].by}: nnx has no layer that moves axes")
        if not layout.usable:
            raise FileFormatError(f"its output has its axes in the order {layout.order}: {NO_MOVES}")
        if layout.images:
            notes.append(f"its output has channels on axis 1: the network has them last, y{layout.to_nnx}")

    def common(self, names: Sequence[str]) -> Layout:
        """Return the layout of several values, which must be the same and one that nnx can use."""
        found = [self.of(name) for name in names]
        if any(one != found[0] for one in found):
            raise ConfigurationError(
                "its data have their axes in different orders: nnx has no layer that moves axes"
            )
        if not found[0].usable:
            raise ConfigurationError(f"its data have their axes in the order {found[0].order}: {NO_MOVES}")
        return found[0]


def _images(calls: Sequence[Call], attributes: Any, constants: Constants, shapes: Shapes) -> set[str]:
    """Return the values that have channels on the second axis, because an operator on images takes them."""
    found: set[str] = set()
    for node, takes, gives in reversed(calls):
        kind = node.op_type
        if node.domain not in STANDARD or kind in BREAKS:
            continue
        sized = _resizes(node, attributes, constants, shapes) or _means(node, attributes, constants)
        if kind in IMAGES or gives in found or sized:
            found.update(takes)
    return found


def _resizes(node: Any, attributes: Any, constants: Constants, shapes: Shapes) -> bool:
    """Return whether a Resize enlarges the last axis, and none of the first two."""
    if node.op_type not in RESIZES or node.input[0] not in shapes:
        return False
    before, last = shapes[node.input[0]], node.input[-1]
    values = constants.array(last) if last in constants else attributes(node).get("scales")
    axes = attributes(node).get("axes", range(len(before)))
    if values is None or np.size(values) != len(axes):
        return False
    given = dict(zip((axis % len(before) for axis in axes), np.ravel(values).tolist(), strict=True))
    sizes = len(node.input) == 4  # else they are scales
    grown = {axis for axis, value in given.items() if axis and value != (before[axis] if sizes else 1)}
    return len(before) - 1 in grown and min(grown) > 1


def _means(node: Any, attributes: Any, constants: Constants) -> bool:
    """Return whether a node is the mean or maximum of images whose channels are on the second axis."""
    if node.op_type not in ("ReduceMean", "ReduceMax"):
        return False
    axes = attributes(node).get("axes")
    if len(node.input) > 1 and node.input[1] in constants:
        axes = constants.array(node.input[1])
    return axes is not None and sorted(np.atleast_1d(axes).tolist()) in ([2, 3], [-2, -1])


# ------------------------------------------------------------------------ operators that change the shape


def view(
    parts: list[Part], layout: Layout, before: list[int], row: list[int], images: bool
) -> tuple[list[Part], Layout]:
    """Return the parts after rows of the file's shape `before` become `row`, and the new layout.

    `images` says whether operators on images take the result.
    """
    now, to = layout.shape([0, *before])[1:], row
    if layout.folded:
        after = _of_folded(layout, row)
    elif layout.images and not _flat_alike(before):
        after = _of_images(before, row)
    elif images and len(row) > 1:
        after = channels_second(len(row) + 1)
        if not _flat_alike(row):
            parts = _permuted(parts, before, row)
    else:
        after = plain(len(row) + 1)
    to = after.shape([0, *row])[1:]
    if to == now:
        return parts, after
    if len(parts) > 1 and isinstance(parts[-1].layer, Reshape) and _pooled(parts[-2], to):
        return parts[:-1], after
    return [*parts, Part(Flatten() if len(to) == 1 else Reshape(to), {})], after


def _flat_alike(row: Sequence[int]) -> bool:
    """Return whether rows (channels, height, width) have the same numbers in the same order as in nnx."""
    return row[0] == 1 or all(length == 1 for length in row[1:])


def _of_images(before: list[int], row: list[int]) -> Layout:
    if len(row) == 1:
        if UNKNOWN in before:
            raise ConfigurationError("it flattens images of unknown size")
        return Layout((0, 1), tuple(before))
    return _same_channels(before, row)


def _of_folded(layout: Layout, row: list[int]) -> Layout:
    return layout if len(row) == 1 else _same_channels(layout.folded, row)


def _same_channels(before: Sequence[int], row: Sequence[int]) -> Layout:
    if row[0] == before[0]:
        return channels_second(len(row) + 1)
    raise ConfigurationError(
        f"it makes rows of {tuple(row)} from rows of {tuple(before)} with channels first: nnx has channels "
        "last, and no layer that moves axes"
    )


def _pooled(part: Part, to: list[int]) -> bool:
    kinds = (GlobalAveragePool1D, GlobalAveragePool2D, GlobalMaxPool1D, GlobalMaxPool2D)
    return isinstance(part.layer, kinds) and len(to) == 1


def _permuted(parts: list[Part], before: list[int], row: Sequence[int]) -> list[Part]:
    """Return parts that give rows of features with channels last, not as (channels, height, width)."""
    after: list[Part] = []
    for at in reversed(range(len(parts) if len(before) == 1 else 0)):
        part = parts[at]
        layer, values = part.layer, {name: _moved(value, row) for name, value in part.values.items()}
        if isinstance(layer, Rescale):
            after.insert(0, rescale(**values))
        elif isinstance(layer, Dense):
            return [*parts[:at], part._replace(values=values), *after]
        elif layer.record.elementwise or isinstance(layer, Softmax | LayerNorm) or values:
            after.insert(0, part._replace(values=values))
        else:
            break
    raise ConfigurationError(
        f"it makes images of {tuple(row)}, with channels first, from features that no Dense layer gives: nnx "
        "has channels last, and no layer that moves axes"
    )


def _moved(value: Any, row: Sequence[int]) -> Any:
    return value if np.size(value) == 1 else unfolded(np.asarray(value), row)
