"""Activations as layers. The formulas, forward and backward, are in `nnx.ops.activations`."""

from __future__ import annotations

from typing import Any, ClassVar

from nnx.backends import Array
from nnx.errors import ConfigurationError, flag, nearest, number
from nnx.layers.base import Layer
from nnx.layers.workspace import Workspace
from nnx.records import Case, Counterpart, LayerRecord

__all__ = [
    "ELU", "GELU", "SELU", "Exp", "HardSigmoid", "Identity", "LeakyReLU", "Mish", "ReLU", "SiLU", "Sigmoid",
    "Softmax", "Softplus", "Tanh",
]  # fmt: skip


class Activation(Layer):
    """Base of the activations; ``kind`` chooses the formulas, forward and backward."""

    kind: ClassVar[str] = ""
    alpha: float = 0.0
    replays = True

    @property
    def fused_kind(self) -> str:
        """Return the kind, unless a subclass has its own passes."""
        own = type(self)
        plain = (Activation.forward_into, Activation.backward_into)
        return self.kind if (own.forward_into, own.backward_into) == plain else ""

    def forward_into(self, x: Array, y: Array, workspace: Workspace) -> None:
        """y = f(x)."""
        workspace.backend.activation_forward(self.kind, x, y, self.alpha)

    def backward_into(self, dy: Array, dx: Array | None, workspace: Workspace) -> None:
        """dx = dy ∘ f'(x)."""
        if dx is not None:
            workspace.backend.activation_backward(self.kind, dy, workspace.x, workspace.y, dx, self.alpha)


class Identity(Activation):
    """y = x; dx = dy."""

    record = LayerRecord(
        names=("identity", "linear"),
        keras=Counterpart("Identity"),
        onnx=Counterpart("Identity"),
        elementwise=True,
        activation=True,
    )
    kind = "identity"


class ReLU(Activation):
    """y = max(x, 0); dx = dy where y > 0, else 0.

    References
    ----------
    Nair and Hinton (2010), Rectified linear units improve restricted Boltzmann machines.
    """

    record = LayerRecord(
        names=("relu",),
        keras=Counterpart("ReLU"),
        onnx=Counterpart("Relu"),
        elementwise=True,
        activation=True,
    )
    kind = "relu"


class _Sloped(Activation):
    """An activation with one non-negative constant."""

    def __init__(self, alpha: float) -> None:
        super().__init__()
        self.alpha = number(f"{type(self).__name__}: alpha", alpha, "[0, inf)")

    def config(self) -> dict[str, Any]:
        """Return the constant α."""
        return {"alpha": self.alpha}


class LeakyReLU(_Sloped):
    """y = x where x > 0, else α x; dx = dy where x > 0, else α dy.

    Parameters
    ----------
    alpha : float ≥ 0
        The slope for x < 0.

    References
    ----------
    Maas, Hannun and Ng (2013), Rectifier nonlinearities improve neural network acoustic models.
    """

    record = LayerRecord(
        names=("leaky_relu",),
        keras=Counterpart("LeakyReLU", {"negative_slope": "alpha"}),
        onnx=Counterpart("LeakyRelu", {"alpha": "alpha"}),
        elementwise=True,
        activation=True,
    )
    kind = "leaky_relu"

    def __init__(self, alpha: float = 0.01) -> None:
        super().__init__(alpha)


class ELU(_Sloped):
    """y = x where x > 0, else α (eˣ − 1); dx = dy where x > 0, else (y + α) dy.

    Parameters
    ----------
    alpha : float ≥ 0

    References
    ----------
    Clevert, Unterthiner and Hochreiter (2016), Fast and accurate deep network learning by ELUs, eq. 15, 16.
    """

    record = LayerRecord(
        names=("elu",),
        cases=(Case(), Case({"alpha": 0.5})),
        keras=Counterpart("ELU", {"alpha": "alpha"}),
        onnx=Counterpart("Elu", {"alpha": "alpha"}),
        elementwise=True,
        activation=True,
    )
    kind = "elu"

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__(alpha)


class GELU(Activation):
    """y = x Φ(x), where Φ is the normal distribution function; dx = dy (Φ(x) + x φ(x)).

    Parameters
    ----------
    approximate : bool
        True computes y = x/2 (1 + tanh(√(2/π) (x + 0.044715 x³))) instead, which is exact to about 1e-3.

    References
    ----------
    Hendrycks and Gimpel (2016), Gaussian error linear units, section 2.
    """

    record = LayerRecord(
        names=("gelu",),
        cases=(Case(), Case({"approximate": True})),
        keras=Counterpart("Activation", fixed={"activation": "gelu"}),
        onnx=Counterpart("Gelu"),
        elementwise=True,
        activation=True,
    )
    kind = "gelu"

    def __init__(self, approximate: bool = False) -> None:
        super().__init__()
        self.approximate = flag("GELU: approximate", approximate)
        if self.approximate:
            self.kind = "gelu_tanh"  # type: ignore[misc]

    def config(self) -> dict[str, Any]:
        """Return which of the two formulas is used."""
        return {"approximate": self.approximate}


