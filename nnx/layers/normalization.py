"""Batch and layer normalization."""

from __future__ import annotations

from functools import partial
from typing import Any

from nnx import initializers
from nnx.backends import Array
from nnx.errors import number
from nnx.layers.base import Layer
from nnx.layers.workspace import Workspace
from nnx.parameters import Shapes
from nnx.records import Case, Counterpart, LayerRecord

__all__ = ["BatchNorm", "LayerNorm"]


class _Normalization(Layer):
    gamma: Array
    beta: Array
    dgamma: Array
    dbeta: Array
    replays = True

    def __init__(self, epsilon: float) -> None:
        super().__init__()
        self.epsilon = number(f"{type(self).__name__}: epsilon", epsilon, "(0, inf)")

    def parameter_shapes(self) -> Shapes:
        """Return the shapes of the scale γ and the shift β, one number per feature."""
        assert self.inputs is not None
        return {"gamma": (self.inputs,), "beta": (self.inputs,)}

    def initial_values(self, generator: Any) -> dict[str, Any]:
        """Return γ = 1; β starts at 0."""
        assert self.inputs is not None
        return {"gamma": initializers.Constant(1.0)(generator, (self.inputs,))}


class BatchNorm(_Normalization):
    """y = γ (x − μ) / √(σ² + ε) + β for each feature.

    In training, μ and σ² are the mean and variance over the batch. Features are on the last axis; the batch
    is all other axes: rows, and the positions in each row. Otherwise μ and σ² are running statistics. Every
    forward pass in training updates them: r = momentum · r + (1 − momentum) · batch (σ² without Bessel's
    correction, as in Keras). A frozen layer (``trainable=False``) always uses the running statistics and does
    not change them, as in Keras.

    Backward: dβ = Σ dy, dγ = Σ dy x̂, dx = γ/σ (dy − dβ/n − x̂ dγ/n).

    Parameters
    ----------
    momentum : float in [0, 1)
    epsilon : float > 0

    Attributes
    ----------
    gamma, beta : array of shape (inputs,)
    running_mean, running_variance : array of shape (inputs,)

    References
    ----------
    Ioffe and Szegedy (2015), Batch normalization, algorithm 1 and section 3.
    """

    running_mean: Array
    running_variance: Array
    record = LayerRecord(
        names=("batch_norm",),
        cases=(Case(), Case(note="in inference", options={"training": False})),
        keras=Counterpart("BatchNormalization", {"momentum": "momentum", "epsilon": "epsilon"}),
        onnx=Counterpart(
            "BatchNormalization", {"momentum": "momentum", "epsilon": "epsilon"},
            arrays=("gamma", "beta", "running_mean", "running_variance"),
        ),
    )  # fmt: skip

    def __init__(self, momentum: float = 0.99, epsilon: float = 1e-3) -> None:
        super().__init__(epsilon)
        self.momentum = number("BatchNorm: momentum", momentum, "[0, 1)")

    def state_shapes(self) -> Shapes:
        """Return the shapes of the running statistics."""
        assert self.inputs is not None
        return {"running_mean": (self.inputs,), "running_variance": (self.inputs,)}

    def initial_values(self, generator: Any) -> dict[str, Any]:
        """Return γ = 1 and running variance 1; β and the running mean start at 0."""
        values = super().initial_values(generator)
        return values | {"running_variance": values["gamma"]}

    def _follows(self, workspace: Workspace) -> bool:
        return workspace.training and self.trainable

    def _moments(self, workspace: Workspace) -> tuple[Array, Array]:
        if not self._follows(workspace):
            return self.running_mean, self.running_variance
        assert self.inputs is not None
        return workspace.buffer("mean", (self.inputs,)), workspace.buffer("variance", (self.inputs,))

    @property
    def reads_output(self) -> bool:
        """Return whether a subclass has its own backward pass."""
        return type(self).backward_into is not BatchNorm.backward_into

    def forward_into(self, x: Array, y: Array, workspace: Workspace) -> None:
        """Normalize with the batch's statistics and update the running ones, or use the running ones."""
        mean, variance = self._moments(workspace)
        if self._follows(workspace):
            workspace.backend.batch_moments(x, mean, variance)
            shard = workspace.shard
            shard.communicator.pool_moments(mean, variance, shard.share, f"the statistics of {self.name}")
            for running, batch in ((self.running_mean, mean), (self.running_variance, variance)):
                workspace.backend.moving_average(running, batch, self.momentum)
        workspace.backend.batch_norm_forward(x, mean, variance, self.gamma, self.beta, y, self.epsilon)

    def backward_into(self, dy: Array, dx: Array | None, workspace: Workspace) -> None:
        """Compute the gradients; in training they include those through the batch's statistics."""
        mean, variance = self._moments(workspace)
        shard = workspace.shard
        positions = workspace.rows // (shard.stop - shard.start)  # in each row
        total = partial(shard.communicator.sums, what=f"the gradients of {self.name}")
        workspace.backend.batch_norm_backward(
            dy, workspace.x, mean, variance, self.gamma, self.dgamma, self.dbeta, dx, self.epsilon,
            constant=not self._follows(workspace), rows=shard.total * positions, total=total,
        )  # fmt: skip
        if dx is not None and shard.rows == 0:  # this rank's row is there only to take part
            dx[...] = 0.0

    def config(self) -> dict[str, Any]:
        """Return momentum and ε."""
        return {"momentum": self.momentum, "epsilon": self.epsilon}


class LayerNorm(_Normalization):
    """y = γ (x − μ) / √(σ² + ε) + β, with μ and σ² of each row over its features, on the last axis.

    Backward, with g = γ dy: dx = (g − mean(g) − x̂ mean(g x̂)) / σ, dβ = Σ dy, dγ = Σ dy x̂.

    Parameters
    ----------
    epsilon : float > 0

    Attributes
    ----------
    gamma, beta : array of shape (inputs,)

    References
    ----------
    Ba, Kiros and Hinton (2016), Layer normalization, eq. 3 and 4.
    """

    record = LayerRecord(
        names=("layer_norm",),
        keras=Counterpart("LayerNormalization", {"epsilon": "epsilon"}),
        onnx=Counterpart("LayerNormalization", {"epsilon": "epsilon"}, {"axis": -1}, ("gamma", "beta")),
    )

    def __init__(self, epsilon: float = 1e-3) -> None:
        super().__init__(epsilon)

    @property
    def reads_output(self) -> bool:
        """Return whether a subclass has its own backward pass."""
        return type(self).backward_into is not LayerNorm.backward_into

    def forward_into(self, x: Array, y: Array, workspace: Workspace) -> None:
        """Normalize each row."""
        workspace.backend.layer_norm_forward(x, self.gamma, self.beta, y, self.epsilon)

    def backward_into(self, dy: Array, dx: Array | None, workspace: Workspace) -> None:
        """Compute the gradients, including those through each row's statistics."""
        workspace.backend.layer_norm_backward(
            dy, workspace.x, self.gamma, self.dgamma, self.dbeta, dx, self.epsilon
        )

    def config(self) -> dict[str, Any]:
        """Return the constant ε."""
        return {"epsilon": self.epsilon}
