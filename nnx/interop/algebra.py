"""Represent formulas as polynomials, so that two ways to write the same formula compare as equal.

The unknown x is one number of a row. A polynomial maps monomials to coefficients. A monomial is a product of
powers of atoms. An atom is x itself, or a function (erf, the mean of the row, …) of another polynomial.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Coefficient = np.ndarray[Any, Any]  # (1,), or (features,) where each feature has its own
Monomial = tuple[tuple[int, float], ...]  # pairs of atom and exponent, in order; () is the constant term
Poly = dict[Monomial, Coefficient]

ODD = ("Erf", "Tanh")  # f(-u) = -f(u)
POSITIVE = "Positive"  # 1 where its argument is positive, else 0
BASE = "Base"  # the base of a power whose exponent is not a positive whole number
MOST_TERMS = 64
RTOL = 1e-6  # constants in files have the precision of float32


class UnknownFormulaError(Exception):
    """A formula that this module cannot represent."""


class Atom(NamedTuple):
    """A function of a polynomial, with its constants."""

    kind: str
    argument: Poly
    constants: tuple[float, ...] = ()


class Algebra:
    """Compute with polynomials in x, and remember the atoms found so far."""

    def __init__(self) -> None:
        self.atoms = [Atom("x", {})]
        self.x: Poly = {((0, 1.0),): np.ones(1)}

    def apply(self, kind: str, argument: Poly, *constants: float) -> Poly:
        """f(argument)."""
        negative = bool(argument) and float(argument[min(argument)].flat[0]) < 0.0
        if kind in ODD and negative:
            return scaled(self.apply(kind, scaled(argument, -1.0), *constants), -1.0)
        if kind == POSITIVE and len(argument) == 1:  # the sign of c u is the sign of u or of -u
            argument = {monomial: np.sign(value) for monomial, value in argument.items()}
        return {((self._number(Atom(kind, argument, constants)), 1.0),): np.ones(1)}

    def _number(self, atom: Atom) -> int:
        for number, known in enumerate(self.atoms):
            if (known.kind, known.constants) == (atom.kind, atom.constants) and same(
                known.argument, atom.argument
            ):
                return number
        self.atoms.append(atom)
        return len(self.atoms) - 1

    def times(self, a: Poly, b: Poly) -> Poly:
        """a b, multiplied out."""
        result: Poly = {}
        for left, u in a.items():
            for right, v in b.items():
                result = plus(result, {self._product(left, right): u * v})
        return result

    def _product(self, a: Monomial, b: Monomial) -> Monomial:
        exponents = dict(a)
        for atom, exponent in b:
            before = exponents.get(atom, 0.0)
            if before * exponent < 0.0:
                raise UnknownFormulaError("u / u is not 1 everywhere")
            # an indicator (0 or 1) times itself is itself
            exponents[atom] = 1.0 if self.atoms[atom].kind == POSITIVE else before + exponent
        return tuple(sorted(exponents.items()))

    def power(self, a: Poly, exponent: float) -> Poly:
        """a to the power of 2, 3, ½, −½ or −1."""
        if exponent in (2.0, 3.0):
            square = self.times(a, a)
            return square if exponent == 2.0 else self.times(square, a)
        if exponent not in (0.5, -0.5, -1.0):
            raise UnknownFormulaError(f"a power of {exponent}")
        if list(a) == [()]:
            return {(): a[()] ** exponent}
        if len(a) == 1:
            ((monomial, factor),) = a.items()
            if len(monomial) == 1 and bool((factor == 1.0).all()):
                atom, inner = monomial[0]
                if self.atoms[atom].kind == BASE and (inner, exponent) in ((0.5, -1.0), (-1.0, 0.5)):
                    return {((atom, inner * exponent),): factor}
        return {((self._number(Atom(BASE, a)), exponent),): np.ones(1)}

    def where(self, condition: Poly, a: Poly, b: Poly) -> Poly:
        """a where the condition is 1, b where it is 0."""
        return plus(b, self.times(condition, plus(a, scaled(b, -1.0))))


def constant(value: Any) -> Poly:
    """Return a number, or a number for each feature, as a polynomial."""
    array = np.atleast_1d(np.asarray(value, np.float64))
    return {(): array} if array.any() else {}


def plus(a: Poly, b: Poly) -> Poly:
    """a + b."""
    result = dict(a)
    for monomial, coefficient in b.items():
        total = result.pop(monomial, 0.0) + coefficient
        if total.any():
            result[monomial] = total
    if len(result) > MOST_TERMS:
        raise UnknownFormulaError("a formula with too many terms")
    return result


def scaled(a: Poly, factor: Any) -> Poly:
    """factor · a."""
    return {monomial: value * factor for monomial, value in a.items() if (value * factor).any()}


def same(a: Poly, b: Poly) -> bool:
    """Return whether two polynomials have the same terms, within the precision of their constants."""
    if a.keys() != b.keys():
        return False
    for monomial, value in a.items():
        other = b[monomial]
        if 1 not in (value.size, other.size) and value.size != other.size:
            return False
        if not np.allclose(value, other, rtol=RTOL, atol=0.0):
            return False
    return True
