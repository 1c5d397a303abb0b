"""Embeddings of numbers: each number of a row becomes a vector, by a function with its own weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from nnx.backends import Array
from nnx.errors import ConfigurationError, number, whole
from nnx.layers.base import Layer
from nnx.layers.workspace import Workspace
from nnx.parameters import Arena, Shapes
from nnx.records import Case, LayerRecord

__all__ = ["PeriodicEmbedding", "PiecewiseLinearEmbedding"]

NO_COUNTERPART = "it has no layer that gives each number of a row its own weights"


class _NumericEmbedding(Layer):
    """Encode each feature j as T numbers e_j(x_j), then multiply: y_j = e_j W_j + b_j, of length `units`.

    Encodings have the shape (features, rows, T), so one batched product serves all features.
    """

    W: Array
    b: Array
    dW: Array  # noqa: N815
    db: Array
    units: int
    replays = True
    encoding_is_trained = False

    @property
    def reads_output(self) -> bool:
        """Return False: the backward pass reads the input and the encoding."""
        return False

    def width(self, inputs: int) -> int:
        """Return `units` numbers for each feature."""
        return inputs * self.units

    def encoded(self) -> int:
        """Return T, the length of the encoding of a number."""
        raise NotImplementedError

    def encode(self, x: Array, workspace: Workspace) -> Array:
        """Return the encoding of x.T, of shape (features, rows, T), in an array of the workspace."""
        raise NotImplementedError

    def encode_backward(self, de: Array, x: Array, workspace: Workspace, dx: Array | None) -> None:
        """Overwrite the gradients of the encoding's parameters, and dx.T of shape (features, rows)."""
        raise NotImplementedError

    def parameter_shapes(self) -> Shapes:
        """Return the shapes of W and b."""
        assert self.inputs is not None
        return {"W": (self.inputs, self.encoded(), self.units), "b": (self.inputs, self.units)}

    def forward_into(self, x: Array, y: Array, workspace: Workspace) -> None:
        """Encode, multiply, add b."""
        e = self.encode(x, workspace)
        product = workspace.buffer("product", (self.W.shape[0], x.shape[0], self.units))
        workspace.backend.matmul(e, self.W, product)
        product += self.b[:, None, :]
        y.reshape(x.shape[0], -1, self.units)[...] = product.transpose(1, 0, 2)

    def backward_into(self, dy: Array, dx: Array | None, workspace: Workspace) -> None:
        """Compute dW_j = e_jᵀ dy_j, db_j = Σ dy_j, and through de_j = dy_j W_jᵀ the other gradients."""
        backend, rows = workspace.backend, dy.shape[0]
        e = workspace.buffer("e", (self.W.shape[0], rows, self.W.shape[1]))
        dz = workspace.buffer("dz", (self.W.shape[0], rows, self.units))
        dz[...] = dy.reshape(rows, -1, self.units).transpose(1, 0, 2)
        backend.matmul(e.transpose(0, 2, 1), dz, self.dW)
        backend.axis_sums(dz, self.db)
        if dx is None and not self.encoding_is_trained:
            return
        de = workspace.buffer("de", e.shape)
        backend.matmul(dz, self.W.transpose(0, 2, 1), de)
        self.encode_backward(de, workspace.x, workspace, dx)

    @staticmethod
    def _last_sums(x: Array, workspace: Workspace) -> Array:
        """Return Σ over the last axis of a C-contiguous array, in memory that the next call uses again."""
        *shape, last = x.shape
        sums = workspace.scratch("last sums", tuple(shape))
        workspace.backend.axis_sums(x.reshape(-1, last, 1), sums.reshape(-1, 1))
        return sums


