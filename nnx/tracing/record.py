"""Record a training step: `fit` takes it on a copy of the network, whose passes store their arrays.

So every recorded number is one that `fit` computed, with three exceptions. If a `Dense` and the activation
after it are one operation, the number between them is never stored: it is computed again, by the same
operation of the backend. So is the slope there, and the output of a last activation that is fused with the
loss. And if a small network is trained by the compiled loop (`nnx.training.small`), which stores no output of
a layer, the step is taken twice: the loop gives the loss, the gradients and the new weights, and the other
numbers come from the same step without the loop. They can differ from those in the loop in their last digit.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from nnx.errors import ConfigurationError
from nnx.layers import Layer
from nnx.layers.base import walk
from nnx.losses import Loss
from nnx.losses.base import activated
from nnx.ops.sparse import SparseBatch
from nnx.optimizers import LBFGS, Optimizer
from nnx.tracing.result import HostArray, LayerTrace, LossTrace, ParameterTrace, Trace
from nnx.training.run import Callback, Run


@dataclass
class Seen:
    """The arrays of one layer's passes; z and dz are between a layer and the activation fused into it."""

    x: Any = None
    y: Any = None
    dy: Any = None
    dx: Any = None
    z: Any = None
    dz: Any = None
    activation: Layer | None = None
    term: float | None = None


@dataclass
class Values:
    """A network at one moment: its parameters, gradients, slots and statistics by name; the steps so far."""

    values: dict[str, HostArray]
    gradients: dict[str, HostArray]
    slots: dict[str, dict[str, HostArray]]
    statistics: dict[str, HostArray]
    step: int
    scale: float


@dataclass
class Recorder(Callback):
    """Store the arrays of a network's first pass, and the parameters before and after the step."""

    network: Any
    optimizer: Optimizer
    seen: dict[int, Seen] = field(default_factory=dict)
    raw: dict[str, HostArray] = field(default_factory=dict)
    loss: dict[str, Any] = field(default_factory=dict)
    before: Values | None = None
    after: Values | None = None

    def __post_init__(self) -> None:
        for layer in walk(self.network.layers):
            if not layer.is_view:
                seen = self.seen[id(layer)] = Seen()
                vars(layer)["forward_into"] = self._forward(layer, seen)
                vars(layer)["backward_into"] = self._backward(layer, seen)

    # ------------------------------------------------------------------ passes

    def _forward(self, layer: Layer, seen: Seen) -> Callable[..., None]:
        plain = layer.forward_into

        def forward_into(x: Any, y: Any, workspace: Any) -> None:
            plain(x, y, workspace)
            if seen.y is not None:  # a second pass, as L-BFGS makes
                return
            seen.x, seen.y = self._rows(x, layer.input_shape), self._rows(y, layer.output_shape)
            if workspace.term is not None:
                seen.term = float(self._host(workspace.term)[0])
            if workspace.activation is not None:
                seen.activation = workspace.activation
                z, kind = workspace.backend.empty(y.shape, y.dtype), workspace.kind
                workspace.kind = "identity"
                plain(x, z, workspace)
                workspace.kind = kind
                seen.z = self._rows(z, layer.output_shape)

        return forward_into

    def _backward(self, layer: Layer, seen: Seen) -> Callable[..., None]:
        plain = layer.backward_into

        def backward_into(dy: Any, dx: Any, workspace: Any) -> None:
            if seen.dy is not None:
                plain(dy, dx, workspace)
                return
            seen.dy = self._rows(dy, layer.output_shape)
            if workspace.activation is not None:
                dz, backend = workspace.backend.empty(dy.shape, dy.dtype), workspace.backend
                backend.activation_backward(workspace.kind, dy, None, workspace.y, dz, workspace.alpha)
                seen.dz = self._rows(dz, layer.output_shape)
            plain(dy, dx, workspace)
            if dx is not None:
                seen.dx = self._rows(dx, layer.input_shape)
            for name, _, gradient in layer.named_parameters():
                self.raw[f"{layer.name}.{name}"] = self._host(gradient)

        return backward_into

    def listening(self, loss: Loss) -> Loss:
        """Return a copy of a loss that stores its arguments and its results in `fit`."""
        heard = copy.copy(loss)

        def evaluate(
            backend: Any, y_true: Any, y_pred: Any, value: Any, dy: Any, weights: Any = None, kind: Any = None
        ) -> None:
            loss.evaluate(backend, y_true, y_pred, value, dy, weights, kind)
            if not self.loss:
                self.loss = {
                    "y_true": self._host(y_true), "y_pred": self._host(y_pred), "dy": self._host(dy),
                    "value": float(self._host(value)[0]), "kind": kind or loss.kind,
                }  # fmt: skip

        vars(heard)["evaluate"] = evaluate
        return heard

    # ----------------------------------------------------------------- the run

    def on_train_begin(self, run: Run) -> None:
        """Store the parameters before the step."""
        self.before = values_of(self.network, self.optimizer)

    def on_step_end(self, run: Run) -> None:
        """Store the parameters after the step."""
        self.after = values_of(self.network, self.optimizer)

    def stop(self) -> None:
        """Remove the recording passes from the layers."""
        for layer in walk(self.network.layers):
            for name in ("forward_into", "backward_into"):
                vars(layer).pop(name, None)

    def _host(self, x: Any) -> HostArray:
        if isinstance(x, SparseBatch):
            return np.asarray(x.matrix.toarray())
        return np.array(self.network.backend.to_numpy(x))

    def _rows(self, x: Any, shape: tuple[int, ...] | None) -> HostArray:
        """Return a copy on the host, in the shape (rows, …) of the network's user."""
        return self._host(x).reshape(-1, *(shape or ()))


