"""The steps of a network with Python's standard library only; a stand-alone file gets those that it uses.

A row is a list of floats, the last axis fastest. All is computed in float64. Nothing here may import nnx.
"""

from __future__ import annotations

import base64
import math
from array import array
from collections.abc import Iterator
from itertools import cycle
from operator import mul
from typing import Any

Row = list[float]
Places = list[list[int]]


def numbers(text: str, kind: str, *shape: int) -> Any:
    """Return stored numbers as nested lists: little-endian floats of a kind, f or d, as base64."""
    values = array(kind, base64.b64decode(text))
    if values.itemsize != (4 if kind == "f" else 8):
        raise SystemError("this Python has floats of another size")
    if array("H", b"\1\0")[0] != 1:  # the first byte counts most
        values.byteswap()
    return nested(values.tolist(), shape)


def nested(values: Any, shape: tuple[int, ...]) -> Any:
    """Return the numbers of an array of a shape as nested lists."""
    for size in shape[:0:-1]:
        values = [values[i : i + size] for i in range(0, len(values), size)]
    return values


def transposed(W: list[Row]) -> list[Row]:
    """Return the columns of a matrix as rows."""
    return [list(column) for column in zip(*W, strict=True)]


def flat(row: Any) -> Iterator[float]:
    """Yield the numbers of a row, which may have several axes."""
    for value in row:
        if hasattr(value, "__len__") and not isinstance(value, str):
            yield from flat(value)
        else:
            yield float(value)


def axes(row: Any) -> list[int]:
    """Return the sizes of the axes."""
    return [len(row), *axes(row[0])] if hasattr(row, "__len__") and not isinstance(row, str) else []


def checked(row: Any, *shape: int) -> Row:
    """Return the numbers of a row as a list, after checking them; an image has this shape, or is flat."""
    x, count = list(flat(row)), math.prod(shape)
    if len(x) != count:
        raise ValueError(f"a row has {count} numbers, not {len(x)}")
    if len(shape) > 1 and axes(row) not in ([], [count], [*shape]):
        raise ValueError(f"a row has the shape {[*shape]}, not {axes(row)}")
    if not all(map(math.isfinite, x)):
        raise ValueError("a row has a number that is NaN or infinite")
    return x


def largest(y: Row) -> int:
    """Return the place of the largest number; of the first, if there are several."""
    return max(range(len(y)), key=y.__getitem__)


def compare(found: list[Row], expected: list[Row], tolerance: float) -> float:
    """Return the largest difference, after checking that no number differs by more than rounding.

    In each place of an answer, a number may differ by `tolerance` times the largest expected number there,
    and a hundredth of this for the largest of all.
    """
    difference, most = 0.0, max(abs(v) for y in expected for v in y)
    for ours, theirs in zip(zip(*found, strict=True), zip(*expected, strict=True), strict=True):
        allowed = tolerance * (max(map(abs, theirs)) + 0.01 * most)
        for v, w in zip(ours, theirs, strict=True):
            if not abs(v - w) <= allowed:
                raise SystemExit(f"this file computes other numbers than nnx: {v!r}, not {w!r}")
            difference = max(difference, abs(v - w))
    return difference


def whole(x: Row, limit: int) -> Row:
    """Return a row of whole numbers from 0 to limit − 1, after checking them."""
    for v in x:
        if v != int(v) or not 0 <= v < limit:
            raise ValueError(f"{v} is not a whole number from 0 to {limit - 1}")
    return x


def float32(x: Row) -> Row:
    """Round to float32: the network was trained on such inputs."""
    y = array("f", x).tolist()
    if not all(map(math.isfinite, y)):
        raise ValueError("a number is too large for the network's float32")
    return y


def standardize(x: Row, shift: Row, scale: Row) -> Row:
    """Return (x − shift) / scale."""
    return [(v - m) / s for v, m, s in zip(x, cycle(shift), cycle(scale), strict=False)]


def affine(x: Row, center: Row, factor: Row, offset: Row) -> Row:
    """Return (x − center) · factor + offset, each repeated along the row."""
    constants = zip(cycle(center), cycle(factor), cycle(offset), strict=False)
    return [(v - m) * s + c for v, (m, s, c) in zip(x, constants, strict=False)]


def parts(x: Row, size: int) -> list[Row]:
    """Divide a row into parts of a size."""
    return [x[i : i + size] for i in range(0, len(x), size)]


def dense(x: Row, W: list[Row], b: Row) -> Row:
    """Return x W + b for each part of the row; W has a list of weights for each unit."""
    y: Row = []
    for part in parts(x, len(W[0])):
        y += [sum(map(mul, part, w), c) for w, c in zip(W, b, strict=True)]
    return y


