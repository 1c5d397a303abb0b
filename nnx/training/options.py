"""The options of `fit` in one record, which `Network.fit` passes to the loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nnx.data.samples import Augmentation
from nnx.distributed import ALONE, Communicator
from nnx.losses import Loss
from nnx.metrics import Metrics
from nnx.optimizers import Optimizer
from nnx.training.checkpoints import Checkpoint
from nnx.training.run import Callback


@dataclass(frozen=True)
class FitOptions:
    """The arguments of `Network.fit` without the data; `Network.fit` describes them."""

    loss: Loss
    optimizer: Optimizer
    epochs: int = 1
    batch_size: int = 32
    validation: float | tuple[Any, ...] | None = None
    metrics: Metrics = ()
    callbacks: Sequence[Callback] = ()
    checkpoint: Checkpoint | None = None
    shuffle: bool = True
    sample_weight: Any = None
    augment: Augmentation | None = None
    communicator: Communicator = ALONE
    on_nonfinite: str = "stop"
    graph: str | bool = "auto"
    accumulate: int = 1
    average: float | None = None

    @property
    def callbacks_here(self) -> list[Callback]:
        """The callbacks of this rank; the checkpoint is the last, as it stores the state of the others."""
        given = [*self.callbacks, *([self.checkpoint] if self.checkpoint else [])]
        return [c for c in given if self.communicator.rank == 0 or getattr(c, "every_rank", True)]

    @property
    def checkpoint_here(self) -> Checkpoint | None:
        """The checkpoint, on the rank that writes it."""
        return self.checkpoint if self.communicator.rank == 0 else None