class SiLU(Activation):
    """y = x σ(x); dx = dy σ(x) (1 + x (1 − σ(x))). Also called swish.

    References
    ----------
    Elfwing, Uchibe and Doya (2018), Sigmoid-weighted linear units, eq. 4 and 8.
    """

    record = LayerRecord(
        names=("silu", "swish"),
        keras=Counterpart("Activation", fixed={"activation": "silu"}),
        onnx=Counterpart("Swish"),
        elementwise=True,
        activation=True,
    )
    kind = "silu"


class Mish(Activation):
    """y = x tanh(s) with s = log(1 + eˣ); dx = dy (tanh(s) + x σ(x) (1 − tanh²(s))).

    References
    ----------
    Misra (2020), Mish: a self regularized non-monotonic activation function, eq. 1.
    """

    record = LayerRecord(
        names=("mish",),
        keras=Counterpart("Activation", fixed={"activation": "mish"}),
        onnx=Counterpart("Mish"),
        elementwise=True,
        activation=True,
    )
    kind = "mish"


class SELU(Activation):
    """y = λ x where x > 0, else λ α (eˣ − 1); dx = λ dy where x > 0, else (y + λ α) dy.

    λ = 1.0507009873554805 and α = 1.6732632423543772. If the weights have mean 0 and variance 1 / inputs, as
    those of ``Dense(…, initializer="lecun_normal")``, layer after layer the outputs are drawn to mean 0 and
    variance 1.

    References
    ----------
    Klambauer, Unterthiner, Mayr and Hochreiter (2017), Self-normalizing neural networks, eq. 2.
    """

    record = LayerRecord(
        names=("selu",),
        keras=Counterpart("Activation", fixed={"activation": "selu"}),
        onnx=Counterpart("Selu"),
        initializer="lecun_normal",
        elementwise=True,
        activation=True,
    )
    kind = "selu"


class HardSigmoid(Activation):
    """y = min(max(x + 3, 0), 6) / 6, a sigmoid of straight lines; dx = dy / 6 where 0 < y < 1, else 0.

    References
    ----------
    Howard et al. (2019), Searching for MobileNetV3, section 5.2.
    """

    record = LayerRecord(
        names=("hard_sigmoid",),
        keras=Counterpart("Activation", fixed={"activation": "hard_sigmoid"}),
        onnx=Counterpart("HardSigmoid", fixed={"alpha": 1.0 / 6.0, "beta": 0.5}),
        elementwise=True,
        activation=True,
    )
    kind = "hard_sigmoid"


class Sigmoid(Activation):
    """y = σ(x) = 1 / (1 + e^−x); dx = dy y (1 − y)."""

    record = LayerRecord(
        names=("sigmoid",),
        keras=Counterpart("Activation", fixed={"activation": "sigmoid"}),
        onnx=Counterpart("Sigmoid"),
        elementwise=True,
        activation=True,
    )
    kind = "sigmoid"


class Tanh(Activation):
    """y = tanh(x); dx = dy (1 − y²)."""

    record = LayerRecord(
        names=("tanh",),
        keras=Counterpart("Activation", fixed={"activation": "tanh"}),
        onnx=Counterpart("Tanh"),
        elementwise=True,
        activation=True,
    )
    kind = "tanh"


class Exp(Activation):
    """y = eˣ; dx = y dy. The last layer for `Poisson`, whose predictions are rates above 0.

    From x = 88.8 on, y is infinite in float32, and from 709.8 on in float64.
    """

    record = LayerRecord(
        names=("exponential", "exp"),
        keras=Counterpart("Activation", fixed={"activation": "exponential"}),
        onnx=Counterpart("Exp"),
        elementwise=True,
        activation=True,
    )
    kind = "exponential"


class Softplus(Activation):
    """y = log(1 + eˣ); dx = dy σ(x)."""

    record = LayerRecord(
        names=("softplus",),
        keras=Counterpart("Activation", fixed={"activation": "softplus"}),
        onnx=Counterpart("Softplus"),
        elementwise=True,
        activation=True,
    )
    kind = "softplus"


class Softmax(Activation):
    """y_j = e^x_j / Σ_k e^x_k over the last axis; dx = y ∘ (dy − Σ_k dy_k y_k)."""

    record = LayerRecord(
        names=("softmax",),
        keras=Counterpart("Softmax"),
        onnx=Counterpart("Softmax", fixed={"axis": -1}),
        activation=True,
    )
    kind = "softmax"


def make(name: str) -> Layer:
    """Make an activation layer from its name (a key of `nnx.layers.ACTIVATIONS`).

    Raises
    ------
    ConfigurationError
        If the name is unknown; the text suggests the nearest.
    """
    from nnx.layers import ACTIVATIONS  # imported late: it needs all layers

    if name not in ACTIVATIONS:
        raise ConfigurationError(f"unknown activation {name!r}{nearest(str(name), ACTIVATIONS)}")
    return ACTIVATIONS[name]()
