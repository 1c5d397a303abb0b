"""A dense layer that uses the transposed weights of another one."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

from nnx.backends import Array
from nnx.errors import ConfigurationError, whole
from nnx.layers import factors
from nnx.layers.base import Layer, walk
from nnx.layers.dense import Dense
from nnx.layers.workspace import Workspace
from nnx.parameters import Shapes
from nnx.records import LayerRecord

__all__ = ["TiedDense"]

COPIED = "nnx.interop writes a Dense with a copy of the transposed weights in its place"


class TiedDense(Layer):
    """y = x Wᵀ + b, where W is the matrix of an earlier `Dense` in the same network; b is this layer's own.

    W is one parameter: it is stored, trained, saved and decayed once. Backward: ``dx = dy W`` and
    ``db = Σ_rows dy``; the gradient ``dyᵀ x`` is added to the dW of the other layer.

    The output is as wide as the other layer's input. Decoders of autoencoders with tied weights have about
    half the parameters, and cannot make a code small by large weights of the decoder.

    Parameters
    ----------
    of : Dense or int
        The earlier layer; or how many layers it is before this one, as in saved files. Activations count as
        layers, and layers in containers count after their container.

    Raises
    ------
    ConfigurationError
        By the network, if there is no such `Dense` before this layer in it, or it is in another branch of a
        container. This also holds for the copy of a slice that lacks the other layer; the slice itself can be
        used.

    References
    ----------
    Vincent, Larochelle, Lajoie, Bengio and Manzagol (2010), Stacked denoising autoencoders, section 2.2.

    Examples
    --------
    >>> import nnx
    >>> encoder = nnx.Dense(3)
    >>> network = nnx.Network([encoder, nnx.Tanh(), nnx.TiedDense(encoder)], seed=0).build(8)
    >>> network.output_shape, network.parameter_count()
    ((8,), 35)
    """

    record = LayerRecord(names=("tied_dense",), cases=(), keras=COPIED, onnx=COPIED, listed=False)
    replays = True
    b: Array
    db: Array

    def __init__(self, of: Dense | int) -> None:
        super().__init__()
        self.distance = 0  # how many layers the other one is before this one; 0: not known yet
        self._given: Any = None
        self._partner: Any = None
        if isinstance(of, Dense):
            self._given = weakref.ref(of)
        else:
            self.distance = whole("TiedDense: of, a Dense or its distance,", of)

    def placed(self, layers: Sequence[Layer]) -> None:
        """Find the other layer among the layers of the network."""
        if self._given is not None:
            given = self._given()
            place = next((place for place, layer in enumerate(layers) if layer is given), None)
            if place is not None:  # a container is numbered before its network is known
                self.distance = self.index - place
        place = self.index - self.distance
        found = layers[place] if self.distance > 0 and place >= 0 else None
        usable = isinstance(found, Dense) and found.takes_activation  # its backward pass adds our gradient
        if usable and any(_divides(layer, found, self) for layer in layers):
            usable = False  # branches run in the same order forward and backward, so it would come too late
        self._partner = weakref.ref(found) if usable else None

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        known = self._partner or self._given
        state["attributes"] |= {"_partner": None, "_given": known and known()}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        given = state["attributes"]["_given"]
        reference = None if given is None else weakref.ref(given)
        partner = reference if "built" in state else None
        super().__setstate__(
            state | {"attributes": state["attributes"] | {"_given": reference, "_partner": partner}}
        )

    @property
    def other(self) -> Dense:
        """Return the layer whose weights this one uses.

        Raises
        ------
        ConfigurationError
            If it is not known: it must come earlier in the same network.
        """
        found: Dense | None = None if self._partner is None else self._partner()
        if found is None:
            raise ConfigurationError(
                f"{self.name or 'TiedDense'} needs the weights of a Dense layer that comes before it in the "
                "same network, and not in another branch of a container: add that layer, or use nnx.Dense "
                "here"
            )
        return found

    @property
    def takes_activation(self) -> bool:
        """Return True, unless a subclass has its own passes."""
        own = type(self)
        return own.forward_into is TiedDense.forward_into and own.backward_into is TiedDense.backward_into

    @property
    def takes_factors(self) -> bool:  # type: ignore[override]
        """Return True, unless a subclass has its own passes."""
        return self.takes_activation

    @property
    def reads_output(self) -> bool:
        """Return False, unless a subclass has its own passes."""
        return not self.takes_activation

    def width(self, inputs: int) -> int:
        """Return the width of the other layer's input."""
        other = self.other
        if other.inputs is None or inputs != other.units:
            raise ConfigurationError(
                f"{self!r} takes the {other.units} outputs of {other!r}, but the layer before it has {inputs}"
            )
        return other.inputs

    def parameter_shapes(self) -> Shapes:
        """Return the shape of the bias."""
        return {"b": (self.width(self.other.units),)}

    def forward_into(self, x: Array, y: Array, workspace: Workspace) -> None:
        """Compute y = x Wᵀ + b, and the activation if the plan fused one."""
        backend, W = workspace.backend, self._transposed("W", workspace)
        W[...] = self.other.W.T
        if workspace.bfloat16:
            factors.forward(x, W, self.b, y, workspace)
            return
        backend.dense_forward(x, W, self.b, y, workspace.kind, workspace.alpha)

    def backward_into(self, dy: Array, dx: Array | None, workspace: Workspace) -> None:
        """Compute db and dx, and give the gradient of W to the other layer."""
        backend, x = workspace.backend, workspace.x
        W, dW = (self._transposed(name, workspace) for name in ("W", "dW"))
        activation = workspace.kind, workspace.alpha, workspace.y, workspace.dz
        if workspace.bfloat16:
            factors.backward(dy, W, dW, self.db, dx, workspace)
        else:
            backend.dense_backward(dy, x, W, dW, self.db, dx, *activation)
        self.other.add_later(dW.T, workspace.step)

    def _transposed(self, name: str, workspace: Workspace) -> Array:
        other = self.other
        return workspace.buffer(name, (other.units, *self.b.shape))

    def factor_count(self, rows: int) -> int:
        """Return how many rounded factors a pass stores if products have bfloat16 factors."""
        inputs, units = self.other.units, self.b.shape[0]
        count: int = rows * (inputs + units) + inputs * units
        return count

    def config(self) -> dict[str, Any]:
        """Return how many layers the other one is before this one."""
        _ = self.other  # refuses a layer that is in no network yet
        return {"of": self.distance}

    def __repr__(self) -> str:
        found = None if self._partner is None else self._partner()
        return f"{self.name or 'TiedDense'}({'?' if found is None else found.name})"


def _divides(container: Layer, *both: Any) -> bool:
    """Return whether the branches of a container divide two layers."""
    held = [sum(layer in both for layer in walk(branch)) for branch in container.branches]
    return held.count(1) == 2
