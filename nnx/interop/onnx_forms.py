"""Recognize layers written as several operators: GELU by Erf, LayerNorm by ReduceMean, Softplus by Where."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np

from nnx.errors import ConfigurationError
from nnx.interop.affine import scale_by
from nnx.interop.algebra import (
    BASE,
    POSITIVE,
    Algebra,
    Poly,
    UnknownFormulaError,
    constant,
    plus,
    same,
    scaled,
)
from nnx.interop.parts import Part
from nnx.layers import ELU, GELU, LayerNorm, LeakyReLU, Mish, ReLU, Sigmoid, SiLU, Softmax, Softplus

HostArray = np.ndarray[Any, Any]
Operand = Poly | HostArray  # what depends on the data, or a constant

FUNCTIONS = ("Erf", "Tanh", "Sigmoid", "Softplus", "Exp", "Log")
REDUCTIONS = ("ReduceMean", "ReduceSum", "ReduceMax")
FLOATS = (1, 11)  # ONNX's numbers for float32 and float64
FAR = 15.0  # for larger x, log(1 + eˣ) equals x in float32


def formula(algebra: Algebra, node: Any, operands: Sequence[Operand], attributes: Any, rank: int) -> Poly:
    """Return what a node computes; raise UnknownFormulaError for an operator in no known form of a layer."""
    kind = node.op_type
    if kind in REDUCTIONS:
        return _reduced(algebra, kind, operands, attributes, rank)
    if kind in ("Softmax", "LogSoftmax"):
        if rank != 2 or attributes.get("axis", -1) not in (-1, 1):
            raise UnknownFormulaError(kind)
        return algebra.apply(kind, _poly(operands[0], rank))
    if kind == "Pow" and isinstance(operands[1], np.ndarray) and operands[1].size == 1:
        return algebra.power(_poly(operands[0], rank), float(operands[1].item()))
    if (kind == "Max" and len(operands) != 2) or (kind == "Cast" and attributes.get("to") not in FLOATS):
        raise UnknownFormulaError(kind)
    values = [_poly(operand, rank) for operand in operands]
    if kind in FUNCTIONS:
        return algebra.apply(kind, values[0])
    if kind == "Elu":
        return algebra.apply(kind, values[0], round(float(attributes.get("alpha", 1.0)), 6))
    if kind in OPERATORS:
        return OPERATORS[kind](algebra, *values)
    if kind in COMPARISONS:
        return COMPARISONS[kind](algebra, *values)
    raise UnknownFormulaError(kind)


def _poly(operand: Operand, rank: int) -> Poly:
    if not isinstance(operand, np.ndarray):
        return operand
    if operand.size != (operand.shape[-1] if operand.ndim else 1) or operand.ndim > rank:
        raise UnknownFormulaError("a constant that is not a row")
    if not (operand.dtype.kind == "f" and np.isfinite(operand).all()):
        raise UnknownFormulaError("a constant that is not finite")
    return constant(operand.reshape(-1))


def _reduced(algebra: Algebra, kind: str, operands: Sequence[Operand], attributes: Any, rank: int) -> Poly:
    axes: Any = operands[1] if len(operands) > 1 else attributes.get("axes")
    axes = None if axes is None else np.atleast_1d(axes).tolist()
    if axes not in ([-1], [rank - 1]) or not attributes.get("keepdims", 1):
        raise UnknownFormulaError("a reduction that is not over the features")
    return algebra.apply(kind, _poly(operands[0], rank))


def _minus(algebra: Algebra, a: Poly, b: Poly) -> Poly:
    return plus(a, scaled(b, -1.0))


def _divide(algebra: Algebra, a: Poly, b: Poly) -> Poly:
    return algebra.times(a, algebra.power(b, -1.0))


def _relu(algebra: Algebra, a: Poly) -> Poly:
    return algebra.times(a, algebra.apply(POSITIVE, a))


OPERATORS: dict[str, Callable[..., Poly]] = {
    "Add": lambda algebra, a, b: plus(a, b),
    "Sum": lambda algebra, *terms: reduce(plus, terms),
    "Sub": _minus,
    "Mul": lambda algebra, a, b: algebra.times(a, b),
    "Div": _divide,
    "Neg": lambda algebra, a: scaled(a, -1.0),
    "Sqrt": lambda algebra, a: algebra.power(a, 0.5),
    "Reciprocal": lambda algebra, a: algebra.power(a, -1.0),
    "Relu": _relu,
    "Max": lambda algebra, a, b: algebra.where(algebra.apply(POSITIVE, _minus(algebra, a, b)), a, b),
    "Where": lambda algebra, c, a, b: algebra.where(c, a, b),
    "Not": lambda algebra, a: plus(constant(1.0), scaled(a, -1.0)),
    "Cast": lambda algebra, a: a,
    "Identity": lambda algebra, a: a,
}

COMPARISONS: dict[str, Callable[[Algebra, Poly, Poly], Poly]] = {
    "Greater": lambda algebra, a, b: algebra.apply(POSITIVE, _minus(algebra, a, b)),
    "Less": lambda algebra, a, b: algebra.apply(POSITIVE, _minus(algebra, b, a)),
    "GreaterOrEqual": lambda algebra, a, b: OPERATORS["Not"](algebra, COMPARISONS["Less"](algebra, a, b)),
    "LessOrEqual": lambda algebra, a, b: OPERATORS["Not"](algebra, COMPARISONS["Greater"](algebra, a, b)),
}


# --------------------------------------------------------------------------------- formulas of the layers


def recognized(algebra: Algebra, y: Poly) -> list[Part] | None:
    """Return the layers that compute a formula, or None if no layer does; refuse log_softmax."""
    for form in FORMS:
        parts = form(algebra, y)
        if parts is not None:
            return parts
    return None


def _without_constants(algebra: Algebra, y: Poly) -> list[Part] | None:
    """Recognize the layers without constants."""
    x, one, apply, times = algebra.x, constant(1.0), algebra.apply, algebra.times
    half = scaled(x, 0.5)
    cubic = plus(x, scaled(algebra.power(x, 3.0), 0.044715))
    if same(y, times(half, plus(one, apply("Erf", scaled(x, math.sqrt(0.5)))))):
        return [Part(GELU(), {})]
    if same(y, times(half, plus(one, apply("Tanh", scaled(cubic, math.sqrt(2.0 / math.pi)))))):
        return [Part(GELU(approximate=True), {})]
    sigmoid = algebra.power(plus(one, apply("Exp", scaled(x, -1.0))), -1.0)
    if same(y, sigmoid):
        return [Part(Sigmoid(), {})]
    if same(y, times(x, apply("Sigmoid", x))) or same(y, times(x, sigmoid)):
        return [Part(SiLU(), {})]
    softplus = apply("Log", plus(one, apply("Exp", x)))
    if same(y, softplus):
        return [Part(Softplus(), {})]
    if any(same(y, times(x, apply("Tanh", inner))) for inner in (apply("Softplus", x), softplus)):
        return [Part(Mish(), {})]
    return None


def _softmax(algebra: Algebra, y: Poly) -> list[Part] | None:
    largest = algebra.apply("ReduceMax", algebra.x)
    for shifted in (algebra.x, _minus(algebra, algebra.x, largest)):
        e = algebra.apply("Exp", shifted)
        total = algebra.apply("ReduceSum", e)
        softmax = _divide(algebra, e, total)
        if same(y, softmax):
            return [Part(Softmax(), {})]
        logarithms = (algebra.apply("Log", softmax), _minus(algebra, shifted, algebra.apply("Log", total)))
        if any(same(y, logarithm) for logarithm in logarithms):
            raise ConfigurationError(NO_LOG_SOFTMAX)
    if same(y, algebra.apply("Log", algebra.apply("Softmax", algebra.x))):
        raise ConfigurationError(NO_LOG_SOFTMAX)
    if same(y, algebra.apply("Exp", algebra.apply("LogSoftmax", algebra.x))):
        return [Part(Softmax(), {})]
    return None


NO_LOG_SOFTMAX = "nnx has no LogSoftmax: use Softmax in its place, remove it, or add Exp after it"


def _sloped(algebra: Algebra, y: Poly) -> list[Part] | None:
    """Recognize ReLU and LeakyReLU: α x where x is not positive."""
    x = algebra.x
    if same(y, _relu(algebra, x)):
        return [Part(ReLU(), {})]
    positive, negative = (algebra.apply(POSITIVE, scaled(x, sign)) for sign in (1.0, -1.0))
    numbers = _numbers(y)
    for slope in numbers | {1.0 + number for number in numbers}:
        leaky = scaled(x, slope)
        forms = (
            algebra.where(positive, x, leaky),  # Where(x > 0, x, α x), and Max(x, α x)
            algebra.where(negative, leaky, x),  # Where(x < 0, α x, x), and Max(α x, x)
            plus(algebra.times(x, positive), algebra.times(leaky, negative)),  # Relu(x) - α Relu(-x)
        )
        if slope > 0.0 and not same(y, x) and any(same(y, form) for form in forms):
            return [Part(LeakyReLU(_written(slope)), {})]
    return None


def _elu(algebra: Algebra, y: Poly) -> list[Part] | None:
    """Recognize an ELU whose negative side is scaled by another operator."""
    x, positive = algebra.x, algebra.apply(POSITIVE, algebra.x)
    negative = algebra.apply(POSITIVE, scaled(x, -1.0))
    written_out = plus(algebra.apply("Exp", x), constant(-1.0))
    for alpha in {abs(number) for number in _numbers(y)}:
        left = scaled(algebra.apply("Elu", x, 1.0), alpha)
        forms = (
            algebra.where(positive, algebra.apply("Elu", x, 1.0), left),
            algebra.where(positive, x, scaled(written_out, alpha)),
            algebra.where(negative, scaled(written_out, alpha), x),
        )
        if any(same(y, form) for form in forms):
            return [Part(ELU(_written(alpha)), {})]
    return None


def _softplus(algebra: Algebra, y: Poly) -> list[Part] | None:
    """Recognize Softplus(β x) / β, replaced by x where β x is large."""
    for atom in list(algebra.atoms):
        if atom.kind != "Softplus" or list(atom.argument) != [((0, 1.0),)]:
            continue
        beta = _uniform(next(iter(atom.argument.values())))
        if beta is None or beta <= 0.0:
            continue
        smooth = scaled(algebra.apply("Softplus", atom.argument), 1.0 / beta)
        for far in list(algebra.atoms):
            limit = _uniform(far.argument.get((), np.zeros(2)))
            if far.kind == POSITIVE and limit is not None and limit <= -FAR:
                right = algebra.apply(POSITIVE, plus(atom.argument, constant(limit)))
                if same(y, algebra.where(right, algebra.x, smooth)):
                    core = [Part(Softplus(), {})]
                    return core if beta == 1.0 else scale_by([*scale_by([], beta), *core], 1.0 / beta)
    return None


def _layer_norm(algebra: Algebra, y: Poly) -> list[Part] | None:
    """Recognize γ (x - μ) / √(σ² + ε) + β."""
    centred = _minus(algebra, algebra.x, algebra.apply("ReduceMean", algebra.x))
    variance = algebra.apply("ReduceMean", algebra.times(centred, centred))
    for atom in list(algebra.atoms):
        epsilon = _uniform(atom.argument.get((), np.zeros(1)))
        if atom.kind != BASE or epsilon is None or not same(atom.argument, plus(variance, constant(epsilon))):
            continue
        normalized = algebra.times(centred, algebra.power(atom.argument, -0.5))
        beta = y.get((), np.zeros(1))
        gamma = next((y[m] / normalized[m] for m in normalized if m in y), None)
        if gamma is not None and same(y, plus(scaled(normalized, gamma), constant(beta))):
            return [Part(LayerNorm(_written(epsilon)), {"gamma": gamma, "beta": beta})]
    return None


def _numbers(y: Poly) -> set[float]:
    """Return the coefficients that are the same for every feature."""
    return {number for number in map(_uniform, y.values()) if number is not None}


def _uniform(value: HostArray) -> float | None:
    """Return the number that all elements of an array equal, or None."""
    return float(value.flat[0]) if bool((value == value.flat[0]).all()) else None


def _written(value: float) -> float:
    """Return a constant as it was written, before it was stored in 32 bits."""
    return float(str(np.float32(value)))


FORMS = (_without_constants, _softmax, _sloped, _elu, _softplus, _layer_norm)
