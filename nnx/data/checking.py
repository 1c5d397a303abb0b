"""Check that inputs, targets and weights fit each other, the network and the loss, wherever they lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nnx.backends import foreign
from nnx.data.device_rows import OnDevice
from nnx.data.samples import OnHost, Samples
from nnx.data.sparse_rows import SparseRows
from nnx.errors import ConfigurationError, DataError
from nnx.layers import Dense, Dropout, Flatten, Identity, Layer, Reshape, Sequential
from nnx.layers.activations import Activation
from nnx.losses import BinaryCrossEntropy, CategoricalCrossEntropy, Loss, Poisson
from nnx.losses.base import row_features

FIRST = 32  # rows on which the output of a user's layer is checked


def check_samples(network: Any, loss: Loss, x: Any, y: Any, weights: Any = None) -> Samples:
    """Check that inputs, targets and weights fit each other, the network and the loss, and return them.

    If x lies on the network's GPU, everything is checked and used there; y and weights on the host are copied
    to it. Else everything must lie on the host.

    Raises
    ------
    DataError
        If they do not fit, or lie on another device than the network; the text names the shapes, the row, the
        range or the devices.
    ConfigurationError
        If the network's last layer does not fit the loss.
    """
    network.follow(x)
    limits = network.limits
    take: Any = OnHost(network.device, limits)
    if foreign.on_gpu(x):
        take = OnDevice(network.backend, network.device, limits)
    rows = take.rows(x, "x", network.dtype if limits is None else None)
    if rows.ndim != 2 and network.input_shape is not None and len(network.input_shape) == 1:
        raise DataError(
            f"x must have shape (rows, features) for this network, not {rows.shape}: if rows have several "
            "axes, omit the input width of the first layer (Dense(units)), or start with nnx.Flatten()"
        )
    network.build(rows.shape[1:])
    if isinstance(rows, SparseRows):
        _refuse_dense_batches(network)
    outputs: tuple[int, ...] = network.output_shape
    if y is x:
        y = rows
    else:
        y = take.given(y, "y")
        if len(y.shape) == 0 or len(y) != len(rows):
            raise DataError(f"x of shape {rows.shape} and y of shape {y.shape} must have equally many rows")
        if y.ndim in (1, len(outputs)) and loss.takes_labels and (outputs[-1] > 1 or not loss.decides):
            y = take.labels(y)
        else:
            y = take.rows(y.reshape(-1, 1) if y.ndim == 1 else y, "y", network.dtype)
    if weights is not None:
        weights = take.given(weights, "sample_weight")
        if weights.shape != (len(rows),):
            raise DataError(
                f"sample_weight must have shape ({len(rows)},), one weight for each row, not {weights.shape}"
            )
        weights = take.rows(weights.reshape(-1, 1), "sample_weight", network.dtype)
    samples: Samples = take.samples(rows, y, weights, loss, row_features(outputs))
    _check_output(network, loss, samples)
    return samples


def _refuse_dense_batches(network: Any) -> None:
    """Refuse sparse rows if their batches become dense, but a layer was to touch only the rows it uses.

    Raises
    ------
    ConfigurationError
        If a `Dense` with ``sparse=True`` would get dense rows.
    """
    asked = [layer for layer in network.layers if isinstance(layer, Dense) and layer.sparse]
    if not asked or (asked == [next(x for x in network.layers if not x.is_view)] and network.takes_sparse):
        return
    raise ConfigurationError(
        f"{asked[-1]!r} has sparse=True, but its batches would be dense (device {network.device}, precision "
        f"{network.precision}): it must be the first layer, on a CPU, in float32 or float64; or set "
        "sparse=False"
    )


def _check_output(network: Any, loss: Loss, samples: Samples) -> None:
    """Check that a network returns what its loss needs: probabilities, logits, rates or decision values.

    Probabilities come from a final `Softmax` or `Sigmoid`, which `Identity` and `Dropout` may follow. If a
    user's layer is the last, its output for the first rows is checked.

    Raises
    ------
    ConfigurationError
        If the last layer does not fit the loss; the text names the right one.
    DataError
        If a user's layer returns values outside [0, 1].
    """
    if loss.decides or isinstance(loss, Poisson):
        _check_values(network, loss, samples)
    if not isinstance(loss, BinaryCrossEntropy | CategoricalCrossEntropy):
        return
    name, needed = type(loss).__name__, loss.activation.title()
    last = _last(network.layers, (Identity, Dropout, *([Flatten, Reshape] if name.startswith("Bin") else [])))
    kind = last.kind if isinstance(last, Activation) else ""
    final = kind if kind in ("sigmoid", "softmax") else ""
    if loss.from_logits and final:
        other = f", or use nnx.{name}()" if final in (loss.activation, "softmax") else ""
        raise ConfigurationError(
            f"{name}(from_logits=True) applies the {loss.activation} itself, but the network ends with "
            f"{last!r}: remove that layer{other}"
        )
    if network.outputs == 1 and "softmax" in (loss.activation, final):
        raise ConfigurationError(
            f"{name} cannot use a softmax of one output, which is always 1: end the network with "
            "nnx.Dense(1), nnx.Sigmoid() and use nnx.BinaryCrossEntropy(), or have one output for each class"
        )
    if not loss.takes_probabilities or final == loss.activation or final == "softmax":
        return
    if final:
        raise ConfigurationError(
            f"{name} needs probabilities of classes, which sum to 1, but the network ends with {last!r}: use "
            f"nnx.{needed}() instead of that layer, or nnx.BinaryCrossEntropy() if a row can have several "
            "labels"
        )
    if type(last).__module__.startswith("nnx.") or last.fused_kind:
        raise ConfigurationError(
            f"{name} needs probabilities, but the network ends with {last!r}: add nnx.{needed}() as its last "
            f"layer, or use nnx.{name}(from_logits=True)"
        )
    first = network.predict(samples.read(slice(min(FIRST, len(samples))))[0])
    loss.check_predictions(network.backend, network.backend.asarray(first))


def _check_values(network: Any, loss: Loss, samples: Samples) -> None:
    """Check that a network returns rates of at least 0 for `Poisson`, and decision values for a hinge loss.

    Raises
    ------
    ConfigurationError, DataError
        As for `_check_output`.
    """
    name = type(loss).__name__
    last = _last(network.layers, (Identity, Dropout, Flatten, Reshape))
    kind = last.kind if isinstance(last, Activation) else getattr(last, "fused_kind", "")
    if loss.decides:
        if kind in ("sigmoid", "softmax"):
            raise ConfigurationError(
                f"{name} needs decision values of both signs, but the network ends with {last!r}: remove "
                "that layer, or use a cross-entropy"
            )
    elif not type(last).__module__.startswith("nnx."):
        first = network.predict(samples.read(slice(min(FIRST, len(samples))))[0])
        loss.check_predictions(network.backend, network.backend.asarray(first))
    elif kind not in ("exponential", "softplus", "relu", "sigmoid", "softmax"):
        raise ConfigurationError(
            f"{name} needs rates, which are at least 0, but the network ends with {last!r}: add "
            "nnx.Exp() as its last layer"
        )


def _last(layers: Sequence[Layer], left_out: tuple[type, ...]) -> Layer:
    """Return the last layer that changes values, also inside a `Sequential`."""
    last = next((one for one in reversed(layers) if not isinstance(one, left_out)), layers[-1])
    return _last(last.branches[0], left_out) if isinstance(last, Sequential) else last
