"""Contractive encoders: dense layers, and a term of the loss for how strongly the code follows the input."""

from __future__ import annotations

from functools import partial
from typing import Any

from nnx.backends import Array
from nnx.errors import ConfigurationError, number
from nnx.layers.containers import DENSE, ITS_LAYERS, Layers, Sequential, _some_layers
from nnx.layers.dense import Dense
from nnx.layers.randomness import Draws
from nnx.layers.workspace import Workspace
from nnx.ops.curvature import DERIVATIVES
from nnx.records import Case, LayerRecord

__all__ = ["Contractive"]


def _of(*activations: str) -> dict[str, Any]:
    """Return arguments for a gradient check, with a dense layer before each activation."""
    layers = [layer for name in activations for layer in _some_layers(DENSE, name)]
    return {"layers": layers, "weight": 0.3}


class Contractive(Draws, Sequential):
    """Dense layers with activations, as one layer h = f(x), and weight · mean_rows ‖∂h/∂x‖² in the loss.

    The term is the squared Frobenius norm of the Jacobian J = ∂h/∂x: it makes the code insensitive to small
    changes of the input. For one dense layer h = s(x W + b), it is exact: ``Σ_j s'(z_j)² Σ_i W_ij²``. For
    several, it is the projection ``‖J u‖²`` on a random direction u of signs ±1, another one for each row and
    step; its expectation is ‖J‖². J u is computed exactly, layer by layer, and not by differences. The
    gradients of the term by all parameters and by x contain the second derivatives of the activations.

    u is a hash of (seed, step, layer, global row, column), as the mask of `Dropout`. `Network.evaluate` uses
    the same u for all pieces of 1,024 rows. `Network.predict` does not compute the term. Rows count by their
    sample weights.

    Parameters
    ----------
    layers : sequence of Layer
        `Dense` layers, each with or without an activation: sigmoid, tanh, softplus, relu, leaky_relu, elu or
        identity. Rows have one axis.
    weight : float of at least 0

    Raises
    ------
    ConfigurationError
        If a layer is of another kind, or `weight` is negative.

    References
    ----------
    Rifai, Vincent, Muller, Glorot and Bengio (2011), Contractive auto-encoders: explicit invariance during
    feature extraction, eq. 5 and 7. Hutchinson (1989), A stochastic estimator of the trace of the influence
    matrix for Laplacian smoothing splines (random signs).

    Examples
    --------
    >>> import nnx
    >>> encoder = nnx.Contractive([nnx.Dense(4), nnx.Sigmoid()], weight=0.1)
    >>> network = nnx.Network([encoder, nnx.Dense(8)], seed=0).build(8)
    >>> network.output_shape
    (8,)
    """

    record = LayerRecord(
        names=("contractive",),
        cases=tuple(
            Case(partial(_of, *layers), ", ".join(layers), {"inputs": 4})
            for layers in (
                ("sigmoid",),
                ("softplus",),
                ("leaky_relu",),
                ("tanh", "elu", "identity"),
                ("relu", "tanh"),
            )
        ),
        keras=ITS_LAYERS,
        onnx=ITS_LAYERS,
        listed=False,
    )
    term = "contraction"

    def __init__(self, layers: Layers, weight: float) -> None:
        super().__init__(layers)
        self.weight = number("Contractive: weight", weight, "[0, inf)")
        _ = self._steps()

    def _steps(self) -> list[tuple[Dense, str, float]]:
        """Return each dense layer with its activation and that one's slope.

        Raises
        ------
        ConfigurationError
            If a layer is of another kind.
        """
        found: list[tuple[Dense, str, float]] = []
        for layer in self.branches[0]:
            kind, alpha = layer.fused_kind, float(getattr(layer, "alpha", 0.0))
            if isinstance(layer, Dense) and layer.takes_activation:
                found.append((layer, "identity", 0.0))
            elif kind in DERIVATIVES and found and found[-1][1] == "identity":
                found[-1] = found[-1][0], kind, alpha
            else:
                known = ", ".join(DERIVATIVES)
                raise ConfigurationError(
                    f"Contractive takes dense layers, each with one of the activations {known}; not {layer!r}"
                )
        return found

    def shape_after(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the last layer's shape.

        Raises
        ------
        ConfigurationError
            If rows have several axes.
        """
        if len(input_shape) > 1:
            raise ConfigurationError(
                f"Contractive takes rows with one axis, not {input_shape}: put nnx.Flatten() before it"
            )
        return super().shape_after(input_shape)

    def place(self, workspace: Workspace, rows: int) -> None:
        """Do nothing: this layer has its own passes, as the term needs the output of every dense layer."""

    # ------------------------------------------------------------------------------ forward

    def forward_into(self, x: Array, y: Array, workspace: Workspace) -> None:
        """Run the layers, and compute the term if the pass needs it."""
        steps, h = self._steps(), x
        for place, (dense, kind, alpha) in enumerate(steps):
            if workspace.training:
                dense.forget_late()
            last = place == len(steps) - 1
            out = y if last else workspace.buffer(f"h {place}", (len(x), dense.units))
            workspace.backend.dense_forward(h, dense.W, dense.b, out, kind, alpha)
            if workspace.term is not None:
                slopes = self._slopes(place, dense, workspace)
                workspace.backend.activation_derivatives(kind, out, *slopes, alpha)
            h = out
        if workspace.term is None:
            return
        backend, term, units = workspace.backend, workspace.term, steps[-1][0].units
        squares = self._squares(steps, workspace)
        means = backend.matmul(workspace.row_shares().T, squares, workspace.buffer("means", (1, units)))
        backend.axis_sums(means.reshape(1, units, 1), term.reshape(1, 1))
        term *= self.weight

    def _squares(self, steps: list[tuple[Dense, str, float]], workspace: Workspace) -> Array:
        """Return terms whose sum over columns is each row's ‖J‖², or its estimate ‖J u‖²."""
        backend, xp = workspace.backend, workspace.backend.xp
        squares = workspace.scratch("squares", (workspace.rows, steps[-1][0].units))
        if len(steps) == 1:
            dense = steps[0][0]
            slope, _ = self._slopes(0, dense, workspace)
            of_weights = workspace.scratch("squares of W", (1, *dense.W.shape))
            xp.multiply(dense.W, dense.W, out=of_weights[0])
            lengths = backend.axis_sums(of_weights, self._lengths(dense, workspace))
            xp.multiply(slope, slope, out=squares)
            squares *= lengths
            return squares
        u = self._direction(workspace)
        for place, (dense, _, _) in enumerate(steps):
            product, tangent = self._tangents(place, dense, workspace)
            backend.matmul(u, dense.W, product)
            xp.multiply(product, self._slopes(place, dense, workspace)[0], out=tangent)
            u = tangent
        xp.multiply(u, u, out=squares)
        return squares

    @staticmethod
    def _lengths(dense: Dense, workspace: Workspace) -> Array:
        """Return the array for the squared lengths of the columns of W."""
        return workspace.buffer("lengths", (1, dense.units))

    def _direction(self, workspace: Workspace) -> Array:
        """Draw u, of signs: the mask of dropout at the rate one half has the values 0 and 2."""
        u = workspace.buffer("u", workspace.x.shape)
        u[...] = 1.0
        key = self.drawn_key(workspace) if workspace.training else self.key(0, 0)
        workspace.backend.dropout(u, u, 0.5, key, workspace.row)
        u -= 1.0
        return u

    def _slopes(self, place: int, dense: Dense, workspace: Workspace) -> tuple[Array, Array]:
        """Return arrays for the first and the second derivative of an activation."""
        return self._two("derivative", place, dense, workspace)

    def _tangents(self, place: int, dense: Dense, workspace: Workspace) -> tuple[Array, Array]:
        """Return arrays for a tangent before and after an activation."""
        return self._two("tangent", place, dense, workspace)

    def _two(self, name: str, place: int, dense: Dense, workspace: Workspace) -> tuple[Array, Array]:
        shape = (workspace.rows, dense.units)
        return workspace.buffer(f"{name} {place} a", shape), workspace.buffer(f"{name} {place} b", shape)

    # ----------------------------------------------------------------------------- backward

    def backward_into(self, dy: Array, dx: Array | None, workspace: Workspace) -> None:
        """Compute all gradients, with those of the term."""
        steps, backend = self._steps(), workspace.backend
        parts = self._of_term(steps, workspace) if workspace.term is not None else []
        for place in range(len(steps) - 1, -1, -1):
            dense, kind, alpha = steps[place]
            shape, last = (len(dy), dense.units), place == len(steps) - 1
            h = workspace.buffer(f"h {place - 1}", (len(dy), self._inputs(dense))) if place else workspace.x
            y = workspace.y if last else workspace.buffer(f"h {place}", shape)
            dz = workspace.buffer(f"dz {place}", shape)
            if kind == "identity":
                dz[...] = dy
            else:
                backend.activation_backward(kind, dy, None, y, dz, alpha)
            if parts:
                dz += parts[place][0]
            dh = workspace.buffer(f"dh {place}", h.shape) if place else dx
            backend.dense_backward(dz, h, dense.W, dense.dW, dense.db, dh)
            if parts:
                dense.dW += parts[place][1]
            dense.add_late(workspace.step)
            dy = dh

    @staticmethod
    def _inputs(dense: Dense) -> int:
        return int(dense.W.shape[0])

    def _of_term(
        self, steps: list[tuple[Dense, str, float]], workspace: Workspace
    ) -> list[tuple[Array, Array]]:
        """Return for each dense layer the term's direct gradients by z = h W + b, and by W."""
        shares = workspace.row_shares()
        shares *= 2.0 * self.weight * workspace.share
        return (self._of_exact if len(steps) == 1 else self._of_estimate)(steps, shares, workspace)

    def _of_exact(
        self, steps: list[tuple[Dense, str, float]], shares: Array, workspace: Workspace
    ) -> list[tuple[Array, Array]]:
        backend, xp, dense = workspace.backend, workspace.backend.xp, steps[0][0]
        slope, curvature = self._slopes(0, dense, workspace)
        of_z, of_weights = self._gradients(0, dense, workspace)
        xp.multiply(slope, shares, out=of_z)
        squares, means = (
            workspace.scratch("squares", slope.shape),
            workspace.buffer("means", (1, dense.units)),
        )
        xp.multiply(slope, slope, out=squares)
        xp.multiply(dense.W, backend.matmul(shares.T, squares, means), out=of_weights)
        of_z *= curvature
        of_z *= self._lengths(dense, workspace)
        return [(of_z, of_weights)]

    def _of_estimate(
        self, steps: list[tuple[Dense, str, float]], shares: Array, workspace: Workspace
    ) -> list[tuple[Array, Array]]:
        backend, xp, last = workspace.backend, workspace.backend.xp, len(steps) - 1
        found: list[tuple[Array, Array]] = []
        for place in range(last, -1, -1):
            dense = steps[place][0]
            slope, curvature = self._slopes(place, dense, workspace)
            product, tangent = self._tangents(place, dense, workspace)
            gradient, of_product = self._two("of tangent", place, dense, workspace)
            if place == last:
                xp.multiply(tangent, shares, out=gradient)
            xp.multiply(gradient, slope, out=of_product)
            of_z, of_weights = self._gradients(place, dense, workspace)
            xp.multiply(gradient, product, out=of_z)
            of_z *= curvature
            before = workspace.buffer("u", workspace.x.shape)
            if place:
                below = steps[place - 1][0]
                before = self._tangents(place - 1, below, workspace)[1]
                of_tangent, _ = self._two("of tangent", place - 1, below, workspace)
                backend.matmul(of_product, dense.W.T, of_tangent)
            backend.matmul(before.T, of_product, of_weights)
            found.append((of_z, of_weights))
        return found[::-1]

    @staticmethod
    def _gradients(place: int, dense: Dense, workspace: Workspace) -> tuple[Array, Array]:
        """Return the arrays for the term's direct gradients by z and by W."""
        of_z = workspace.buffer(f"term by z {place}", (workspace.rows, dense.units))
        return of_z, workspace.buffer(f"term by W {place}", dense.W.shape)

    def config(self) -> dict[str, Any]:
        """Return the layers' descriptions and the weight."""
        return super().config() | {"weight": self.weight}
