"""Turn a network into the steps of a program: each layer has a function here that adds its steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from nnx import layers as kinds
from nnx.errors import ConfigurationError
from nnx.layers import Layer
from nnx.layers.activations import Activation
from nnx.layers.base import walk
from nnx.layers.images import pair, windows
from nnx.losses import GaussianNLL
from nnx.network import Network
from nnx.standalone.program import INPUT, Builder, Examples, HostArray, Meaning, Program

Lowering = Callable[[Builder, Any, int], int]
UNLIMITED = float(np.finfo(np.float32).max)  # in place of infinity, which no table may hold


def lower(network: Network, meaning: Meaning | None = None, examples: Examples | None = None) -> Program:
    """Return the steps that compute what `Network.predict` does, with the scaling before and after it.

    Parameters
    ----------
    network : Network
        Built, with products of full precision (not bfloat16).
    meaning : Meaning, optional
        Its scaling, and names.
    examples : Examples, optional
        Rows for the self-check of a file.

    Raises
    ------
    ConfigurationError
        If the network is not built, a layer is not one of nnx, or a weight is not finite. The text names the
        layer.
    """
    if network.input_shape is None:
        raise ConfigurationError("the network is not built: call build(inputs) first")
    refuse_unknown(network.layers)
    meaning, limits = meaning or Meaning(), network.limits
    made = Builder(math.prod(network.input_shape), str(np.dtype(network.dtype)))
    value = INPUT
    if meaning.inputs is not None and not limits:
        scaling = {"shift": meaning.inputs.shift, "scale": meaning.inputs.scale}
        value = made.same("standardize", value, scaling, exact=("shift", "scale"))
    value = chain(made, network.layers, value)
    made.name, made.layer = "outputs", ""
    value = _undone(made, meaning, value)
    return Program(
        tuple(made.steps), tuple(made.values), value, made.tables, network.input_shape, network.output_shape,
        made.dtype, limits is not None, None if limits is None else limits.limit, meaning, examples,
    )  # fmt: skip


def refuse_unknown(layers: Sequence[Layer]) -> None:
    """Refuse a layer that has no lowering, also inside containers.

    Raises
    ------
    ConfigurationError
        The text names the layer.
    """
    for layer in walk(layers):
        if type(layer) not in LOWERINGS:
            raise ConfigurationError(
                f"layer {layer.index}, {layer!r}: only layers of nnx can be written as plain code, and "
                f"{type(layer).__name__} is your own: use nnx.load and predict, or replace the layer"
            )


def chain(made: Builder, layers: Sequence[Layer], value: int) -> int:
    """Add the steps of layers, one after the other, and return the last value."""
    for layer in layers:
        made.name, made.layer = layer.name, repr(layer)
        value = LOWERINGS[type(layer)](made, layer, value)
    return value


def _undone(made: Builder, meaning: Meaning, value: int) -> int:
    """Add the step that brings outputs to the units of the data."""
    scaling, several = meaning.outputs, len(meaning.several) or 1
    if scaling is None:
        return value
    shift, scale = scaling.shift, scaling.scale
    exact = ("shift", "scale", "factor", "offset")
    if meaning.spread:
        targets = made.values[value] // 2
        both, epsilon = {"shift": shift, "scale": scale}, GaussianNLL().epsilon
        return made.same("spread", value, both, exact=exact, targets=targets, epsilon=epsilon)
    if shift.size > 1:
        shift, scale = (np.repeat(array, several) for array in (shift.reshape(-1), scale.reshape(-1)))
    tables: dict[str, Any] = {"factor": scale, "offset": shift if shift.any() else None}
    return made.same("affine", value, tables, exact=exact, wide=True)


# ------------------------------------------------------------------------------------------------ helpers


def _host(layer: Any, name: str) -> HostArray:
    """Return a layer's array on the host."""
    found: HostArray = layer.arena.backend.to_numpy(getattr(layer, name))
    return found