class PiecewiseLinearEmbedding(_NumericEmbedding):
    """A piecewise linear function of each number, into a vector: y_j = x_j v_j + e(x_j) W_j + b_j.

    The edges b_0 < b_1 < … < b_T of feature j divide its range into T bins, and

        e_t(x) = (x − b_{t−1}) / (b_t − b_{t−1}), limited to [0, 1];

    e_1 has no lower and e_T no upper limit, so that numbers outside of the edges differ too. W starts at 0,
    so the layer starts as a linear one. The output has the shape (rows, features · units), feature by
    feature.

    Backward: dW_j = eᵀ dy_j, dv_j = Σ x_j dy_j, db_j = Σ dy_j, and dx_j from the slopes of e, which are 0
    where e is limited.

    Parameters
    ----------
    edges : sequence of sequences of float
        For each feature at least two rising numbers, such as the quantiles of the training data. Features
        can have different numbers of edges.
    units : int
        Length of the vector of a number.

    Attributes
    ----------
    W : array of shape (features, most bins, units)
    v, b : array of shape (features, units)

    Raises
    ------
    ConfigurationError
        If edges do not rise, or there is not one list of edges for each feature.

    References
    ----------
    Gorishniy, Rubachev and Babenko (2022), On embeddings for numerical features in tabular deep learning,
    section 3.2. The linear part and W = 0 at the start are from their package rtdl_num_embeddings,
    version "B".

    Examples
    --------
    >>> import nnx
    >>> layer = nnx.PiecewiseLinearEmbedding([[0.0, 1.0, 5.0], [-1.0, 1.0]], units=3)
    >>> nnx.Network([layer, nnx.Dense(1)], seed=0).predict([[0.5, 0.0]]).shape
    (1, 1)
    """

    record = LayerRecord(
        names=("piecewise_linear_embedding",),
        cases=(
            Case(
                {"edges": ((-1.0, 0.1, 0.8), (0.0, 2.0), (-2.0, -0.4, 0.3, 0.9), (-0.7, 0.6)), "units": 2},
                "of four features",
                {"inputs": 4},
            ),
        ),
        keras=NO_COUNTERPART,
        onnx="it is written as Mul, Add, Max, Min and MatMul, and not read back",
        listed=False,
    )

    v: Array
    dv: Array

    def __init__(self, edges: Sequence[Sequence[float]], units: int) -> None:
        super().__init__()
        self.edges = _edges(edges)
        self.units = whole("PiecewiseLinearEmbedding: units", units)
        self.inputs = len(self.edges)

    def encoded(self) -> int:
        """Return the largest number of bins; features with fewer have zeros after them."""
        return max(map(len, self.edges)) - 1

    def parameter_shapes(self) -> Shapes:
        """Return the shapes of W, v and b."""
        shapes = super().parameter_shapes()
        return {"W": shapes["W"], "v": shapes["b"], "b": shapes["b"]}

    def initial_values(self, generator: Any) -> dict[str, Any]:
        """Return v and b, uniform on ±1; W starts at 0."""
        shape = (len(self.edges), self.units)
        return {"v": generator.uniform(-1.0, 1.0, shape), "b": generator.uniform(-1.0, 1.0, shape)}

    def bind(self, arena: Arena, views: dict[str, Array]) -> None:
        """Copy slopes and limits of the encoding to the network's device."""
        super().bind(arena, views)
        tables = [_bins(edges, self.encoded()) for edges in self.edges]
        with arena.backend.hold():
            self._bins = arena.backend.asarray(tables, arena.dtype).transpose(2, 0, 1)[:, :, None, :].copy()

    def encode(self, x: Array, workspace: Workspace) -> Array:
        """Compute e = min(max(x · slope + start, lowest), highest)."""
        xp = workspace.backend.xp
        slope, start, lowest, highest = self._bins
        e = workspace.buffer("e", (x.shape[1], x.shape[0], self.encoded()))
        xp.multiply(x.T[:, :, None], slope, out=e)
        xp.add(e, start, out=e)
        xp.maximum(e, lowest, out=e)
        return xp.minimum(e, highest, out=e)

    def forward_into(self, x: Array, y: Array, workspace: Workspace) -> None:
        """Compute the piecewise linear part, then add the linear one."""
        super().forward_into(x, y, workspace)
        linear = workspace.scratch("linear", (x.shape[0], x.shape[1], self.units))
        workspace.backend.xp.multiply(x[:, :, None], self.v, out=linear)
        workspace.backend.xp.add(y, linear.reshape(y.shape), out=y)

    def backward_into(self, dy: Array, dx: Array | None, workspace: Workspace) -> None:
        """Compute the gradients of both parts."""
        super().backward_into(dy, dx, workspace)
        backend, xp, x = workspace.backend, workspace.backend.xp, workspace.x
        split = dy.reshape(x.shape[0], x.shape[1], self.units)
        product = workspace.scratch("linear", split.shape)
        xp.multiply(split, x[:, :, None], out=product)
        backend.axis_sums(product.reshape(1, *dy.shape), self.dv.reshape(1, -1))
        if dx is not None:
            xp.multiply(split, self.v, out=product)
            dx += self._last_sums(product, workspace)

    def encode_backward(self, de: Array, x: Array, workspace: Workspace, dx: Array | None) -> None:
        """Compute dx = Σ_t de_t · slope over the bins in which e is between its limits."""
        if dx is None:
            return
        xp, e = workspace.backend.xp, workspace.buffer("e", de.shape)
        slope, _, lowest, highest = self._bins
        above, below = (workspace.scratch(name, de.shape, "bool") for name in ("above", "below"))
        xp.greater(e, lowest, out=above)
        xp.less(e, highest, out=below)
        de *= slope
        de *= above
        de *= below
        dx[...] = self._last_sums(de, workspace).T

    def config(self) -> dict[str, Any]:
        """Return the edges and the length of a vector."""
        return {"edges": [list(one) for one in self.edges], "units": self.units}

    def __repr__(self) -> str:
        return (
            f"{self.name or 'PiecewiseLinearEmbedding'}({len(self.edges)} features, up to {self.encoded()} "
            f"bins, units={self.units})"
        )


