"""The steps of a network with NumPy; a stand-alone file gets those that it uses.

x has the shape (rows, numbers of a row), the last axis of a row fastest. All is computed in float64. Nothing
here may import nnx.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def numbers(text: str, kind: str, *shape: int) -> Array:
    """Return stored numbers as an array: little-endian floats of a kind, f or d, as base64."""
    stored = np.frombuffer(base64.b64decode(text), f"<{kind}")
    return stored.astype(np.float64).reshape(shape)


def checked(rows: Any, *shape: int) -> Array:
    """Return rows as an array of shape (rows, numbers of a row), after checking them."""
    x = np.asarray(rows, np.float64)
    count = math.prod(shape)
    if x.size == 0:
        return np.zeros((0, count))
    if x.shape[1:] not in ((count,), shape):
        raise ValueError(f"rows have the shape {shape}, so x has one axis more; it is {x.shape}")
    x = x.reshape(-1, count)
    if not np.isfinite(x).all():
        raise ValueError("a row has a number that is NaN or infinite")
    return x


def largest(y: Array) -> int:
    """Return the place of the largest number; of the first, if there are several."""
    return int(np.argmax(y))


def compare(found: Array, expected: Array, tolerance: float) -> float:
    """Return the largest difference, after checking that no number differs by more than rounding.

    In each place of an answer, a number may differ by `tolerance` times the largest expected number there,
    and a hundredth of this for the largest of all.
    """
    difference, most = np.abs(found - expected), np.abs(expected)
    wrong = ~(difference <= tolerance * (most.max(axis=0) + 0.01 * most.max()))
    if wrong.any():
        ours, theirs = float(found[wrong][0]), float(expected[wrong][0])
        raise SystemExit(f"this file computes other numbers than nnx: {ours!r}, not {theirs!r}")
    return float(difference.max())


def in_blocks(network: Callable[[Array], Array], x: Array, *shape: int) -> Array:
    """Return the answers, of a shape, for rows; computed for 256 rows at a time."""
    answers = [network(x[i : i + 256]) for i in range(0, len(x), 256)]
    return np.concatenate([np.zeros((0, math.prod(shape))), *answers]).reshape(len(x), *shape)


def whole(x: Array, limit: int) -> Array:
    """Return rows of whole numbers from 0 to limit − 1, after checking them."""
    wrong = x[(x != np.floor(x)) | (x < 0) | (x >= limit)]
    if wrong.size:
        raise ValueError(f"{wrong[0]} is not a whole number from 0 to {limit - 1}")
    return x


def float32(x: Array) -> Array:
    """Round to float32: the network was trained on such inputs."""
    with np.errstate(over="ignore"):
        y = x.astype(np.float32).astype(np.float64)
    if not np.isfinite(y).all():
        raise ValueError("a number is too large for the network's float32")
    return y


def repeated(values: Array, x: Array) -> Array:
    """Repeat numbers up to the length of a row."""
    return np.tile(values, x.shape[1] // values.size)


def standardize(x: Array, shift: Array, scale: Array) -> Array:
    """Return (x − shift) / scale."""
    return (x - repeated(shift, x)) / repeated(scale, x)


def affine(x: Array, center: Array, factor: Array, offset: Array) -> Array:
    """Return (x − center) · factor + offset, each repeated along the row."""
    return (x - repeated(center, x)) * repeated(factor, x) + repeated(offset, x)


def transposed(W: Array) -> Array:
    """Return the columns of a matrix as rows."""
    return W.T


def parts(x: Array, size: int) -> Array:
    """Divide rows into parts of a size, on a new axis."""
    return x.reshape(len(x), x.shape[1] // size, size)


def flat(x: Array) -> Array:
    """Join all axes of a row into one."""
    return x.reshape(len(x), math.prod(x.shape[1:]))


def dense(x: Array, W: Array, b: Array) -> Array:
    """Return x W + b for each part of a row; W has a row of weights for each unit."""
    return flat(parts(x, W.shape[1]) @ W.T + b)


def grouped_dense(x: Array, W: Array, b: Array) -> Array:
    """Return x_g W_g + b_g: each part of a row has its own weights, which repeat."""
    z = parts(x, W.shape[2]).reshape(-1, W.shape[0], 1, W.shape[2]) @ W.transpose(0, 2, 1)
    return (z[:, :, 0] + b).reshape(len(x), x.shape[1] // W.shape[2] * W.shape[1])


def windows(
    size: tuple[int, int],
    kernel: tuple[int, int],
    strides: tuple[int, int],
    dilation: tuple[int, int],
    before: tuple[int, int],
    outputs: tuple[int, int],
) -> Array:
    """Return for each window the places in the image of its numbers, row by row; −1 is padding."""
    rows, columns = (
        np.arange(outputs[i])[:, None] * strides[i] - before[i] + np.arange(kernel[i]) * dilation[i]
        for i in (0, 1)
    )
    r, q = rows[:, None, :, None], columns[None, :, None, :]
    inside = (r >= 0) & (r < size[0]) & (q >= 0) & (q < size[1])
    return np.where(inside, r * size[1] + q, -1).reshape(math.prod(outputs), math.prod(kernel))


def padded(x: Array, channels: int, value: float) -> Array:
    """Return the pixels of images, and one more with a value, which is at place −1."""
    return np.pad(parts(x, channels), ((0, 0), (0, 1), (0, 0)), constant_values=value)


def convolution(x: Array, W: Array, b: Array, places: Array, channels: int, groups: int) -> Array:
    """Multiply each window with each filter; W has the numbers of a window for each filter."""
    seen = padded(x, channels, 0.0)[:, places]  # (rows, windows, numbers of a window, channels)
    inputs, filters = np.split(seen, groups, axis=3), np.split(W, groups)
    found = [part.reshape(*part.shape[:2], w.shape[1]) @ w.T for part, w in zip(inputs, filters, strict=True)]
    return flat(np.concatenate(found, axis=2) + b)


def transposed_convolution(x: Array, W: Array, b: Array, places: Array, size: int) -> Array:
    """Add x W_k at the k-th place of the window of each pixel; W has a matrix for each place."""
    image = np.zeros((len(x), size + 1, len(b)))  # the last place is outside of the image
    for k, w in enumerate(W):
        image[:, places[:, k]] += parts(x, w.shape[1]) @ w.T  # no place twice, except the last
    return flat(image[:, :-1] + b)


def max_pool(x: Array, places: Array, channels: int) -> Array:
    """Return the largest number of each window, channel by channel."""
    return flat(padded(x, channels, -math.inf)[:, places].max(axis=2))


def average_pool(x: Array, places: Array, channels: int) -> Array:
    """Return the mean of each window, channel by channel; padding does not count."""
    return flat(padded(x, channels, 0.0)[:, places].sum(axis=2) / (places >= 0).sum(axis=1)[:, None])


def upsample(x: Array, height: int, width: int, times: tuple[int, int]) -> Array:
    """Repeat each pixel times[0] × times[1] times."""
    image = x.reshape(len(x), height, width, x.shape[1] // (height * width))
    return flat(image.repeat(times[0], axis=1).repeat(times[1], axis=2))


def embedding(x: Array, W: Array) -> Array:
    """Return the vector of each whole number."""
    return flat(W[x.astype(np.int64)])


def category_embedding(x: Array, W: Array, begins: Array, limits: Array) -> Array:
    """Return the vector of each column's category; a number that is no category counts as 0."""
    category = np.rint(x)
    known = (category >= 0) & (category < repeated(limits, x))
    return flat(W[(np.where(known, category, 0) + repeated(begins, x)).astype(np.int64)])