def record(network: Any, x: Any, y: Any, loss: Loss, optimizer: Optimizer) -> Trace:
    """Take one step on a copy of a network and return its trace; `Network.trace` describes it.

    Raises
    ------
    ConfigurationError
        If the network is a slice.
    """
    if network._parent is not None:
        raise ConfigurationError("a slice cannot be traced: trace the whole network, or network[…].copy()")
    rows = max(int(x.shape[0]) if hasattr(x, "shape") else len(x), 1)  # `fit` refuses data without rows
    twin = _twin(network, optimizer)
    recorder = Recorder(twin, optimizer)
    history = _fit(twin, x, y, recorder.listening(loss), optimizer, rows, [recorder])
    recorder.stop()
    assert recorder.before is not None
    after = recorder.after or values_of(twin, optimizer)
    total = history["loss"][0]
    if isinstance(optimizer, LBFGS):  # which reports the loss after the step
        total = recorder.loss["value"] + sum(seen.term or 0.0 for seen in recorder.seen.values())
    elif twin.backend.small_loop() is not None:
        again = _twin(network, optimizer)
        total = _fit(again, x, y, loss, optimizer, rows, [])["loss"][0]
        after = values_of(again, optimizer)
        recorder.raw = recorder.raw if _clips(optimizer) else after.gradients
    return Trace(
        network=twin,
        rows=rows,
        layers=tuple(_layers(twin, recorder)),
        loss=LossTrace(loss, total, **recorder.loss, terms=_terms(twin, recorder)),
        optimizer=optimizer,
        parameters=_parameters(twin, recorder, after, isinstance(optimizer, LBFGS)),
        statistics={
            name: (value, after.statistics[name]) for name, value in recorder.before.statistics.items()
        },
        step=recorder.before.step + 1,
        scale=recorder.before.scale,
    )


def _fit(
    network: Any, x: Any, y: Any, loss: Loss, optimizer: Optimizer, rows: int, callbacks: list[Callback]
) -> Any:
    return network.fit(
        x, y, loss=loss, optimizer=optimizer, batch_size=rows, shuffle=False, callbacks=callbacks
    )


def _twin(network: Any, optimizer: Optimizer) -> Any:
    """Return a copy that takes the same next step: with the steps so far and the optimizer's state."""
    twin = network.copy()
    twin._undecided = network._undecided
    if network._arena is None:
        return twin
    twin.arena.step = network.arena.step
    kept = network.arena.states.get(optimizer)
    if kept is not None:
        state, _ = optimizer.state_for(twin)
        state.step, state.scale = kept.step, kept.scale
        with twin.backend.hold():
            for name, slot in kept.slots.items():
                state.slots[name][...] = slot
    return twin


def _clips(optimizer: Optimizer) -> bool:
    return optimizer.clip_norm is not None or optimizer.clip_value is not None


def values_of(network: Any, optimizer: Optimizer) -> Values:
    """Copy parameters, gradients and an optimizer's slots to the host."""
    arena = network.arena
    state, _ = optimizer.state_for(network)
    found = Values({}, {}, {}, {}, state.step, state.scale)

    def host(value: Any) -> HostArray:
        return np.array(arena.backend.to_numpy(value))

    with arena.backend.hold():
        for name, value, gradient in network.parameters():
            found.values[name], found.gradients[name] = host(value), host(gradient)
            if value.flags.c_contiguous:
                begin = arena.place(value)
                found.slots[name] = {
                    slot: host(whole[begin : begin + value.size]).reshape(value.shape)
                    for slot, whole in state.slots.items()
                }
        for layer in network.layers:
            for name, value in layer.named_state():
                found.statistics[f"{layer.name}.{name}"] = host(value)
    return found


