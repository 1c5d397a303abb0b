"""Compute the steps of a stand-alone program with NumPy, and networks that have every layer."""

from __future__ import annotations

import math

import numpy as np

import nnx
from nnx.backends import resolve
from nnx.standalone.program import Program

PLAIN = resolve("numpy")


def compute(program: Program, x) -> np.ndarray:
    """Return the answers for rows x, row by row, in the network's type, step by step."""
    return np.stack([_row(program, row) for row in np.asarray(x)])


def _row(program: Program, row) -> np.ndarray:
    values = {0: np.asarray(row).reshape(-1)}
    for step in program.steps:
        tables = {role: program.tables[name] for role, name in step.tables.items()}
        sources = [values[number] for number in step.sources]
        y = np.asarray(globals()[f"_{step.kind}"](*sources, **tables, **step.numbers))
        wide = step.kind == "spread" or (step.kind == "affine" and step.target == program.result)
        values[step.target] = y.reshape(-1).astype("float64" if wide else program.dtype)
        assert values[step.target].size == program.values[step.target], step
    return values[program.result].reshape(program.output_shape)


def _repeated(x, *tables):
    return x.reshape(-1, max(1, *(table.size for table in tables)))


def _standardize(x, shift, scale):
    return (_repeated(x.astype(float), shift, scale) - shift.reshape(-1)) / scale.reshape(-1)


def _affine(x, wide, center=None, factor=None, offset=None):
    tables = [table for table in (center, factor, offset) if table is not None]
    x = _repeated(x.astype(float) if wide else x, *tables)
    x = x if center is None else x - center
    x = x if factor is None else x * factor.reshape(-1)
    return x if offset is None else x + offset.reshape(-1)


def _dense(x, W, b, rows, inputs, units):
    return x.reshape(rows, inputs) @ W + b


def _tied_dense(x, W, b, rows, inputs, units):
    return x.reshape(rows, inputs) @ W.T + b


def _grouped_dense(x, W, b, rows, groups, inputs, units):
    return np.einsum("rgi,giu->rgu", x.reshape(rows, groups, inputs), W) + b


def _patches(windows):
    """Yield each window's place, and the places in its kernel and in the image that lie in the image."""
    for out in np.ndindex(windows.outputs):
        for k in np.ndindex(windows.kernel):
            at = tuple(
                o * s + i * d - before
                for o, i, s, d, before in zip(
                    out, k, windows.strides, windows.dilation, windows.before, strict=True
                )
            )
            if all(0 <= place < size for place, size in zip(at, windows.size, strict=True)):
                yield out, k, at


