"""Write formulas: with the symbols of the docstrings, and with numbers in their place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from nnx.backends import host
from nnx.layers import Dense, Layer
from nnx.layers.activations import Activation
from nnx.layers.tied import TiedDense
from nnx.losses import Loss
from nnx.ops.losses import LOSSES
from nnx.tracing.result import HostArray, LossTrace

DIGITS = 4  # significant digits of numbers in a text
MOST = 6  # terms of a sum that are written out

# f(z) and f'(z) with numbers in place of z and y; other activations are shown by their name and slope
NUMBERS = {
    "identity": ("{z}", "1"),
    "relu": ("max({z}, 0)", "{step}"),
    "leaky_relu": ("{z} · {factor}", "{factor}"),
    "sigmoid": ("1 / (1 + e^−{z})", "{y} (1 − {y})"),
    "tanh": ("tanh {z}", "1 − {y}²"),
    "exponential": ("e^{z}", "{y}"),
    "softplus": ("log(1 + e^{z})", "σ({z})"),
}


def number(value: float, digits: int = DIGITS) -> str:
    """Return a number with a few significant digits."""
    return f"{float(value) + 0.0:.{digits}g}".replace("-", "−")  # + 0.0: no −0


def factor(value: float, digits: int = DIGITS) -> str:
    """Return a number as a factor of a product: a negative one in parentheses."""
    text = number(value, digits)
    return f"({text})" if text.startswith("−") else text


def product_sum(pairs: Sequence[tuple[float, float]], *more: float) -> str:
    """Write a sum of products and more terms; of a long sum the largest terms, and the rest as one number."""
    sizes = [abs(a * b) for a, b in pairs]
    chosen = sorted(sorted(range(len(pairs)), key=lambda place: -sizes[place])[:MOST])
    parts = [f"{factor(pairs[place][0])} · {factor(pairs[place][1])}" for place in chosen]
    if len(chosen) < len(pairs):
        rest = sum(a * b for place, (a, b) in enumerate(pairs) if place not in chosen)
        parts.append(f"[{len(pairs) - len(chosen)} more: {number(rest)}]")
    parts += [factor(value) for value in more]
    return " + ".join(parts)


def summary(thing: Any) -> str:
    """Return the first paragraph of a class's own docstring as one line; empty if it has none."""
    text = vars(thing).get("__doc__") or ""
    return " ".join(text.split("\n\n")[0].replace("``", "").split())


def is_dense(layer: Layer) -> bool:
    """Return whether a layer computes x W + b with nnx's passes."""
    return isinstance(layer, Dense | TiedDense) and layer.takes_activation


def is_activation(layer: Layer) -> bool:
    """Return whether a layer is an activation with nnx's passes."""
    return isinstance(layer, Activation) and bool(layer.fused_kind)


def of_layer(layer: Layer) -> tuple[str, str]:
    """Return a layer's formulas in symbols, forward and backward; the second is empty if it is not known."""
    if is_dense(layer):
        weights = "Wᵀ" if isinstance(layer, TiedDense) else "W"
        back = "W" if isinstance(layer, TiedDense) else "Wᵀ"
        return f"z = x {weights} + b", f"dW = xᵀ dz,  db = Σ_rows dz,  dx = dz {back}"
    text = summary(type(layer))
    if not is_activation(layer):
        return text, ""
    forward, _, backward = _with_z(text).rstrip(".").partition("; ")
    return forward, backward


def _with_z(text: str) -> str:
    """Call the input of an activation z, as it is the output of the layer before it."""
    text = re.sub(r"\bdx\b", "dz", text)
    return re.sub(r"(?<![a-zA-Z])x(?![a-zA-Z])", "z", text).replace("ˣ", "^z")


def activation_numbers(layer: Layer, z: float, y: float) -> tuple[str, str]:
    """Return f(z) and f'(z) with numbers, for one number z of an activation."""
    assert isinstance(layer, Activation)
    slope = slope_of(layer, z, y)
    if layer.kind == "softmax":
        return number(y), f"{factor(y)} (1 − {factor(y)})"
    values = {
        "z": factor(z), "y": factor(y), "step": number(slope), "factor": number(slope),
    }  # fmt: skip
    if layer.kind in NUMBERS:
        return tuple(text.format(**values) for text in NUMBERS[layer.kind])  # type: ignore[return-value]
    return f"f({number(z)})", f"f'({number(z)})"


def slope_of(layer: Layer, z: float, y: float) -> float:
    """Return f'(z) of an activation; of a softmax ∂y_j/∂z_j."""
    assert isinstance(layer, Activation)
    if layer.kind == "softmax":
        return y * (1.0 - y)
    dy, x, out, dx = (np.array([[value]]) for value in (1.0, z, y, 0.0))
    backend = host()
    with backend.hold():
        return float(backend.activation_backward(layer.kind, dy, x, out, dx, layer.alpha)[0, 0])


# ----------------------------------------------------------------------------------------- loss


def of_loss(trace: LossTrace) -> tuple[str, str]:
    """Return the loss's formula as its class has it, and that of one number with its gradient."""
    plain = LOSSES[trace.kind].plain.__doc__ if trace.kind else None
    each = " ".join((plain or "").split("\n\n")[0].split()).rstrip(".")
    return summary(type(trace.loss)).rstrip("."), each


def row_losses(trace: LossTrace) -> list[float]:
    """Return the loss of each row; their mean is the loss without the terms of layers."""
    backend, found = host(), []
    with backend.hold():
        for row in range(len(trace.y_pred)):
            value = np.empty(1, trace.y_pred.dtype)
            part = slice(row, row + 1)
            trace.loss.evaluate(
                backend, trace.y_true[part], trace.y_pred[part], value, None, None, trace.kind or None
            )
            found.append(float(value[0]))
    return found


def loss_numbers(trace: LossTrace, row: int, unit: int) -> str:
    """Return ∂L/∂p for one number with numbers in its formula; empty if the formula is not a short one."""
    p, y = trace.y_pred, dense_targets(trace.y_true, trace.y_pred)
    if y is None or trace.loss.label_smoothing:
        return ""
    a, b = float(p.reshape(len(p), -1)[row, unit]), float(y.reshape(len(p), -1)[row, unit])
    size = _size(trace.loss, trace.kind, p)
    if trace.kind == "squared_error":
        return f"2 ({number(a)} − {factor(b)}) / {size}"
    if trace.kind == "absolute_error":
        return f"sign({number(a)} − {factor(b)}) / {size}"
    if trace.kind == "binary_cross_entropy_from_logits":
        return f"(σ({number(a)}) − {number(b)}) / {size}"
    if trace.kind == "categorical_cross_entropy_from_logits":
        row_of = np.asarray(p, np.float64).reshape(-1, p.shape[-1])[unit // p.shape[-1]
            + row * (p[0].size // p.shape[-1])]  # fmt: skip
        share = np.exp(row_of - row_of.max())
        return f"({number(share[unit % p.shape[-1]] / share.sum())} − {number(b)}) / {size}"
    return ""


def dense_targets(y: HostArray, p: HostArray) -> HostArray | None:
    """Return targets in the shape of the predictions, labels as rows with a one; None if they do not fit."""
    if y.shape == p.shape:
        return y
    if y.shape == p.shape[:-1] and y.dtype.kind in "iu":
        return np.eye(p.shape[-1])[y]
    return None


def _size(loss: Loss, kind: str, p: HostArray) -> int:
    """Return by what the gradient of one number is divided: the numbers that the loss averages over."""
    if "categorical" in kind:
        return int(p.size // p.shape[-1])
    return len(p) if loss.sums_features else int(p.size)
