"""Sparse codes: layers that return their input, and add a term to the loss that keeps most of it small."""

from __future__ import annotations

from typing import Any

from nnx.backends import Array
from nnx.errors import number
from nnx.layers.base import Layer
from nnx.layers.workspace import Workspace
from nnx.records import Case, Counterpart, LayerRecord

__all__ = ["KLSparsity", "L1Sparsity"]

ACTIVE = ((0.1, 0.9, 0.2), (0.4, 0.3, 0.05), (0.2, 0.6, 0.1))  # for the gradient check


class _Sparsity(Layer):
    """Base of the layers that return their input and add a term for it to the loss."""

    layout = "rows"
    replays = True
    term = "sparsity"
    weight: float

    @property
    def reads_output(self) -> bool:
        """Return False, unless a subclass has its own passes."""
        return not type(self).__module__.startswith("nnx.")

    def forward_into(self, x: Array, y: Array, workspace: Workspace) -> None:
        """Copy x, and compute the term if the pass needs it."""
        y[...] = x
        if workspace.term is not None:
            self._write_term(x, workspace.term, workspace)

    def backward_into(self, dy: Array, dx: Array | None, workspace: Workspace) -> None:
        """Compute dx: dy plus the gradient of the term."""
        if dx is None:
            return
        if workspace.term is None:
            dx[...] = dy
            return
        self._write_gradient(dx, workspace)
        dx += dy

    def _write_term(self, x: Array, term: Array, workspace: Workspace) -> None:
        raise NotImplementedError

    def _write_gradient(self, dx: Array, workspace: Workspace) -> None:
        raise NotImplementedError

    @staticmethod
    def _row(name: str, workspace: Workspace) -> Array:
        """Return an array with a number for each column of x."""
        return workspace.buffer(name, (1, workspace.x.shape[1]))


class L1Sparsity(_Sparsity):
    """y = x; adds weight · mean_rows Σ_j |x_j| to the loss, so that most numbers of x become small.

    Backward: ``dx = dy + weight · sign(x) / rows``. After a `ReLU`, many numbers become exactly 0.

    The term is computed in training and in `Network.evaluate`, not in `Network.predict`. Rows count by their
    sample weights.

    Parameters
    ----------
    weight : float of at least 0

    Raises
    ------
    ConfigurationError
        If `weight` is negative or not finite.

    Notes
    -----
    The size of a linear code can shrink while the next layer's weights grow, which makes the term small and
    the code no sparser. An activation such as `ReLU` before this layer, and weight decay, prevent that.

    References
    ----------
    Olshausen and Field (1996), Emergence of simple-cell receptive field properties by learning a sparse code
    for natural images; Goodfellow, Bengio and Courville (2016), Deep learning, section 14.2.1.

    Examples
    --------
    >>> import nnx
    >>> layers = [nnx.Dense(64), nnx.ReLU(), nnx.L1Sparsity(1e-3), nnx.Dense(8)]
    >>> network = nnx.Network(layers, seed=0).build(8)
    """

    record = LayerRecord(
        names=("l1_sparsity",),
        cases=(Case({"weight": 0.3}), Case({"weight": 0.3}, "in inference", {"training": False})),
        keras=Counterpart("ActivityRegularization", {"l1": "weight"}),
        onnx=Counterpart("Identity"),  # a file has no training
        elementwise=True,
    )

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = number("L1Sparsity: weight", weight, "[0, inf)")

    def _write_term(self, x: Array, term: Array, workspace: Workspace) -> None:
        backend, size = workspace.backend, workspace.buffer("size", x.shape)
        backend.xp.abs(x, out=size)
        means = backend.matmul(workspace.row_shares().T, size, self._row("means", workspace))
        backend.axis_sums(means.reshape(1, -1, 1), term.reshape(1, 1))
        term *= self.weight

    def _write_gradient(self, dx: Array, workspace: Workspace) -> None:
        workspace.backend.xp.sign(workspace.x, out=dx)
        dx *= workspace.row_shares()
        dx *= self.weight * workspace.share

    def config(self) -> dict[str, Any]:
        """Return the weight."""
        return {"weight": self.weight}


class KLSparsity(_Sparsity):
    """y = x; adds weight · Σ_j KL(target ‖ m_j) to the loss, where m_j is the mean of x_j over the batch.

    KL(t ‖ m) = t ln(t / m) + (1 − t) ln((1 − t) / (1 − m)) is 0 if the mean activation m of a unit is the
    target t. With a small target, each unit is active for few rows. x must lie in [0, 1], as after `Sigmoid`.

    Backward: ``dx_ij = dy_ij + weight · ((1 − t) / (1 − m_j) − t / m_j) / rows``. With several ranks, m is
    the mean over the rows of all ranks. `Network.evaluate` computes the term for up to 1,024 rows of a rank
    at a time, and returns the mean. `Network.predict` does not compute it.

    Parameters
    ----------
    weight : float of at least 0
    target : float in (0, 1)

    Raises
    ------
    ConfigurationError
        If an argument is outside its range.
    TrainingError
        By `Network.fit`, if a mean lies outside [0, 1].

    References
    ----------
    Ng (2011), Sparse autoencoder, CS294A lecture notes, section 3.

    Examples
    --------
    >>> import nnx
    >>> layers = [nnx.Dense(64), nnx.Sigmoid(), nnx.KLSparsity(0.1, target=0.05), nnx.Dense(8)]
    >>> network = nnx.Network(layers, seed=0).build(8)
    """

    record = LayerRecord(
        names=("kl_sparsity",),
        cases=(
            Case({"weight": 0.3, "target": 0.1}, "on activations", {"x": ACTIVE}),
            Case({"weight": 0.3}, "in inference", {"training": False}),
        ),
        keras=Counterpart("Identity"),  # it has no such term
        onnx=Counterpart("Identity"),
        elementwise=True,
    )
    term_note = "it needs values from 0 to 1: put nnx.Sigmoid() before it"

    def __init__(self, weight: float, target: float = 0.05) -> None:
        super().__init__()
        self.weight = number("KLSparsity: weight", weight, "[0, inf)")
        self.target = number("KLSparsity: target", target, "(0, 1)")

    def _write_term(self, x: Array, term: Array, workspace: Workspace) -> None:
        backend, m = workspace.backend, self._row("means", workspace)
        backend.matmul(workspace.row_shares().T, x, m)
        if workspace.shard.communicator.size > 1:
            m *= workspace.share
            workspace.shard.communicator.sum(m, "the mean activations of a code")
        divergences = self._row("divergences", workspace)
        backend.divergences(m, self.target, divergences, self._row("slopes", workspace))
        backend.axis_sums(divergences.reshape(1, -1, 1), term.reshape(1, 1))
        term *= self.weight

    def _write_gradient(self, dx: Array, workspace: Workspace) -> None:
        slopes = self._row("slopes", workspace)
        workspace.backend.xp.multiply(workspace.row_shares(), slopes, out=dx)
        dx *= self.weight * workspace.share

    def config(self) -> dict[str, Any]:
        """Return weight and target."""
        return {"weight": self.weight, "target": self.target}