class PeriodicEmbedding(_NumericEmbedding):
    """Waves of each number, into a vector: y_j = [cos v, sin v] W_j + b_j with v = 2π c_j x_j.

    The output has the shape (rows, features · units), feature by feature. A `ReLU` usually follows.

    Backward: dW_j = eᵀ dy_j for the encoding e = [cos v, sin v]; db_j = Σ dy_j; with dv = cos v · de_sin −
    sin v · de_cos: dc_j = 2π Σ x_j dv, dx_j = 2π Σ_t c_jt dv_t.

    Parameters
    ----------
    frequencies : int
        The number of frequencies of a feature. The encoding has twice this length.
    units : int
        Length of the vector of a number.
    sigma : float > 0
        Frequencies start normally distributed with this deviation. 0.01 to 1 is usual for scaled numbers; a
        larger one fits functions that change faster.

    Attributes
    ----------
    c : array of shape (features, frequencies)
    W : array of shape (features, 2 · frequencies, units)
    b : array of shape (features, units)

    References
    ----------
    Gorishniy, Rubachev and Babenko (2022), On embeddings for numerical features in tabular deep learning,
    section 3.3 ("PL", and "PLR" with a ReLU).
    """

    record = LayerRecord(
        names=("periodic_embedding",),
        cases=(Case({"frequencies": 3, "units": 2, "sigma": 0.2}),),
        keras=NO_COUNTERPART,
        onnx="it is written as Mul, Cos, Sin and MatMul, and not read back",
        listed=False,
    )
    encoding_is_trained = True

    c: Array
    dc: Array

    def __init__(self, frequencies: int, units: int, sigma: float = 0.1) -> None:
        super().__init__()
        self.frequencies = whole("PeriodicEmbedding: frequencies", frequencies)
        self.units = whole("PeriodicEmbedding: units", units)
        self.sigma = number("PeriodicEmbedding: sigma", sigma, "(0, inf)")

    def encoded(self) -> int:
        """Return the number of cosines and sines."""
        return 2 * self.frequencies

    def parameter_shapes(self) -> Shapes:
        """Return the shapes of c, W and b."""
        assert self.inputs is not None
        return {"c": (self.inputs, self.frequencies), **super().parameter_shapes()}

    def initial_values(self, generator: Any) -> dict[str, Any]:
        """Return c, normal with deviation σ; W and b, uniform on ±1/√(2 frequencies)."""
        assert self.inputs is not None
        c = generator.normal(0.0, self.sigma, (self.inputs, self.frequencies))
        limit = 1.0 / math.sqrt(self.encoded())
        shapes = super().parameter_shapes()
        drawn = {name: generator.uniform(-limit, limit, shapes[name]) for name in ("W", "b")}
        return {"c": c, **drawn}

    def encode(self, x: Array, workspace: Workspace) -> Array:
        """Compute cos and sin of 2π c x."""
        xp, T = workspace.backend.xp, self.frequencies
        e = workspace.buffer("e", (x.shape[1], x.shape[0], 2 * T))
        angle = workspace.scratch("angle", (x.shape[1], x.shape[0], T))
        xp.multiply(x.T[:, :, None], self.c[:, None, :], out=angle)
        xp.multiply(angle, 2.0 * math.pi, out=angle)
        xp.cos(angle, out=e[:, :, :T])
        xp.sin(angle, out=e[:, :, T:])
        return e

    def encode_backward(self, de: Array, x: Array, workspace: Workspace, dx: Array | None) -> None:
        """Compute dc, and dx unless it is None."""
        xp, T, e = workspace.backend.xp, self.frequencies, workspace.buffer("e", de.shape)
        dv, product = (workspace.scratch(name, (*de.shape[:2], T)) for name in ("dv", "product"))
        xp.multiply(e[:, :, :T], de[:, :, T:], out=dv)
        xp.multiply(e[:, :, T:], de[:, :, :T], out=product)
        dv -= product
        dv *= 2.0 * math.pi
        xp.multiply(dv, x.T[:, :, None], out=product)
        workspace.backend.axis_sums(product, self.dc)
        if dx is not None:
            xp.multiply(dv, self.c[:, None, :], out=product)
            dx[...] = self._last_sums(product, workspace).T

    def config(self) -> dict[str, Any]:
        """Return the sizes and σ."""
        return {"frequencies": self.frequencies, "units": self.units, "sigma": self.sigma}


