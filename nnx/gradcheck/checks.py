"""Gradient checks: analytic gradients against finite differences, for any layer, loss or network.

`check` (or `check_layer`, `check_loss`, `check_network`) takes nnx's own classes and user-written ones alike
and returns a `GradientReport`. What is checked is a copy in float64: the object handed over is not changed.
Method, step and tolerance are explained in `nnx.gradcheck.comparison`.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from nnx.backends import Backend, resolve
from nnx.data.samples import check_samples
from nnx.errors import ConfigurationError
from nnx.gradcheck.comparison import GradientReport, run
from nnx.gradcheck.functions import LossValue, Stack, Target, upload
from nnx.layers import Layer, Plan
from nnx.losses import Loss
from nnx.network import Network


def check(subject: Layer | Loss | Network, *arguments: Any, **options: Any) -> GradientReport:
    """`check_layer`, `check_loss` or `check_network`, whichever fits.

    Raises
    ------
    ConfigurationError
        If `subject` is none of the three.

    Examples
    --------
    >>> import nnx
    >>> nnx.gradcheck.check(nnx.Dense(4, 3), seed=0).passed
    True
    """
    if isinstance(subject, Network):
        return check_network(subject, *arguments, **options)
    if isinstance(subject, Layer):
        return check_layer(subject, *arguments, **options)
    if isinstance(subject, Loss):
        return check_loss(subject, *arguments, **options)
    raise ConfigurationError(f"gradcheck takes a layer, a loss or a network, not {subject!r}")


def check_layer(
    layer: Layer,
    inputs: int | None = None,
    rows: int = 5,
    *,
    x: Any = None,
    device: str | Backend | None = None,
    seed: int = 0,
    training: bool = True,
) -> GradientReport:
    """Check a layer's gradients, in its input and in every parameter.

    Also found: a forward or backward pass that leaves part of its outputs as they were, adds to gradients
    instead of overwriting them, changes its inputs, or gives another result the second time.

    Parameters
    ----------
    layer : Layer
        A built layer is checked at its own values. One not built yet is built with its initial values moved
        a little, because a scale of one or a bias of zero would hide a factor or a term left out.
    inputs : int, optional
        The input's width, where the layer does not state it; 4 unless given.
    rows : int
    x : array_like of shape (rows, inputs), optional
        The point to check at; drawn from a standard normal distribution unless given.
    device : str or Backend, optional
        Where to compute; None takes the layer's own device, or the default.
    seed : int
        For the point, the directions and a dropout mask.
    training : bool
        The mode of dropout and batch normalization.

    Raises
    ------
    ConfigurationError
        If the layer cannot be copied, or `inputs` does not fit it.
    """
    given = None if x is None else np.array(x, dtype=np.float64, ndmin=2)
    width = given.shape[1] if given is not None else inputs or layer.inputs or 4
    if device is None and layer.arena is not None:
        device = layer.arena.backend
    backend = resolve(device)

    def at_point(generator: np.random.Generator) -> Stack:
        twin = _twin(layer)
        twin.seed = seed
        twin.build(width, device=backend, dtype="float64")
        _fill(twin, layer, generator)
        stack = twin.expand()
        for part in stack[1:]:
            part.connect(stack[0].outputs or 0)
        assert twin.arena is not None
        plan = Plan(stack, twin.arena, keep=True)
        point = generator.standard_normal((rows, width)) if given is None else given
        return Stack(plan, backend, point, training, list(twin.named_parameters()), generator)

    return run(repr(layer), backend, at_point, seed, redraw=given is None)


def check_loss(
    loss: Loss,
    features: int = 4,
    rows: int = 5,
    *,
    y_true: Any = None,
    y_pred: Any = None,
    sample_weight: Any = None,
    device: str | Backend | None = None,
    seed: int = 0,
) -> GradientReport:
    """Check a loss's gradient in y_pred, with and without sample weights, and of each of its fused kinds.

    Parameters
    ----------
    loss : Loss
    features, rows : int
    y_true : array_like, optional
        Dense targets or integer labels; drawn from (0.05, 0.95) unless given, which suits all of nnx's.
    y_pred : array_like of shape (rows, features), optional
        Likewise. Fused kinds take it as the values in front of the activation.
    sample_weight : array_like of shape (rows,), optional
        Drawn from (0.5, 1.5) unless given.
    device, seed
        As in `check_layer`.
    """
    backend = resolve(device)
    targets = None if y_true is None else np.asarray(y_true)
    point = None if y_pred is None else np.array(y_pred, dtype=np.float64, ndmin=2)
    given = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    shape = (rows if targets is None else len(targets), features) if point is None else point.shape

    def at_point(generator: np.random.Generator) -> LossValue:
        y = generator.uniform(0.05, 0.95, shape) if targets is None else targets
        if y.dtype.kind not in "iu":
            y = y.astype(np.float64)
        loss.check_targets(y, shape[1])
        p = generator.uniform(0.05, 0.95, shape) if point is None else point
        weights = generator.uniform(0.5, 1.5, (shape[0],)) if given is None else given
        return LossValue(loss, backend, y, p, weights)

    return run(repr(loss), backend, at_point, seed, redraw=point is None)


def check_network(
    network: Network, x: Any, y: Any, loss: Loss, *, sample_weight: Any = None, seed: int = 0
) -> GradientReport:
    """Check a network's gradients under a loss, in its input and in every parameter, as `fit` computes them.

    Dropout and batch normalization are in training mode; a final activation and its loss are fused where the
    network fuses them.

    Parameters
    ----------
    network : Network
        Checked at its values; one without any yet as in `check_layer`.
    x, y, sample_weight
        As in `Network.fit`; a few rows are enough.
    loss : Loss
    seed : int
        For the directions.

    Raises
    ------
    DataError
        If the data does not fit.
    """
    network_seed = network.seed

    def at_point(generator: np.random.Generator) -> Stack:
        twin = Network(
            [_twin(layer) for layer in network.layers], network.backend, "float64", network_seed, network.fuse
        )
        samples = check_samples(twin, loss, x, y, sample_weight)
        for copied, layer in zip(twin.layers, network.layers, strict=True):
            _fill(copied, layer, generator)
            copied.index = layer.index
        plan, kind = twin.training_plan(loss)
        place = twin.backend
        target = Target(
            loss, kind, upload(place, np.asarray(samples.y)),
            None if samples.weights is None else upload(place, samples.weights),
        )  # fmt: skip
        return Stack(plan, place, np.asarray(samples.x), True, list(twin.parameters()), generator, target)

    return run(f"{len(network)} layers under {loss!r}", network.backend, at_point, seed, redraw=False)


# ---------------------------------------------------------------- the copy in float64


def _twin(layer: Layer) -> Layer:
    """A layer of its own with the same settings and no arena; works without a complete `Layer.config`."""
    shallow = copy.copy(layer)
    shallow.arena, shallow._plan = None, None
    shallow.name, shallow.owned = "", False
    try:
        return copy.deepcopy(shallow)
    except TypeError as error:
        raise ConfigurationError(
            f"{layer!r} cannot be copied for the check ({error}): keep nothing in its attributes that cannot "
            "be deep-copied, and what depends on a batch in its cache"
        ) from error


def _fill(twin: Layer, layer: Layer, generator: np.random.Generator) -> None:
    """Give `twin` the values of a built layer, or move its initial ones off special values, signs kept."""
    assert twin.arena is not None
    backend = twin.arena.backend
    for name in (*twin.parameter_shapes(), *twin.state_shapes()):
        view = getattr(twin, name)
        if layer.arena is not None:
            values = layer.arena.backend.to_numpy(getattr(layer, name)).astype(np.float64)
        else:
            values = backend.to_numpy(view).copy()
            shift = generator.uniform(-0.3, 0.3, values.shape)
            values = np.where(values == 0.0, shift, values * (1.0 + shift))
        view[...] = backend.asarray(values)
