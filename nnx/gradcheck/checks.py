"""Compare analytic gradients with finite differences, for any layer, loss or network.

`check` (or `check_layer`, `check_loss`, `check_network`) takes nnx's classes and your own, and returns a
`GradientReport`. It checks a copy in float64 and does not change the object. `nnx.gradcheck.comparison`
explains the method, the step and the tolerance.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from nnx.backends import Backend, resolve
from nnx.data.checking import check_samples
from nnx.errors import ConfigurationError
from nnx.gradcheck.comparison import GradientReport, run
from nnx.gradcheck.functions import LossValue, Stack, Target, upload
from nnx.layers import Layer, Plan, stack
from nnx.layers.base import as_shape, walk
from nnx.layers.integers import limits
from nnx.layers.plan import shape_of
from nnx.losses import Loss
from nnx.losses.base import row_features
from nnx.network import Network


def check(subject: Layer | Loss | Network, *arguments: Any, **options: Any) -> GradientReport:
    """Call `check_layer`, `check_loss` or `check_network`, whichever fits the subject.

    Raises
    ------
    ConfigurationError
        If `subject` is not a layer, a loss or a network.

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
    raise ConfigurationError(f"gradcheck checks a layer, a loss or a network, not {subject!r}")


def check_layer(
    layer: Layer,
    inputs: int | tuple[int, ...] | None = None,
    rows: int = 5,
    *,
    x: Any = None,
    device: str | Backend | None = None,
    seed: int = 0,
    training: bool = True,
) -> GradientReport:
    """Check a layer's gradients with respect to its input and every parameter.

    The check also fails if a forward or backward pass leaves part of its outputs unwritten, adds to gradients
    instead of overwriting them, changes its inputs, or gives another result the second time.

    Parameters
    ----------
    layer : Layer
        A built layer is checked at its own values. A layer that is not built yet is built, and its initial
        values are changed a little: a scale of one or a bias of zero would hide a missing factor or term.
    inputs : int or tuple of int, optional
        The shape of a row, or its number of features, if the layer does not state it; 4 by default.
    rows : int
    x : array_like of shape (rows, …), optional
        The point to check at; by default drawn from a standard normal distribution. A layer whose input is
        integers needs valid integers here; its gradient with respect to x is not checked.
    device : str or Backend, optional
        Where to compute; None means the layer's device, or the default device.
    seed : int
        Seed for the point, the directions and a dropout mask.
    training : bool
        The mode of dropout and batch normalization.

    Raises
    ------
    ConfigurationError
        If the layer cannot be copied, `inputs` does not fit it, or its input is integers and `x` is missing.
    """
    taken = limits([layer])
    if taken is not None and x is None:
        raise ConfigurationError(f"{layer!r} takes integers: pass valid ones to the gradient check as x")
    given = None if x is None else np.array(x, dtype=None if taken is not None else np.float64, ndmin=2)
    if taken is not None and given is not None:
        taken.check(given, "x")
    shape = as_shape(inputs or layer.input_shape or layer.inputs or 4) if given is None else given.shape[1:]
    if device is None and layer.arena is not None:
        device = layer.arena.backend
    backend = resolve(device)

    def at_point(generator: np.random.Generator) -> Stack:
        twin = _twin(layer)
        twin.seed = seed
        twin.build(shape, device=backend, dtype="float64")
        for copied, original in zip(walk([twin]), walk([layer]), strict=True):
            _fill(copied, original, generator)
        layers = twin.expand()
        for activation in layers[1:]:
            activation.connect(shape_of(twin.output_shape))
        assert twin.arena is not None
        plan = Plan(layers, twin.arena, keep=True)
        point = generator.standard_normal((rows, *shape)) if given is None else given
        return Stack(plan, backend, point, training, list(twin.named_parameters()), generator)

    return run(repr(layer), backend, at_point, seed, redraw=given is None)


def check_loss(
    loss: Loss,
    features: int | tuple[int, ...] = 4,
    rows: int = 5,
    *,
    y_true: Any = None,
    y_pred: Any = None,
    sample_weight: Any = None,
    device: str | Backend | None = None,
    seed: int = 0,
) -> GradientReport:
    """Check a loss's gradient with respect to y_pred, with and without weights, and each fused kind.

    Parameters
    ----------
    loss : Loss
    features : int or tuple of int
        The number of outputs of a row, or the shape of a row's output.
    rows : int
    y_true : array_like, optional
        Dense targets or integer labels; by default drawn from (0.05, 0.95), which suits all losses of nnx.
    y_pred : array_like of shape (rows, …), optional
        By default also drawn from (0.05, 0.95). Fused kinds read it as the values before the activation.
    sample_weight : array_like of shape (rows,), optional
        By default drawn from (0.5, 1.5).
    device, seed
        As in `check_layer`.
    """
    backend = resolve(device)
    targets = None if y_true is None else np.asarray(y_true)
    point = None if y_pred is None else np.array(y_pred, dtype=np.float64, ndmin=2)
    given = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    count = rows if targets is None else len(targets)
    shape = (count, *as_shape(features)) if point is None else point.shape

    def at_point(generator: np.random.Generator) -> LossValue:
        expected = (shape[0], *loss.target_shape(shape[1:]))
        y = generator.uniform(0.05, 0.95, expected) if targets is None else targets
        if y.dtype.kind not in "iu":
            y = y.astype(np.float64)
        loss.check_targets(y, row_features(shape[1:]))
        p = generator.uniform(0.05, 0.95, shape) if point is None else point
        weights = generator.uniform(0.5, 1.5, (shape[0],)) if given is None else given
        return LossValue(loss, backend, y, p, weights)

    return run(repr(loss), backend, at_point, seed, redraw=point is None)


def check_network(
    network: Network, x: Any, y: Any, loss: Loss, *, sample_weight: Any = None, seed: int = 0
) -> GradientReport:
    """Check a network's gradients under a loss, with respect to its input and every parameter.

    The gradients are computed as in `fit`: dropout and batch normalization are in training mode, and a final
    activation is fused with the loss if the network fuses them.

    Parameters
    ----------
    network : Network
        A built network is checked at its values; one that is not built yet, as in `check_layer`.
    x, y, sample_weight
        As in `Network.fit`; a few rows are enough.
    loss : Loss
    seed : int
        Seed for the directions.

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
        samples = check_samples(twin, loss, x, y, sample_weight).on_host()
        for copied, layer in zip(walk(twin.layers), walk(network.layers), strict=True):
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
    """Copy a layer with its settings but without its arena; this needs no complete `Layer.config`."""
    shallow = type(layer).__new__(type(layer))
    vars(shallow).update(vars(layer))
    shallow.arena, shallow._plan = None, None
    shallow.name, shallow.owned = "", False
    if layer.branches:
        shallow.branches = tuple(tuple(map(_twin, branch)) for branch in layer.branches)
    stack.name_branches(shallow)
    try:
        return copy.deepcopy(shallow)
    except TypeError as error:
        raise ConfigurationError(
            f"{layer!r} cannot be copied for the check ({error}): store only attributes that can be "
            "deep-copied, and store what depends on a batch in the layer's workspace"
        ) from error


def _fill(twin: Layer, layer: Layer, generator: np.random.Generator) -> None:
    """Give `twin` the values of a built layer, or else move its initial values a little, signs kept."""
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