def _edges(given: Any) -> list[list[float]]:
    """Return the edges as lists of floats, after checking them."""
    what = "PiecewiseLinearEmbedding: edges"
    listed = given.tolist() if hasattr(given, "tolist") else given
    if isinstance(listed, str) or not isinstance(listed, Sequence) or not listed:
        raise ConfigurationError(f"{what} must be a list with a list of edges for each feature")
    found = []
    for place, one in enumerate(listed):
        one = one.tolist() if hasattr(one, "tolist") else one
        if isinstance(one, str) or not isinstance(one, Sequence) or len(one) < 2:
            raise ConfigurationError(f"{what}[{place}] needs two or more rising numbers, not {one!r:.60}")
        numbers = [number(f"{what}[{place}]", value, "(-inf, inf)") for value in one]
        if any(low >= high for low, high in pairwise(numbers)):
            raise ConfigurationError(f"{what}[{place}] must rise, but two neighbours are equal or fall")
        found.append(numbers)
    return found


def _bins(edges: list[float], most: int) -> list[tuple[float, float, float, float]]:
    """Return slope, start, lowest and highest value of the encoding for each bin, up to `most` bins."""
    last = len(edges) - 2
    table = []
    for place, (low, high) in enumerate(pairwise(edges)):
        limits = (-math.inf if place == 0 else 0.0, math.inf if place == last else 1.0)
        table.append((1.0 / (high - low), -low / (high - low), *limits))
    return table + [(0.0, 0.0, 0.0, 0.0)] * (most - len(table))
