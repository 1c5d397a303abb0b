"""Record a training step on a GPU as a CUDA graph, test it, and replay it.

The first step of a batch size is launched kernel by kernel. After the second, the same launches are recorded.
The third step is computed twice from the same state, with the usual launches and by the graph. Only if all
bits are the same, later steps are replayed. A graph repeats the arguments that it was recorded with; so a
layer that passes a number to its kernels that changes between steps fails this test.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from nnx.backends import Array
from nnx.backends.base import CaptureError
from nnx.data.feeding import Batch
from nnx.errors import NnxError
from nnx.layers.base import walk
from nnx.training.run import History

if TYPE_CHECKING:
    from nnx.training.device_steps import DeviceTrainer

PLAIN = (bool, int, float, str, type(None), np.generic)  # settings whose values kernels get as arguments


class Shape:
    """The graph for one number of rows and one place of a batch: recorded, and whether it may be replayed."""

    def __init__(self, bound: Any) -> None:
        self.bound = bound  # the plan's arrays for this number of rows
        self.seen = 0
        self.graph: Any = None
        self.proved = False
        self.held: list[Any] = []  # memory that the graph uses: nobody else may get it
        self.used: list[Any] = []  # `SparseParameters.state` after a step


class Replay:
    """Launch the steps of a run, by graphs where that is possible.

    Parameters
    ----------
    trainer : DeviceTrainer
    wanted : bool
        False launches all steps kernel by kernel.

    Attributes
    ----------
    count : int
        Number of steps that were replayed.
    fault : str
        Why no more steps are recorded or replayed; empty if they are.
    """

    def __init__(self, trainer: DeviceTrainer, wanted: bool) -> None:
        # The trainer holds this object: without a cycle, its memory is freed as soon as it is dropped.
        self.trainer: DeviceTrainer = weakref.proxy(trainer)
        self.count = 0
        self.fault = "graph=False" if not wanted else ""
        self._shapes: dict[tuple[int | None, ...], Shape] = {}
        self._settings: tuple[Any, ...] | None = None
        self._kept: list[Any] = []  # so that the numbers in the settings that name objects stay unique

    def changed(self) -> bool:
        """Return whether the settings of the training changed since the last call; then record all again."""
        found, kept = _settings(self.trainer)
        if found == self._settings:
            return False
        self._settings, self._kept = found, kept
        self._shapes.clear()
        if not self.fault:
            self.fault = _refusal(self.trainer)
        return True

    def step(self, number: int) -> None:
        """Launch a step of the epoch."""
        trainer = self.trainer
        sent = None if trainer.feeder.resident else trainer.batch(number)
        if self.fault:
            trainer.launch(number, sent)
            return
        # a graph reads a batch where it was when it was recorded
        key = trainer.rows(number), *(None if one is None else int(one.data.ptr) for one in sent or ())
        shape, bound = self._shapes.get(key), trainer.bound(number)
        sparse = trainer.arena.sparse
        if shape is not None and shape.graph is not None and not sparse.clears_as(shape.used):
            shape = None
        if shape is None or shape.bound is not bound:  # new, or the plan has other arrays now
            shape = self._shapes[key] = Shape(bound)
        if shape.graph is None:
            trainer.launch(number, sent)
            shape.bound = trainer.bound(number)  # the first step of its size makes the arrays
            self._record(shape, number, sent)
        elif shape.proved:
            trainer.backend.in_order(trainer.arena)  # as a launched step does in its forward pass
            shape.graph.launch()
            sparse.replayed(shape.used)
            self.count += 1
        else:
            self._prove(shape, number, sent)

    def report(self, history: History) -> None:
        """Store what a user wants to know in the history."""
        history.replayed, history.not_replayed = self.count, self.fault

    def _record(self, shape: Shape, number: int, sent: Batch | None) -> None:
        """Count a step that was launched, and record the second one."""
        trainer = self.trainer
        shape.seen += 1
        if shape.seen < 2:
            return
        shape.used = trainer.arena.sparse.state()
        try:
            shape.graph = trainer.backend.capture(lambda: trainer.launch(number, sent))
        except (CaptureError, NnxError) as error:
            self.fault = f"a step cannot be recorded: {error}"
            return
        finally:
            trainer.arena.sparse.replayed(shape.used)  # what was recorded has not run
        shape.held = [*trainer.memory(), *trainer.plan.buffers.arrays(), *trainer.backend.buffers()]

    def _prove(self, shape: Shape, number: int, sent: Batch | None) -> None:
        """Compute a step by launches and by the graph, and compare all bits of what it changes."""
        trainer, backend = self.trainer, self.trainer.backend
        changed, passing = trainer.changing(), trainer.plan.buffers.arrays()
        try:
            before = [x.copy() for x in (*changed, *passing)]
            expected = [backend.empty(x.shape, x.dtype) for x in changed]
        except MemoryError as error:
            trainer.launch(number, sent)
            self.fault = f"there is no memory to test the graph: {error}"
            return
        trainer.launch(number, sent)
        for x, value in zip(changed, expected, strict=True):
            value[...] = x
        for x, value in zip((*changed, *passing), before, strict=True):
            x[...] = value
        shape.graph.launch()
        different = _different(backend, changed, expected)
        if not different:
            shape.proved = True
            self.count += 1
            return
        for x, value in zip(changed, expected, strict=True):
            x[...] = value
        self.fault = "a replayed step gives other bits than a launched one"


def _different(backend: Any, found: list[Array], expected: list[Array]) -> bool:
    """Return whether any bit differs; one read for all arrays."""
    xp = backend.xp
    kinds = [xp.dtype(f"uint{8 * x.dtype.itemsize}") for x in found]
    answers = [
        xp.any(x.view(kind) != y.view(kind)) for x, y, kind in zip(found, expected, kinds, strict=True)
    ]
    return bool(backend.to_numpy(xp.stack(answers)).any())


def _refusal(trainer: DeviceTrainer) -> str:
    """Return why the steps of a training cannot be recorded; empty if they may."""
    if not trainer.ranks.alone:
        return "several ranks exchange their gradients"
    if not trainer.counted:
        return f"{type(trainer.optimizer).__name__} is your own optimizer"
    if not type(trainer.loss).__module__.startswith("nnx."):
        return f"{type(trainer.loss).__name__} is your own loss"
    for layer in walk(trainer.network.layers):
        if not type(layer).__module__.startswith("nnx."):
            return f"{layer.name} is your own layer"
        if not layer.replays:
            return f"{layer.name} cannot be recorded"
    return ""


def _settings(trainer: DeviceTrainer) -> tuple[tuple[Any, ...], list[Any]]:
    """Return everything that kernels get as arguments or addresses, and the objects that it names."""
    arena, optimizer = trainer.arena, trainer.optimizer
    _, spans = optimizer.state_for(trainer.network)
    arrays = [arena.values, arena.exchange, arena.state, arena.fault, *trainer.kept.slots.values()]
    objects = [*arrays, *walk(trainer.network.layers), trainer.loss, optimizer, optimizer._groups, spans]
    plain = [
        tuple((name, value) for name, value in vars(one).items() if isinstance(value, PLAIN))
        for one in (*walk(trainer.network.layers), trainer.loss, optimizer)
    ]
    return (tuple(map(id, objects)), *plain), objects
