"""Express explicit padding by the paddings of nnx's layers: "valid" (none) and "same" (as in Keras)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from nnx.errors import ConfigurationError
from nnx.ops.windows import PADDINGS, Windows, transposed_windows, windows

Extension = tuple[int, int]  # how many zeros a kernel gets before and after its numbers


class Axis(NamedTuple):
    """What another program does on an axis: its padding before the data, and the size of its result."""

    size: int
    kernel: int
    stride: int
    dilation: int
    begin: int
    outputs: int


class Span(NamedTuple):
    """Padding before and after the data, and the size of the result, for each axis."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    outputs: tuple[int, ...]


def span(
    size: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
    padding: str,
    transposed: bool = False,
) -> Span:
    """Return what a layer of nnx does on each axis; `outputs` is the image's size if it is transposed."""
    found = [
        _windows(*axis, padding, transposed) for axis in zip(size, kernel, strides, dilation, strict=True)
    ]
    results = tuple(one.size[1] if transposed else one.outputs[1] for one in found)
    return Span(tuple(one.before[1] for one in found), tuple(one.after[1] for one in found), results)


def _windows(size: int, kernel: int, stride: int, dilation: int, padding: str, transposed: bool) -> Windows:
    make = transposed_windows if transposed else windows
    return make((1, size), (1, kernel), (1, stride), padding, (1, dilation))


def fitted(
    axes: Sequence[Axis], transposed: bool = False, extend: bool = True
) -> tuple[str, list[Extension]]:
    """Return the padding of nnx that computes the same, and the zeros that each axis of the kernel gets.

    "same" pads more at the end. If a convolution pads otherwise, a kernel with zeros at its edges moves the
    windows by some numbers: y_i = Σ_j W_j x_{s i + d j − p}. Poolings have no kernel: they do not `extend`.

    Raises
    ------
    ConfigurationError
        If neither padding computes the same.
    """
    found = []
    for padding in PADDINGS:
        extensions = [_extension(axis, padding, transposed, axis.kernel if extend else 0) for axis in axes]
        known: list[Extension] = [one for one in extensions if one is not None]
        if len(known) == len(axes):
            found.append((sum(map(sum, known)), padding, known))
    if not found:
        raise ConfigurationError(
            f"it pads {tuple(axis.begin for axis in axes)} numbers at the beginning, and makes images of "
            f"{tuple(axis.outputs for axis in axes)} from {tuple(axis.size for axis in axes)}: nnx pads only "
            'as Keras does, "valid" or "same"'
        )
    _, padding, fewest = min(found, key=lambda one: one[0])
    return padding, fewest


def _extension(axis: Axis, padding: str, transposed: bool, most: int) -> Extension | None:
    """Return the fewest zeros before and after the kernel with which a padding of nnx computes the same."""
    size, kernel, stride, dilation, begin, outputs = axis
    for before, after in _pairs(most):
        try:
            found = span([size], [kernel + before + after], [stride], [dilation], padding, transposed)
        except ConfigurationError:
            continue  # the window does not fit
        if found.outputs == (outputs,) and found.before == (begin + dilation * before,):
            return before, after
    return None


def _pairs(most: int) -> Iterator[Extension]:
    for total in range(most + 1):
        for before in range(total + 1):
            yield before, total - before
