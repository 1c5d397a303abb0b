"""Record the sizes of gradients, weights and updates in each epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nnx.backends import Array
from nnx.layers.base import Layer, walk
from nnx.training.run import Callback, Run

KINDS = {  # the statistics of a layer, and what they are
    "gradient_norm": "norm of the gradient",
    "weight_norm": "norm of the weights",
    "update_ratio": "norm of the update / norm of the weights",
    "dead_units": "share of units that are 0 in the whole batch",
}


class WeightStatistics(Callback):
    """Record how large gradients, weights and updates of each layer are, at the last step of each epoch.

    They are in ``history.statistics``, by names such as ``"update_ratio/dense_1"``:

    - ``gradient_norm``: ‖g‖₂ of all parameters of the layer together, after clipping;
    - ``weight_norm``: ‖w‖₂ after the step;
    - ``update_ratio``: ‖w_after − w_before‖₂ / ‖w_before‖₂; about 1e-3 is usual;
    - ``dead_units``: for a ReLU, the share of its units (or channels) that are 0 for each row of the step's
      last batch. In small batches, this is more than the share of units that are always 0.

    Frozen layers are left out. `nnx.reports.weight_statistics` draws the values. With this callback, small
    networks are trained step by step, not in the compiled loop.
    """

    def __init__(self) -> None:
        self._run: Run | None = None
        self._before: dict[str, Array] = {}
        self._found: dict[str, float] = {}

    def on_train_begin(self, run: Run) -> None:
        """Copy the parameters if the first epoch has only one step."""
        self._run, self._found = run, {}
        self._copy(run)

    def on_step_end(self, run: Run) -> None:
        """Copy the parameters before the last step of an epoch; measure after it."""
        if run.batch == run.batches - 1:
            self._found = self._measured(run)
        if run.batch == run.batches - 2 or run.batches == 1:
            self._copy(run)

    def on_epoch_end(self, run: Run) -> None:
        """Add the values to the history."""
        for name, value in self._found.items():
            run.history.statistics.setdefault(name, []).append(value)

    def on_train_end(self, run: Run) -> None:
        """Free the copy."""
        self._run, self._before = None, {}

    def state(self) -> dict[str, Any]:
        """Return nothing: the copy is that of the checkpoint's parameters."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Copy the parameters of the checkpoint, in case the next step is the last of its epoch."""
        if self._run is not None:
            self._copy(self._run)

    def _copy(self, run: Run) -> None:
        with run.network.backend.hold():
            self._before = {name: value.copy() for name, value, _ in run.network.parameters()}

    def _measured(self, run: Run) -> dict[str, float]:
        """Return the statistics of each layer; the host reads them all at once."""
        network, backend = run.network, run.network.backend
        xp = backend.xp
        with backend.hold(), backend.quiet():
            sums: dict[str, Array] = {}
            for layer, name, value, gradient in _trained(network):
                before = self._before[name]
                squares = (gradient, value, value - before, before)
                for kind, array in zip(("g", "w", "u", "b"), squares, strict=True):
                    key = f"{kind}/{layer.name}"
                    sums[key] = sums.get(key, 0.0) + xp.sum(xp.square(array.astype("float64")))
            sums |= {f"dead_units/{name}": share for name, share in _dead(run)}
            values = backend.to_numpy(xp.stack(list(sums.values()))) if sums else ()
        found = dict(zip(sums, map(float, values), strict=True))
        return _named(found)


def _trained(network: Any) -> Iterator[tuple[Layer, str, Array, Array]]:
    """Yield each trained parameter: the network's layer that has or holds it, its name, value, gradient."""
    for layer in network.layers:
        for part in walk([layer]):
            if part.trainable and not part.branches:
                for name, value, gradient in part.named_parameters():
                    yield layer, f"{part.name}.{name}", value, gradient


def _named(found: dict[str, float]) -> dict[str, float]:
    """Return norms and ratios from sums of squares."""
    named: dict[str, float] = {}
    for key, value in found.items():
        kind, _, layer = key.partition("/")
        if kind == "g":
            named[f"gradient_norm/{layer}"] = value**0.5
            named[f"weight_norm/{layer}"] = found[f"w/{layer}"] ** 0.5
            before = found[f"b/{layer}"]
            ratio = (found[f"u/{layer}"] / before) ** 0.5 if before else float("nan")
            named[f"update_ratio/{layer}"] = ratio
        elif kind == "dead_units":
            named[key] = value
    return named


def _dead(run: Run) -> list[tuple[str, Array]]:
    """Return the share of dead units of each ReLU, from the outputs of the last pass."""
    plan, _ = run.network.training_plan(run.loss)
    xp = run.network.backend.xp
    names = {id(layer): (active or layer).name for layer, active in plan.groups if _is_relu(active or layer)}
    found = []
    for layer, output in plan.outputs():
        if id(layer) in names:
            rows = output.reshape(-1, output.shape[-1])
            dead = xp.all(rows <= 0.0, axis=0)
            found.append((names[id(layer)], xp.mean(dead.astype("float64"))))
    return found


def _is_relu(layer: Any) -> bool:
    return bool(layer.fused_kind == "relu")