def _parameters(network: Any, recorder: Recorder, after: Values, searches: bool) -> dict[str, ParameterTrace]:
    """Return the trace of each parameter, with the settings of its group."""
    before, optimizer = recorder.before, recorder.optimizer
    assert before is not None
    trained = {
        f"{layer.name}.{name}": layer.trainable
        for layer in walk(network.layers) if not layer.branches
        for name, _, _ in layer.named_parameters()
    }  # fmt: skip
    rules = _rules(network, optimizer)
    found = {}
    for name, value in before.values.items():
        raw = recorder.raw.get(name, after.gradients[name])
        slots = {
            slot: (was, after.slots[name][slot]) for slot, was in before.slots.get(name, {}).items()
        }  # fmt: skip
        found[name] = ParameterTrace(
            name, value, raw, raw if searches else after.gradients[name], after.values[name],
            {} if searches else slots, trained.get(name, True), rules.get(name, optimizer),
        )  # fmt: skip
    return found


def _rules(network: Any, optimizer: Optimizer) -> dict[str, Optimizer]:
    """Return the optimizer with the settings of each parameter's group, by the parameter's name."""
    if not optimizer.groups:
        return {}
    arena, found = network.arena, {}
    _, spans = optimizer.state_for(network)
    ranges = [(arena.place(span.values), span.values.size) for span in spans]
    for name, value, _ in network.parameters():
        begin = arena.place(value)
        for (start, size), rule in zip(ranges, optimizer.rules(network), strict=True):
            if start <= begin < start + size:
                found[name] = rule
    return found


def _terms(network: Any, recorder: Recorder) -> dict[str, float]:
    """Return the terms of the loss, each by the name of its layer."""
    found = {layer: recorder.seen[id(layer)].term for layer in walk(network.layers) if not layer.is_view}
    return {layer.name: term for layer, term in found.items() if term is not None}


# --------------------------------------------------------------------------------------- layers


def _layers(network: Any, recorder: Recorder) -> list[LayerTrace]:
    """Return the trace of every layer in order, each container before the layers that it holds."""
    found: dict[int, LayerTrace] = {}
    before = next(seen.x for seen in recorder.seen.values() if seen.x is not None)
    for layer in walk(network.layers):
        outer = layer in network.layers
        seen = recorder.seen.get(id(layer), Seen())
        if layer.is_view:
            if outer:
                found[id(layer)] = _view(layer, before)
        elif id(layer) in found:  # an activation that was fused into the layer before it
            pass
        elif seen.x is None:
            if outer:  # else a container computes it in its own passes
                found[id(layer)] = _last(network, layer, recorder)
        elif seen.activation is None:
            found[id(layer)] = LayerTrace(layer, seen.x, seen.y, seen.dy, seen.dx)
        else:
            found[id(layer)] = LayerTrace(layer, seen.x, seen.z, seen.dz, seen.dx)
            found[id(seen.activation)] = LayerTrace(
                seen.activation, seen.z, seen.y, seen.dy, seen.dz, "the layer before it"
            )
        if outer and id(layer) in found:
            before = found[id(layer)].y
    return _with_views([found[id(layer)] for layer in walk(network.layers) if id(layer) in found], network)


def _last(network: Any, layer: Layer, recorder: Recorder) -> LayerTrace:
    """Return the trace of the last activation, which the loss includes."""
    z, backend = recorder.loss["y_pred"], network.backend
    with backend.hold():
        y = activated(backend, layer.fused_kind, backend.asarray(z))
    return LayerTrace(layer, z, np.array(backend.to_numpy(y)), None, recorder.loss["dy"], "the loss")


def _view(layer: Layer, before: HostArray) -> LayerTrace:
    """Return the trace of a layer that only changes the shape; its gradients follow in `_with_views`."""
    x, y = (before.reshape(len(before), *(shape or ())) for shape in (layer.input_shape, layer.output_shape))
    return LayerTrace(layer, x, y, None, None)


def _with_views(layers: list[LayerTrace], network: Any) -> list[LayerTrace]:
    """Give layers that only change the shape the gradient of the layer after them."""
    dy: HostArray | None = None
    for place in range(len(layers) - 1, -1, -1):
        one = layers[place]
        if one.layer not in network.layers:
            continue
        if one.layer.is_view and dy is not None:
            dy = dy.reshape(one.y.shape)
            layers[place] = one = replace(one, dy=dy, dx=dy.reshape(one.x.shape))
        dy = one.dx
    return layers