def piecewise(x: Array, slope: Array, start: Array, lowest: Array, highest: Array) -> Array:
    """Return min(max(x · slope + start, lowest), highest) for each bin of each number."""
    z = parts(x, len(slope))[:, :, :, None]
    return flat(np.minimum(np.maximum(z * slope + start, lowest), highest))


def periodic(x: Array, c: Array) -> Array:
    """Return the cosines and the sines of 2π c x for each number."""
    angles = 2.0 * math.pi * c * parts(x, len(c))[:, :, :, None]
    return flat(np.concatenate([np.cos(angles), np.sin(angles)], axis=3))


def relu(x: Array) -> Array:
    """Return max(x, 0)."""
    return np.maximum(x, 0.0)


def leaky_relu(x: Array, alpha: float) -> Array:
    """Return x where x > 0, else α x."""
    return np.where(x > 0.0, x, alpha * x)


def elu(x: Array, alpha: float) -> Array:
    """Return x where x > 0, else α (eˣ − 1)."""
    return np.where(x > 0.0, x, alpha * np.expm1(np.minimum(x, 0.0)))


def selu(x: Array) -> Array:
    """Return λ x where x > 0, else λ α (eˣ − 1)."""
    y: Array = 1.0507009873554805 * elu(x, 1.6732632423543772)
    return y


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + e⁻ˣ)."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0.0, 1.0, e) / (1.0 + e)