def _rows(made: Builder, value: int, columns: int) -> dict[str, Any]:
    """Return how many rows a value has, if a row has this many columns."""
    return {"rows": made.values[value] // columns, "columns": columns}


def _nothing(made: Builder, layer: Layer, value: int) -> int:
    return value


# ------------------------------------------------------------------------------------------------- dense


def _dense(made: Builder, layer: Any, value: int) -> int:
    rows, inputs, units = made.values[value] // layer.inputs, layer.inputs, layer.units
    tables = {name: _host(layer, name) for name in ("W", "b")}
    return made.add("dense", value, rows * units, tables, rows=rows, inputs=inputs, units=units)


def _tied_dense(made: Builder, layer: Any, value: int) -> int:
    other = layer.other
    rows, inputs, units = made.values[value] // other.units, other.units, other.inputs
    # the other layer has stored W already, unless the network is a slice that begins after it
    tables = {"W": made.table("W", _host(other, "W"), owner=other.name), "b": _host(layer, "b")}
    return made.add("tied_dense", value, rows * units, tables, rows=rows, inputs=inputs, units=units)


def _grouped(made: Builder, value: int, W: HostArray, b: HostArray) -> int:
    groups, inputs, units = W.shape
    rows = made.values[value] // (groups * inputs)
    sizes = {"rows": rows, "groups": groups, "inputs": inputs, "units": units}
    return made.add("grouped_dense", value, rows * groups * units, {"W": W, "b": b}, **sizes)


def _member_dense(made: Builder, layer: Any, value: int) -> int:
    return _grouped(made, value, _host(layer, "W"), _host(layer, "b"))


def _members(made: Builder, layer: Any, value: int) -> int:
    """Repeat the row, then multiply: all members' factors are one row."""
    size = made.values[value]
    value = made.add(
        "upsample", value, size * layer.members, height=1, width=1, channels=size, times=(1, layer.members)
    )
    return made.same("affine", value, {"factor": _host(layer, "R").reshape(-1)}, wide=False)


# --------------------------------------------------------------------------------------- scale and normalize


def _feature_scale(made: Builder, layer: Any, value: int) -> int:
    return made.same("affine", value, {"factor": _host(layer, "s")}, wide=False)


def _rescale(made: Builder, layer: Any, value: int) -> int:
    factor, offset = (np.atleast_1d(np.asarray(one, np.float64)) for one in (layer.scale, layer.offset))
    tables = {"factor": factor, "offset": offset}
    return made.same("affine", value, tables, exact=("factor", "offset"), wide=True)


def _batch_norm(made: Builder, layer: Any, value: int) -> int:
    """Fold γ / √(σ² + ε) into one factor; the mean stays, because x γ + (β − μ γ) loses digits."""
    mean, variance, gamma, beta = (
        _host(layer, name).astype(np.float64)
        for name in ("running_mean", "running_variance", "gamma", "beta")
    )
    tables = {"center": mean, "factor": gamma / np.sqrt(variance + layer.epsilon), "offset": beta}
    return made.same("affine", value, tables, wide=False)


def _layer_norm(made: Builder, layer: Any, value: int) -> int:
    tables = {name: _host(layer, name) for name in ("gamma", "beta")}
    sizes = _rows(made, value, layer.inputs)
    return made.same("layer_norm", value, tables, epsilon=layer.epsilon, **sizes)


# --------------------------------------------------------------------------------------------- activations


def _activation(made: Builder, layer: Any, value: int) -> int:
    return made.same("activation", value, name=layer.kind, alpha=float(layer.alpha))


def _by_rows(kind: str) -> Lowering:
    def lowering(made: Builder, layer: Any, value: int) -> int:
        return made.same(kind, value, **_rows(made, value, layer.inputs))

    return lowering


def _prelu(made: Builder, layer: Any, value: int) -> int:
    """Give each number of the shortest repeated part of a row its slope."""
    alpha, shape = _host(layer, "alpha"), layer.input_shape
    first = next((axis for axis in range(len(shape) - 1) if alpha.shape[axis] > 1), len(shape) - 1)
    slopes = np.broadcast_to(alpha, (*alpha.shape[:first], *shape[first:]))
    return made.same("prelu", value, {"alpha": slopes.reshape(-1)})


# --------------------------------------------------------------------------------------------------- images


def _convolution(made: Builder, layer: Any, value: int) -> int:
    W = layer._kernel(_host(layer, "W"))
    tables = {"W": W, "b": _host(layer, "b") if layer.use_bias else None}
    return made.add(
        "convolution", value, math.prod(layer.output_shape), tables, windows=layer._windows(),
        channels=layer.inputs, filters=layer.filters, groups=layer.groups,
    )  # fmt: skip


def _transposed_convolution(made: Builder, layer: Any, value: int) -> int:
    W = _host(layer, "W").swapaxes(2, 3)  # channels before filters, as in a convolution
    tables = {"W": W, "b": _host(layer, "b") if layer.use_bias else None}
    return made.add(
        "transposed_convolution", value, math.prod(layer.output_shape), tables, windows=layer._windows(),
        channels=layer.inputs, filters=layer.filters,
    )  # fmt: skip


def _maximum(made: Builder, layer: Any, value: int) -> int:
    size = math.prod(layer.output_shape)
    return made.add("max_pool", value, size, windows=layer._windows(), channels=layer.inputs)


def _average(made: Builder, layer: Any, value: int) -> int:
    size = math.prod(layer.output_shape)
    return made.add("average_pool", value, size, windows=layer._windows(), channels=layer.inputs)


def _global_average(made: Builder, layer: Any, value: int) -> int:
    """Average one window that is the whole image."""
    whole = layer.input_shape[:-1]
    found = windows(layer.input_shape, whole, whole, "valid")
    return made.add("average_pool", value, layer.inputs, windows=found, channels=layer.inputs)


def _upsample(made: Builder, layer: Any, value: int) -> int:
    height, width = pair(layer.input_shape[:-1])
    return made.add(
        "upsample", value, math.prod(layer.output_shape), height=height, width=width, channels=layer.inputs,
        times=pair(layer.size),
    )  # fmt: skip


# ----------------------------------------------------------------------------------------------- embeddings


def _embedding(made: Builder, layer: Any, value: int) -> int:
    count = made.values[value]
    sizes = {"count": count, "units": layer.units, "vocabulary": layer.vocabulary}
    return made.add("embedding", value, count * layer.units, {"W": _host(layer, "W")}, **sizes)


def _category_embedding(made: Builder, layer: Any, value: int) -> int:
    begins = np.array([0, *accumulate(layer.cardinalities)][:-1])
    tables = {
        "W": _host(layer, "W"),
        "begins": made.table("begins", begins, "int64"),
        "limits": made.table("limits", layer.cardinalities, "int64"),
    }
    sizes = _rows(made, value, layer.inputs) | {"units": layer.units}
    return made.add("category_embedding", value, made.values[value] * layer.units, tables, **sizes)


def _piecewise(made: Builder, layer: Any, value: int) -> int:
    """Add x itself to the encoding, so that one product computes the linear part too."""
    slope, start, lowest, highest = layer.arena.backend.to_numpy(layer._bins)[:, :, 0, :]
    ones, zeros = (np.full((len(slope), 1), number) for number in (1.0, 0.0))
    tables = {
        "slope": np.hstack([slope, ones]),
        "start": np.hstack([start, zeros]),
        "lowest": np.hstack([np.maximum(lowest, -UNLIMITED), -UNLIMITED * ones]),
        "highest": np.hstack([np.minimum(highest, UNLIMITED), UNLIMITED * ones]),
    }
    features, bins = tables["slope"].shape
    size = made.values[value]
    sizes = {"rows": size // features, "features": features, "bins": bins}
    value = made.add("piecewise", value, size * bins, tables, **sizes)
    W = np.concatenate([_host(layer, "W"), _host(layer, "v")[:, None, :]], axis=1)
    return _grouped(made, value, W, _host(layer, "b"))


def _periodic(made: Builder, layer: Any, value: int) -> int:
    c = _host(layer, "c")
    size = made.values[value]
    sizes = {"rows": size // len(c), "features": c.shape[0], "frequencies": c.shape[1]}
    value = made.add("periodic", value, 2 * size * c.shape[1], {"c": c}, **sizes)
    return _grouped(made, value, _host(layer, "W"), _host(layer, "b"))


# --------------------------------------------------------------------------------------------- parts of rows


def _columns(made: Builder, layer: Any, value: int) -> int:
    return _part(made, value, layer.inputs, layer.start, layer.stop - layer.start)


def _gaussian_code(made: Builder, layer: Any, value: int) -> int:
    return _part(made, value, layer.inputs, 0, layer.inputs // 2)


def _part(made: Builder, value: int, inputs: int, start: int, count: int) -> int:
    rows = made.values[value] // inputs
    return made.add("columns", value, rows * count, rows=rows, inputs=inputs, start=start, count=count)


# ----------------------------------------------------------------------------------------------- containers


def _sequential(made: Builder, layer: Any, value: int) -> int:
    return chain(made, layer.branches[0], value)


def _residual(made: Builder, layer: Any, value: int) -> int:
    text = repr(layer)
    terms = tuple(chain(made, branch, value) for branch in layer.branches)
    made.layer = text
    return made.add("add", terms, made.values[terms[0]])


def _concatenate(made: Builder, layer: Any, value: int) -> int:
    text = repr(layer)
    parts = tuple(chain(made, branch, value) for branch in layer.branches)
    made.layer = text
    if len(parts) == 1:
        return parts[0]
    sizes = [made.values[part] for part in parts]
    rows = sum(sizes) // layer.outputs
    widths = tuple(size // rows for size in sizes)
    return made.add("concatenate", parts, sum(sizes), rows=rows, widths=widths)


LOWERINGS: dict[type[Layer], Lowering] = {
    kinds.Dense: _dense,
    kinds.TiedDense: _tied_dense,
    kinds.MemberDense: _member_dense,
    kinds.Members: _members,
    kinds.FeatureScale: _feature_scale,
    kinds.Rescale: _rescale,
    kinds.BatchNorm: _batch_norm,
    kinds.LayerNorm: _layer_norm,
    kinds.PReLU: _prelu,
    kinds.Ascending: _by_rows("ascending"),
    kinds.Conv1D: _convolution,
    kinds.Conv2D: _convolution,
    kinds.Conv2DTranspose: _transposed_convolution,
    kinds.MaxPool1D: _maximum,
    kinds.MaxPool2D: _maximum,
    kinds.GlobalMaxPool1D: _maximum,
    kinds.GlobalMaxPool2D: _maximum,
    kinds.AveragePool1D: _average,
    kinds.AveragePool2D: _average,
    kinds.GlobalAveragePool1D: _global_average,
    kinds.GlobalAveragePool2D: _global_average,
    kinds.UpSample1D: _upsample,
    kinds.UpSample2D: _upsample,
    kinds.Embedding: _embedding,
    kinds.CategoryEmbedding: _category_embedding,
    kinds.PiecewiseLinearEmbedding: _piecewise,
    kinds.PeriodicEmbedding: _periodic,
    kinds.Columns: _columns,
    kinds.GaussianCode: _gaussian_code,
    kinds.Sequential: _sequential,
    kinds.Contractive: _sequential,
    kinds.Residual: _residual,
    kinds.Concatenate: _concatenate,
}
_ONLY_IN_TRAINING = (
    kinds.Dropout, kinds.SpatialDropout1D, kinds.SpatialDropout2D, kinds.GaussianNoise, kinds.MaskNoise,
    kinds.L1Sparsity, kinds.KLSparsity,
)  # fmt: skip
LOWERINGS |= dict.fromkeys((*_ONLY_IN_TRAINING, kinds.Flatten, kinds.Reshape, kinds.Identity), _nothing)
LOWERINGS |= {
    kind: _activation
    for kind in kinds.KINDS
    if issubclass(kind, Activation) and kind not in (kinds.Identity, kinds.Softmax)
}
LOWERINGS[kinds.Softmax] = _by_rows("softmax")
