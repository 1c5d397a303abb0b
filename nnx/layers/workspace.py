"""The arrays of a plan: buffers that grow with the batch, and a workspace for each layer."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nnx.backends import Array, Backend
from nnx.distributed import ALONE, Shard
from nnx.layers.terms import Terms
from nnx.ops.steps import PerStep

if TYPE_CHECKING:
    from nnx.layers.base import Layer
    from nnx.layers.plan import Plan


class Buffers:
    """The buffers of a plan: each is a view of an array, which is replaced if it is too small."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._kept: dict[Any, Array] = {}
        self._owned: set[int] = set()  # the buffers in _kept, by identity
        self.terms: Terms | None = None  # of the current pass, for the layers that add terms to the loss

    def buffer(self, key: Any, shape: tuple[int, ...], dtype: Any) -> Array:
        """Return a view with `shape` of the buffer for `key`."""
        size = math.prod(shape)
        exact = (key, shape, dtype)
        view = self._kept.get(exact)
        if view is None:
            whole = self._kept.get(key)
            if whole is None or whole.size < size or whole.dtype != dtype:
                self._drop(key)
                whole = self._kept[key] = self._backend.empty(size, dtype)
                self._owned.add(id(whole))
            view = self._kept[exact] = whole[:size].reshape(shape)
        return view

    def _drop(self, key: Any) -> None:
        """Free the buffer for `key`, and its views."""
        for known in [known for known in self._kept if known == key or known[0] == key]:
            self._owned.discard(id(self._kept.pop(known)))

    def arrays(self) -> list[Array]:
        """Return the arrays, each once."""
        return [whole for whole in self._kept.values() if id(whole) in self._owned]

    def own(self, x: Array) -> bool:
        """Return whether `x` is a view of one of the buffers."""
        return id(x.base) in self._owned

    def clear(self) -> None:
        """Free all buffers."""
        self._kept.clear()
        self._owned.clear()


class Workspace:
    """The arrays and settings of one layer for its forward and backward pass, for one batch size.

    Attributes
    ----------
    backend : Backend
    x, y : array
        Input and output of the last forward pass, as the layer's passes see them (`Layer.layout`).
    bfloat16 : bool
        Whether products round their factors to bfloat16.
    rows : int
        Size of x's first axis: the rows of the batch, times the positions of each row if `Layer.layout` is
        ``"features"``.
    training : bool
    step : int
        Optimizer steps taken. The seed, `step` and `row` determine a dropout mask.
    keys : dict of int to PerStep
        `Arena.keys`: instead of a key from these numbers, a layer that is in it reads keys on the GPU.
    draw : int
        Number of earlier training passes of this layer since the last optimizer step. It is part of a dropout
        mask too. It is always 0 in `fit`.
    shard : Shard
        The rows of the global batch that this rank has; all of them if the rank is alone.
    term : array of shape (1,) or None
        Where a layer with a term writes it (`Layer.term`); None if this pass needs no terms.
    seed : int
    kind, alpha
        The activation fused into a `Dense`; ``"identity"`` if there is none.
    dz : array or None
        Memory for the gradient before that activation.
    rounded_x, rounded_W : array or None
        In bfloat16: r(x) and r(W), if they are written before the layer's forward pass.
    rounded_y : array or None
        In bfloat16: where the layer writes r(y), because the next layer reads it.
    plans : sequence of Plan
        The plans of a container's branches.
    direct : bool
        Whether a container's branch writes into y.
    arriving, view : tuple of int
        The shape in which the input arrives, and the shape in which the layer sees it; `view` is None if
        they are equal.
    """

    __slots__ = ("_buffers", "_dtype", "_position", "_term", "activation", "alpha", "arriving", "backend",
                 "bfloat16", "direct", "draw", "dx", "dz", "keys", "kind", "plans", "rounded_W", "rounded_x",
                 "rounded_y", "rows", "seed", "shard", "step", "training", "view", "x", "y")  # fmt: skip

    def __init__(self, plan: Plan, position: int, rows: int) -> None:
        # Do not store the plan, which holds this workspace: without a cycle, both are freed immediately.
        self._buffers, self._dtype = plan.buffers, plan.arena.dtype
        self._position = plan.path, position
        self._term: Array = None
        self.plans: Sequence[Plan] = plan.branches.get(position, ())
        self.direct = False
        self.backend = plan.arena.backend
        self.bfloat16 = plan.arena.bfloat16
        self.rows = rows
        self.training = False
        self.seed = plan.arena.seed
        self.step = 0
        self.keys: dict[int, PerStep] = {}
        self.draw = 0
        self.shard: Shard = ALONE.shard(rows)
        self.kind = "identity"
        self.alpha = 0.0
        self.activation: Layer | None = None  # the fused activation: its slope may change between steps
        self.arriving: tuple[int, ...] = ()
        self.view: tuple[int, ...] | None = None
        self.x: Array = None
        self.y: Array = None
        self.dx: Array = None
        self.dz: Array = None
        self.rounded_x: Array = None
        self.rounded_W: Array = None
        self.rounded_y: Array = None

    @property
    def row(self) -> int:
        """Return the position of the batch's first row in the global batch of the step."""
        return self.shard.start

    @property
    def term(self) -> Array | None:
        """Return where the layer writes its term of the loss; None if this pass needs no terms."""
        return None if self._buffers.terms is None else self._term

    @property
    def share(self) -> float:
        """Return the factor of a term's gradients: this rank's share of the batch, 1 if it is alone."""
        terms = self._buffers.terms
        return 1.0 if terms is None else terms.share

    def row_shares(self) -> Array:
        """Return each row's share of a mean over the rows, of shape (rows, 1): 1 / rows, or w / Σ w.

        ``shares.T @ values`` is the mean of values of shape (rows, columns), also if rows have weights.
        """
        terms, shares = self._buffers.terms, self.buffer("shares of rows", (self.rows, 1))
        self.backend.row_shares(shares, None if terms is None else terms.weights)
        return shares

    @property
    def part(self) -> Shard | None:
        """Return `shard`, or None if the rank is alone; this was its name in version 0.1."""
        warnings.warn("workspace.part is now workspace.shard", DeprecationWarning, stacklevel=2)
        return self.shard if self.shard.communicator.size > 1 else None

    def buffer(self, name: str, shape: tuple[int, ...], dtype: Any = None) -> Array:
        """Return an array for this layer only; request it again in every pass.

        The contents written in the forward pass are still there in the backward pass.
        """
        return self._buffers.buffer((self._position, name), shape, dtype or self._dtype)

    def factor(self, name: str, shape: tuple[int, ...]) -> Array:
        """Return the array for a factor that is rounded to bfloat16."""
        return self.buffer(f"rounded {name}", shape, self.backend.factor_type)

    def scratch(self, name: str, shape: tuple[int, ...], dtype: Any = None) -> Array:
        """Return an array that all layers share: what is written there is lost when the next layer runs."""
        return self._buffers.buffer(("scratch", name), shape, dtype or self._dtype)

    def room(self, name: str, shape: tuple[int, ...], dtype: Any = None) -> Array:
        """Return `buffer`; this was its name in version 0.1."""
        warnings.warn("cache.room is now workspace.buffer", DeprecationWarning, stacklevel=2)
        return self.buffer(name, shape, dtype)