def hard_sigmoid(x: Array) -> Array:
    """Return min(max(x + 3, 0), 6) / 6."""
    return np.clip(x + 3.0, 0.0, 6.0) / 6.0


def tanh(x: Array) -> Array:
    """Return tanh x."""
    return np.tanh(x)


def softplus(x: Array) -> Array:
    """Return log(1 + eˣ)."""
    return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))


def exponential(x: Array) -> Array:
    """Return eˣ; infinity if it is too large."""
    with np.errstate(over="ignore"):
        return np.exp(x)


def silu(x: Array) -> Array:
    """Return x σ(x)."""
    return x * sigmoid(x)


def gelu(x: Array) -> Array:
    """Return x Φ(x), with the normal distribution function Φ."""
    phi: Array = 0.5 * np.vectorize(math.erfc, otypes=[np.float64])(-x * math.sqrt(0.5))
    return x * phi


def gelu_tanh(x: Array) -> Array:
    """Return x/2 (1 + tanh(√(2/π) (x + 0.044715 x³)))."""
    z = np.clip(x, -40.0, 40.0)
    return x * sigmoid(2.0 * math.sqrt(2.0 / math.pi) * z * (1.0 + 0.044715 * z * z))


def mish(x: Array) -> Array:
    """Return x tanh(log(1 + eˣ))."""
    e = np.exp(-np.abs(x))
    above = np.where(x > 0.0, 1.0 + 2.0 * e, e * (e + 2.0))
    y: Array = x * above / (above + np.where(x > 0.0, 2.0 * e * e, 2.0))
    return y


def softmax(x: Array, columns: int) -> Array:
    """Return eˣ / Σ eˣ for each part of a row."""
    z = parts(x, columns)
    powers = np.exp(z - z.max(axis=2, keepdims=True))
    return flat(powers / powers.sum(axis=2, keepdims=True))


def prelu(x: Array, alpha: Array) -> Array:
    """Return x where x > 0, else α x."""
    return np.where(x > 0.0, x, repeated(alpha, x) * x)


def layer_norm(x: Array, gamma: Array, beta: Array, epsilon: float) -> Array:
    """Bring each part of a row to mean 0 and variance 1, then compute x γ + β."""
    z = parts(x, len(gamma))
    z = z - z.mean(axis=2, keepdims=True)
    return flat(z / np.sqrt((z * z).mean(axis=2, keepdims=True) + epsilon) * gamma + beta)


def ascending(x: Array, columns: int) -> Array:
    """Add up the first number and the softplus of the others, in each part of a row."""
    z = parts(x, columns)
    return flat(np.cumsum(np.concatenate([z[:, :, :1], softplus(z[:, :, 1:])], axis=2), axis=2))


def columns(x: Array, inputs: int, start: int, count: int) -> Array:
    """Take some numbers of each part of a row."""
    return flat(parts(x, inputs)[:, :, start : start + count])


def add(x: Array, other: Array) -> Array:
    """Return the sum."""
    return x + other


def concatenate(*several: tuple[Array, int]) -> Array:
    """Join rows part by part; each is given with the size of its parts."""
    return flat(np.concatenate([parts(x, size) for x, size in several], axis=2))


def spread(x: Array, shift: Array, scale: Array, epsilon: float) -> Array:
    """Return the mean and the standard deviation of each target, in the units of the data."""
    z = parts(x, 2)
    return flat(np.stack([z[:, :, 0] * scale + shift, (softplus(z[:, :, 1]) + epsilon) * scale], axis=2))