def grouped_dense(x: Row, W: list[list[Row]], b: list[Row]) -> Row:
    """Return x_g W_g + b_g: each part of the row has its own weights, which repeat."""
    y: Row = []
    for part, weights, biases in zip(parts(x, len(W[0][0])), cycle(W), cycle(b), strict=False):
        y += dense(part, weights, biases)
    return y


def windows(
    size: tuple[int, int],
    kernel: tuple[int, int],
    strides: tuple[int, int],
    dilation: tuple[int, int],
    before: tuple[int, int],
    outputs: tuple[int, int],
) -> Places:
    """Return for each window the places in the image of its numbers, row by row; −1 is padding."""
    found = []
    for row in range(outputs[0]):
        for column in range(outputs[1]):
            window = []
            for i in range(kernel[0]):
                for j in range(kernel[1]):
                    r = row * strides[0] - before[0] + i * dilation[0]
                    q = column * strides[1] - before[1] + j * dilation[1]
                    inside = 0 <= r < size[0] and 0 <= q < size[1]
                    window.append(r * size[1] + q if inside else -1)
            found.append(window)
    return found


def convolution(x: Row, W: list[Row], b: Row, places: Places, channels: int, groups: int) -> Row:
    """Multiply each window with each filter; W has the numbers of a window for each filter."""
    image = [*parts(x, channels), [0.0] * channels]  # the last one is at place −1
    width, filters = channels // groups, len(W) // groups
    y: Row = []
    for window in places:
        for group in range(groups):
            part = [v for place in window for v in image[place][group * width : (group + 1) * width]]
            for f in range(group * filters, (group + 1) * filters):
                y.append(sum(map(mul, part, W[f]), b[f]))
    return y


def transposed_convolution(x: Row, W: list[list[Row]], b: Row, places: Places, size: int) -> Row:
    """Add x W_k at the k-th place of the window of each pixel; W has a list for each place and filter."""
    image = [list(b) for _ in range(size)]
    for pixel, window in zip(parts(x, len(W[0][0])), places, strict=True):
        for place, weights in zip(window, W, strict=True):
            if place >= 0:
                image[place] = [
                    sum(map(mul, pixel, w), v) for w, v in zip(weights, image[place], strict=True)
                ]
    return [v for pixel in image for v in pixel]


def max_pool(x: Row, places: Places, channels: int) -> Row:
    """Return the largest number of each window, channel by channel; NaN if there is one."""
    image = parts(x, channels)
    return [
        max(column, key=lambda v: (v != v, v))
        for window in places
        for column in zip(*(image[place] for place in window if place >= 0), strict=True)
    ]


def average_pool(x: Row, places: Places, channels: int) -> Row:
    """Return the mean of each window, channel by channel; padding does not count."""
    image = parts(x, channels)
    return [
        sum(column) / len(column)
        for window in places
        for column in zip(*(image[place] for place in window if place >= 0), strict=True)
    ]


