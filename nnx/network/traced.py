"""Trace one training step of a network."""

from __future__ import annotations

from typing import Any

from nnx import losses, optimizers
from nnx.losses import Loss
from nnx.network.input_gradient import Differentiable
from nnx.optimizers import Optimizer
from nnx.tracing import Trace
from nnx.tracing.record import record


class Traceable(Differentiable):
    """A network whose training step can be shown number by number."""

    def trace(
        self, x: Any, y: Any, loss: Loss | str | dict[str, Any], optimizer: Optimizer | str | dict[str, Any]
    ) -> Trace:
        """Take one training step on a copy, and return every number of it.

        The step is that of ``fit(x, y, loss=loss, optimizer=optimizer, batch_size=len(x), shuffle=False)``:
        all rows are one batch, in the order given. It starts from the network's weights, its number of steps
        so far and the optimizer's state for this network, so it is the step that `fit` would take next, bit
        for bit, with the same dropout masks. The network and the optimizer's state do not change.

        Parameters
        ----------
        x, y : array_like
            As for `fit`.
        loss : Loss, or an argument of `nnx.losses.get`
        optimizer : Optimizer, or an argument of `nnx.optimizers.get`

        Raises
        ------
        DataError, TrainingError
            As for `fit`.
        ConfigurationError
            As for `fit`; and for a slice of a network.

        Examples
        --------
        >>> import nnx
        >>> network = nnx.Network([nnx.Dense(2, 3), nnx.Tanh(), nnx.Dense(1)], seed=0)
        >>> trace = network.trace([[0.0, 1.0]], [[1.0]], "mse", "sgd")
        >>> trace["dense_1"].y.shape, trace.parameters["dense_1.W"].gradient.shape
        ((1, 3), (2, 3))
        """
        loss = losses.get(loss) if isinstance(loss, str | dict) else loss
        optimizer = optimizers.get(optimizer) if isinstance(optimizer, str | dict) else optimizer
        return record(self, x, y, loss, optimizer)