def _convolution(x, W, windows, channels, filters, groups, b=None):
    x, y = x.reshape(*windows.size, groups, -1), np.zeros((*windows.outputs, groups, filters // groups))
    for out, k, at in _patches(windows):
        y[out] += np.einsum("gc,cgf->gf", x[at], W[k].reshape(channels // groups, groups, -1))
    return y.reshape(-1, filters) + (0.0 if b is None else b)


def _transposed_convolution(x, W, windows, channels, filters, b=None):
    x, y = x.reshape(*windows.outputs, channels), np.zeros((*windows.size, filters))
    for place, k, at in _patches(windows):
        y[at] += x[place] @ W[k]
    return y + (0.0 if b is None else b)


def _gathered(x, windows, channels):
    found = {}
    for out, _, at in _patches(windows):
        found.setdefault(out, []).append(x.reshape(*windows.size, channels)[at])
    return found.values()


def _max_pool(x, windows, channels):
    return np.stack([np.max(one, axis=0) for one in _gathered(x, windows, channels)])


def _average_pool(x, windows, channels):
    return np.stack([np.mean(one, axis=0) for one in _gathered(x, windows, channels)])


def _upsample(x, height, width, channels, times):
    return x.reshape(height, width, channels).repeat(times[0], axis=0).repeat(times[1], axis=1)


def _embedding(x, W, count, units, vocabulary):
    return W[x.astype(int)]


def _category_embedding(x, W, begins, limits, rows, columns, units):
    x = np.rint(x.reshape(rows, columns))
    return W[np.where((x >= 0) & (x < limits), x, 0).astype(int) + begins]


def _piecewise(x, slope, start, lowest, highest, rows, features, bins):
    return np.minimum(np.maximum(x.reshape(rows, features, 1) * slope + start, lowest), highest)


def _periodic(x, c, rows, features, frequencies):
    v = 2.0 * math.pi * x.reshape(rows, features, 1) * c
    return np.concatenate([np.cos(v), np.sin(v)], axis=2)


def _activation(x, name, alpha):
    return PLAIN.activation_forward(name, x, np.empty_like(x), alpha)


def _softmax(x, rows, columns):
    return PLAIN.activation_forward("softmax", x.reshape(rows, columns), np.empty((rows, columns)))


def _ascending(x, rows, columns):
    x = x.reshape(rows, columns)
    return np.cumsum(np.hstack([x[:, :1], np.logaddexp(0.0, x[:, 1:])]), axis=1)


def _prelu(x, alpha):
    x = _repeated(x, alpha)
    return np.where(x > 0, x, alpha * x)


def _layer_norm(x, gamma, beta, rows, columns, epsilon):
    x = x.reshape(rows, columns)
    return (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + epsilon) * gamma + beta


def _columns(x, rows, inputs, start, count):
    return x.reshape(rows, inputs)[:, start : start + count]


def _add(a, b):
    return a + b


def _concatenate(*parts, rows, widths):
    return np.hstack([part.reshape(rows, width) for part, width in zip(parts, widths, strict=True)])


def _spread(x, shift, scale, targets, epsilon):
    x = x.reshape(targets, 2).astype(float)
    return np.stack([x[:, 0] * scale + shift, (np.logaddexp(0.0, x[:, 1]) + epsilon) * scale], axis=1)


# --------------------------------------------------------------------------------------- networks to compute


def every_layer() -> dict[str, tuple[list[nnx.Layer], tuple[int, ...]]]:
    """Return small networks that together have every layer: their layers, and the shape of a row."""
    activations = [nnx.layers.get(name) for name in sorted(nnx.layers.ACTIVATIONS) if name != "softmax"]
    scaled = [layer for one in activations for layer in (one, nnx.LayerNorm())]
    code = nnx.Dense(4)
    noise = [nnx.GaussianNoise(0.1), nnx.MaskNoise(0.2), nnx.Dropout(0.3)]
    mixed = nnx.Concatenate(
        [
            [nnx.Columns(0, 2), nnx.CategoryEmbedding([3, 4], 3)],
            [nnx.Columns(2, 5), nnx.PiecewiseLinearEmbedding([[-1, 0, 2], [0, 1], [-2, -1, 0, 1]], 2)],
            [nnx.Columns(2, 5), nnx.PeriodicEmbedding(3, 2), nnx.ReLU()],
            [],
        ]
    )
    deep = [nnx.BatchNorm(), nnx.Dense(9), nnx.GELU(), nnx.Dense(7)]
    return {
        "activations": ([nnx.Dense(9), *scaled, nnx.PReLU(), nnx.Softmax()], (5,)),
        "autoencoder": (
            [*noise, code, nnx.Sigmoid(), nnx.KLSparsity(0.1), nnx.L1Sparsity(0.1), nnx.TiedDense(code)],
            (6,),
        ),
        "variational": (
            [nnx.Contractive([nnx.Dense(8), nnx.Tanh()], 0.1), nnx.GaussianCode(), nnx.Dense(3)],
            (6,),
        ),
        "residual": (
            [
                nnx.Rescale([0.5] * 7, 1.0), nnx.Residual(deep),
                nnx.Residual([nnx.Sequential([nnx.Dense(4), nnx.ELU(0.7)])], nnx.Dense(4)),
                nnx.Residual([nnx.Dropout(0.5)]), nnx.Ascending(),
            ],
            (7,),
        ),
        "table": ([mixed, nnx.Dense(8), nnx.FeatureScale(), nnx.Dense(2)], (5,)),
        "members": (
            [nnx.Members(3), nnx.Dense(6), nnx.ReLU(), nnx.LayerNorm(), nnx.MemberDense(2)],
            (4,),
        ),
        "words": (
            [
                nnx.Concatenate([[nnx.Embedding(11, 4)], [nnx.Embedding(12, 3), nnx.Tanh()]]),
                nnx.Conv1D(6, 3, padding="same", dilation=2, groups=1), nnx.SpatialDropout1D(0.2),
                nnx.Concatenate(
                    [
                        [nnx.MaxPool1D(2), nnx.UpSample1D(3), nnx.GlobalAveragePool1D()],
                        [nnx.AveragePool1D(3, padding="same"), nnx.GlobalMaxPool1D()],
                    ]
                ),
                nnx.Dense(2),
            ],
            (8,),
        ),
        "images": (
            [
                nnx.Reshape((9, 7, 2)), nnx.Conv2D(6, (3, 2), (2, 1), "same", activation="relu", groups=2),
                nnx.BatchNorm(), nnx.PReLU([1, 2]), nnx.SpatialDropout2D(0.2),
                nnx.Concatenate(
                    [
                        [nnx.MaxPool2D(3, 2, "same"), nnx.UpSample2D((2, 1))],
                        [nnx.AveragePool2D(2, 2, "same"), nnx.UpSample2D((2, 1)), nnx.PReLU([2])],
                    ]
                ),
                nnx.Conv2D(5, 2, dilation=2, use_bias=False, padding="same"),
                nnx.Conv2DTranspose(3, (3, 2), (2, 3), "same"), nnx.SiLU(),
                nnx.Conv2DTranspose(4, 2, (1, 3)), nnx.Conv2DTranspose(2, 2, dilation=2, use_bias=False),
                nnx.Concatenate([[nnx.GlobalMaxPool2D()], [nnx.GlobalAveragePool2D()]]),
                nnx.Flatten(), nnx.Dense(4),
            ],
            (126,),
        ),
    }  # fmt: skip


def built(name: str, precision: str = "float32") -> tuple[nnx.Network, np.ndarray]:
    """Return one of these networks, with no parameter at its initial value, and rows for it."""
    layers, shape = every_layer()[name]
    network = nnx.Network(layers, seed=1, precision=precision, device="numpy").build(shape)
    draw = np.random.default_rng(2)
    weights = network.weights()
    for key, value in weights.items():
        moved = value + 0.2 * draw.standard_normal(value.shape)
        weights[key] = np.abs(moved) + 0.1 if "variance" in key else moved
    network.set_weights(weights)
    if network.takes_integers:
        return network, draw.integers(0, 11, (6, *shape))
    return network, draw.standard_normal((6, *shape)) * (2.0 if name == "table" else 1.0)


def random_network(seed: int) -> tuple[nnx.Network, np.ndarray]:
    """Return a network of random layers, on images, sequences or features, and rows for it."""
    draw = np.random.default_rng(seed)
    shape = ((7, 6, 3), (9, 4), (11,))[seed % 3]
    layers = [_random_layer(draw, len(shape)) for _ in range(draw.integers(3, 8))]
    network = nnx.Network([*layers, nnx.Dense(3)], seed=seed, device="numpy").build(shape)
    weights = network.weights()
    for key, value in weights.items():
        moved = value + 0.1 * draw.standard_normal(value.shape)
        weights[key] = np.abs(moved) + 0.1 if "variance" in key else moved
    network.set_weights(weights)
    return network, draw.standard_normal((5, *shape))


def _random_layer(draw, axes: int, depth: int = 2) -> nnx.Layer:
    """Return a random layer that rows with this number of axes fit, whatever their sizes are."""
    size = int(draw.integers(2, 9))
    kinds = [
        lambda: nnx.Dense(size, activation=str(draw.choice(["relu", "gelu", "tanh", "mish"]))),
        lambda: nnx.layers.get(str(draw.choice(sorted(nnx.layers.ACTIVATIONS)))),
        nnx.LayerNorm, nnx.BatchNorm, nnx.FeatureScale,
        lambda: nnx.Rescale(0.5, -0.25),
        lambda: nnx.PReLU([1]),
        lambda: nnx.Columns(0, 2),
        lambda: nnx.PeriodicEmbedding(2, 3),
    ]  # fmt: skip
    if depth:
        kinds += [
            lambda: nnx.Residual([_random_layer(draw, axes, 0), nnx.Dense(4)], nnx.Dense(4)),
            lambda: nnx.Concatenate([[_random_layer(draw, axes, 0), nnx.Dense(2)], [], [nnx.Softmax()]]),
        ] * 2
    if axes == 3 and depth:
        kinds += [
            lambda: nnx.Conv2D(size, int(draw.integers(1, 4)), int(draw.integers(1, 3)), "same"),
            lambda: nnx.Conv2D(size, int(draw.integers(1, 4)), dilation=2, padding="same", use_bias=False),
            lambda: nnx.Conv2DTranspose(size, int(draw.integers(1, 4)), int(draw.integers(1, 3)), "same"),
            lambda: nnx.MaxPool2D(3, 2, "same"),
            lambda: nnx.AveragePool2D(2, 1, "same"),
            lambda: nnx.UpSample2D((1, 2)),
        ] * 2
    if axes == 2 and depth:
        kinds += [
            lambda: nnx.Conv1D(size, int(draw.integers(1, 4)), int(draw.integers(1, 3)), "same"),
            lambda: nnx.MaxPool1D(2, 1, "same"),
            lambda: nnx.AveragePool1D(3, 2, "same"),
            lambda: nnx.UpSample1D(2),
        ] * 2
    return kinds[draw.integers(len(kinds))]()
