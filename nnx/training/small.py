"""Train small networks with a compiled loop: many steps in one call.

The loop (`Backend.small_loop`) supports small networks of `Dense` layers. Everything else (other layers,
subclasses, clipping, frozen layers, weights of rows, averages) is trained step by step.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from nnx.data.rows import HostArray
from nnx.layers import Dense, Plan
from nnx.losses import Loss
from nnx.optimizers import SGD, Adam, AdamW, Optimizer
from nnx.training.pause import Pause
from nnx.training.run import Run
from nnx.training.step import StepTrainer

SMALL = 2**14  # rows × parameters of a step; in larger steps, arithmetic takes longer than Python's calls
BLOCK = 2**15  # steps in one call (at least one epoch), so that Ctrl-C does not wait long


class SmallTrainer:
    """Train blocks of epochs in the compiled loop if it supports the training, else step by step.

    Parameters
    ----------
    steps : StepTrainer
    """

    def __init__(self, steps: StepTrainer) -> None:
        self.steps = steps
        self.loop = steps.backend.small_loop()

    def train(self, run: Run, pause: Pause) -> None:
        """Train for an epoch, or in the compiled loop for all epochs until the pause; record their losses."""
        # checked again at each call, because a callback may have frozen a layer
        program = None if pause.on_step else self._program(run)
        if program is None:
            self.steps.train(run, pause)
            return
        steps, batches = self.steps, self.steps.batches
        # the first epoch alone, for `first_step_seconds`
        most = 1 if run.step == 0 else pause.epochs_left()
        count = max(1, min(most, BLOCK // max(len(batches), batches.rows // 32)))
        began = time.perf_counter()
        orders = batches.orders(steps.arena.seed, steps.arena.step, count)
        losses, done = np.zeros(count * len(batches), steps.arena.dtype), np.zeros(1, np.int64)
        try:
            self._run(program, orders, losses, done)
        finally:  # an interrupt does not undo finished steps
            steps.arena.step, steps.kept.step, run.step = (
                step + int(done[0]) for step in (steps.arena.step, steps.kept.step, run.step)
            )
            finished, number = divmod(int(done[0]), len(batches))
            run.history.first_step_seconds = run.history.first_step_seconds or time.perf_counter() - began
            if finished:
                run.record(*batches.means(losses.reshape(count, len(batches))[:finished]))
        if finished < count:
            order = None if batches.as_they_are else orders[finished % len(orders)]
            steps.explain(run, order, number)

    def close(self) -> None:
        """Stop reading ahead."""
        self.steps.close()

    def _run(self, program: Any, orders: Any, losses: Any, done: Any) -> None:
        """Take ``losses.size`` steps; see `nnx.ops.small_network_numba.run`."""
        steps = self.steps
        x, y, _ = steps.feeder.whole()
        _, (span,) = steps.optimizer.state_for(steps.network)
        x, y = (rows.reshape(len(rows), -1) for rows in (x, y))
        slots = tuple(slot for slot in span.slots if slot is not None)
        self.loop.run(
            program, span.values, span.gradients, slots, x, y, orders, steps.batches.most,
            self._rates(losses.size), steps.kept.step, losses, done,
        )  # fmt: skip

    def _rates(self, count: int) -> HostArray:
        """Return the learning rates of the next steps; a constant one is asked for only once."""
        optimizer, kept = self.steps.optimizer, self.steps.kept
        asked = 1 if isinstance(optimizer.learning_rate, float) else count
        rates = np.array([optimizer.rate(kept.step + step) for step in range(asked)]) * kept.scale
        return np.full(count, rates[0]) if asked == 1 else rates

    def _by_number(self) -> bool:
        """Return whether the loop can compute the loss on all numbers of a row in one axis."""
        shape, kind = self.steps.network.output_shape, self.steps.kind
        return self.steps.samples.y.shape[1:] == shape and (len(shape) == 1 or "categorical" not in kind)

    def _program(self, run: Run) -> Any:
        """Return the training in the form that the compiled loop needs, or None if it is not supported."""
        steps = self.steps
        if (
            self.loop is None
            or not (steps.feeder.resident and steps.ranks.alone)
            or steps.pieces is not None
            or steps.average is not None
            or steps.samples.weights is not None
            or not self._by_number()
            or run.batch
            or steps.arena.bfloat16  # the loop rounds no factors
            or run.on_nonfinite == "skip"
        ):
            return None
        _, spans = steps.optimizer.state_for(steps.network)
        whole = len(spans) == 1 and spans[0].values.size == steps.arena.values.size
        whole = whole and spans[0].settings is None
        if not whole or steps.batches.most * steps.arena.values.size > SMALL:
            return None
        return program(self.loop, steps.plan, steps.loss, steps.kind, steps.optimizer)


def program(loop: Any, plan: Plan, loss: Loss, kind: str, optimizer: Optimizer) -> Any:
    """Return a training as numbers for the compiled loop, or None if the loop does not support it.

    Parameters
    ----------
    loop : module
        The module from `Backend.small_loop`.
    kind : str
        The kind of the loss after fusion, from `Plan`.
    """
    plain = (type(loss).formula, type(loss).evaluate) == (Loss.formula, Loss.evaluate)
    plain = plain and not loss.label_smoothing
    groups = list(_groups(plan, loop.ACTIVATIONS))
    rule = _rule(optimizer)
    if not plain or kind not in loop.LOSSES or rule is None or len(groups) != len(plan.groups):
        return None
    layers = [layer for layer, _, _ in groups]
    values = plan.arena.values
    begin = values.ctypes.data
    return loop.Program(
        widths=np.array([layers[0].inputs, *(layer.units for layer in layers)]),
        offsets=np.array([(layer.block.ctypes.data - begin) // values.itemsize for layer in layers]),
        kinds=np.array([activation for _, activation, _ in groups]),
        alphas=np.array([alpha for _, _, alpha in groups], float),
        loss=loop.LOSSES.index(kind),
        optimizer=loop.OPTIMIZERS.index(rule[0]),
        scale=1.0 if loss.sums_features else 1.0 / layers[-1].units,
        constants=rule[1],
    )


def _groups(plan: Plan, known: tuple[str, ...]) -> Iterator[tuple[Dense, int, float]]:
    for layer, activation in plan.groups:
        kind = activation.fused_kind if activation is not None else "identity"
        if type(layer) is Dense and kind in known and len(layer.input_shape or ()) == 1:
            yield layer, known.index(kind), float(getattr(activation, "alpha", 0.0))


def _rule(optimizer: Optimizer) -> tuple[str, tuple[float, float, float, float, float]] | None:
    if optimizer.clip_norm is not None or optimizer.clip_value is not None:
        return None
    shared = (float(optimizer.weight_decay), float(optimizer.l2))
    if type(optimizer) is SGD and not optimizer.momentum:
        return "sgd", (0.0, 0.0, 0.0, *shared)
    if type(optimizer) in (Adam, AdamW):
        assert isinstance(optimizer, Adam)
        return "adam", (optimizer.beta1, optimizer.beta2, optimizer.epsilon, *shared)
    return None