def upsample(x: Row, height: int, width: int, times: tuple[int, int]) -> Row:
    """Repeat each pixel times[0] × times[1] times."""
    image = parts(x, len(x) // (height * width))
    return [
        v
        for row in range(height * times[0])
        for column in range(width * times[1])
        for v in image[row // times[0] * width + column // times[1]]
    ]


def embedding(x: Row, W: list[Row]) -> Row:
    """Return the vector of each whole number."""
    return [v for number in x for v in W[int(number)]]


def category_embedding(x: Row, W: list[Row], begins: Row, limits: Row) -> Row:
    """Return the vector of each column's category; a number that is no category counts as 0."""
    y: Row = []
    for v, begin, limit in zip(x, cycle(begins), cycle(limits), strict=False):
        category = round(v)
        y += W[int(begin) + (category if 0 <= category < limit else 0)]
    return y


def piecewise(x: Row, slope: list[Row], start: list[Row], lowest: list[Row], highest: list[Row]) -> Row:
    """Return min(max(x · slope + start, lowest), highest) for each bin of each number."""
    y: Row = []
    for v, bins in zip(x, cycle(zip(slope, start, lowest, highest, strict=True)), strict=False):
        y += [min(max(v * s + c, low), high) for s, c, low, high in zip(*bins, strict=True)]
    return y


def periodic(x: Row, c: list[Row]) -> Row:
    """Return the cosines and the sines of 2π c x for each number."""
    y: Row = []
    for v, frequencies in zip(x, cycle(c), strict=False):
        angles = [2.0 * math.pi * f * v for f in frequencies]
        y += [math.cos(a) for a in angles]
        y += [math.sin(a) for a in angles]
    return y


def relu(v: float) -> float:
    """Return max(v, 0)."""
    return max(v, 0.0)


def leaky_relu(v: float, alpha: float) -> float:
    """Return v where v > 0, else α v."""
    return v if v > 0.0 else alpha * v


def elu(v: float, alpha: float) -> float:
    """Return v where v > 0, else α (eᵛ − 1)."""
    return v if v > 0.0 else alpha * math.expm1(v)


def selu(v: float) -> float:
    """Return λ v where v > 0, else λ α (eᵛ − 1)."""
    return 1.0507009873554805 * (v if v > 0.0 else 1.6732632423543772 * math.expm1(v))


def sigmoid(v: float) -> float:
    """Return 1 / (1 + e⁻ᵛ)."""
    return 1.0 / (1.0 + math.exp(-v)) if v >= 0.0 else math.exp(v) / (1.0 + math.exp(v))


def hard_sigmoid(v: float) -> float:
    """Return min(max(v + 3, 0), 6) / 6."""
    return min(max(v + 3.0, 0.0), 6.0) / 6.0


def tanh(v: float) -> float:
    """Return tanh v."""
    return math.tanh(v)


def softplus(v: float) -> float:
    """Return log(1 + eᵛ)."""
    return max(v, 0.0) + math.log1p(math.exp(-abs(v)))


def exponential(v: float) -> float:
    """Return eᵛ; infinity if it is too large."""
    try:
        return math.exp(v)
    except OverflowError:
        return math.inf


def silu(v: float) -> float:
    """Return v σ(v)."""
    return v * sigmoid(v)


def gelu(v: float) -> float:
    """Return v Φ(v), with the normal distribution function Φ."""
    return 0.5 * v * math.erfc(-v * math.sqrt(0.5))


def gelu_tanh(v: float) -> float:
    """Return v/2 (1 + tanh(√(2/π) (v + 0.044715 v³)))."""
    z = min(max(v, -40.0), 40.0)
    return v * sigmoid(2.0 * math.sqrt(2.0 / math.pi) * z * (1.0 + 0.044715 * z * z))


def mish(v: float) -> float:
    """Return v tanh(log(1 + eᵛ))."""
    e = math.exp(-abs(v))
    above, rest = (1.0 + 2.0 * e, 2.0 * e * e) if v > 0.0 else (e * (e + 2.0), 2.0)
    return v * above / (above + rest)


def softmax(x: Row, columns: int) -> Row:
    """Return eˣ / Σ eˣ for each part of the row."""
    y: Row = []
    for part in parts(x, columns):
        top = max(part)
        powers = [math.exp(v - top) for v in part]
        total = sum(powers)
        y += [power / total for power in powers]
    return y


def prelu(x: Row, alpha: Row) -> Row:
    """Return x where x > 0, else α x."""
    return [v if v > 0.0 else a * v for v, a in zip(x, cycle(alpha), strict=False)]


def layer_norm(x: Row, gamma: Row, beta: Row, epsilon: float) -> Row:
    """Bring each part of the row to mean 0 and variance 1, then compute x γ + β."""
    y: Row = []
    for part in parts(x, len(gamma)):
        mean = sum(part) / len(part)
        variance = sum((v - mean) ** 2 for v in part) / len(part)
        scale = 1.0 / math.sqrt(variance + epsilon)
        y += [(v - mean) * scale * g + c for v, g, c in zip(part, gamma, beta, strict=True)]
    return y


def ascending(x: Row, columns: int) -> Row:
    """Add up the first number and the softplus of the others, in each part of the row."""
    y: Row = []
    for part in parts(x, columns):
        total = part[0]
        y.append(total)
        for v in part[1:]:
            total += softplus(v)
            y.append(total)
    return y


def columns(x: Row, inputs: int, start: int, count: int) -> Row:
    """Take some numbers of each part of the row."""
    return [v for part in parts(x, inputs) for v in part[start : start + count]]


def add(x: Row, other: Row) -> Row:
    """Return the sum of two rows."""
    return [v + w for v, w in zip(x, other, strict=True)]


def concatenate(*rows: tuple[Row, int]) -> Row:
    """Join rows part by part; each is given with the size of its parts."""
    joined = zip(*(parts(x, size) for x, size in rows), strict=True)
    return [v for several in joined for part in several for v in part]


def spread(x: Row, shift: Row, scale: Row, epsilon: float) -> Row:
    """Return the mean and the standard deviation of each target, in the units of the data."""
    y: Row = []
    for (mean, other), m, s in zip(parts(x, 2), cycle(shift), cycle(scale), strict=False):
        y += [mean * s + m, (softplus(other) + epsilon) * s]
    return y
