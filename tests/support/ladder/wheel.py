"""CuPy's real wheel, asked without a driver: which names it has, and how each may be called.

``python -I wheel.py`` prints the answers as JSON, for the stand-in, which is called ``cupy`` too and so
cannot import the real one beside itself.
"""

from __future__ import annotations

import functools
import inspect
import json
import re
import sys
from typing import Any

UFUNC_KEYWORDS = ("out", "dtype", "casting", "where", "order", "subok", "initial", "axis", "keepdims")
MODULES = ("cupy", "cupy.cuda", "cupy.cuda.runtime", "cupy.cuda.memory", "cupyx", "cupyx.scipy.special")
CLASSES = (
    "cupy.ndarray", "cupy.ElementwiseKernel", "cupy.RawKernel", "cupy.ReductionKernel", "cupy.cuda.Device",
    "cupy.cuda.Stream", "cupy.cuda.Event", "cupy.cuda.MemoryPool", "cupy.cuda.PinnedMemoryPool",
    "cupy.cuda.memory.OutOfMemoryError",
)  # fmt: skip


def signature(member: Any) -> inspect.Signature | None:
    """How `member` may be called, by its own word or by the first line of its docstring; None if unknown.

    For a class, how it is made; for a method of an array, without ``self``.
    """
    documented = _documented(member)
    if documented is not None:
        return documented
    try:
        found = inspect.signature(member)
    except (TypeError, ValueError):
        return None
    return _without_self(found)


def _documented(member: Any) -> inspect.Signature | None:
    """Of Cython's methods: ``_ndarray_base.take(self, indices, axis=None, out=None) -> …``."""
    name = getattr(member, "__name__", "")
    line = (getattr(member, "__doc__", None) or "").strip().splitlines()[:1]
    match = re.match(rf"(?:\w+\.)*{re.escape(name)}\((.*)\)(?: *->.*)?$", line[0]) if line and name else None
    if match is None:
        return None
    # C types before names (``_ndarray_base b``), and ``double x=1``
    plain = re.sub(r"(?<![=\w*.])(?:[\w.]+ )+(?=\w+\s*(?:[,=)]|$))", "", match[1])
    plain = re.sub(r"=\s*<[^>]*>", "=None", plain)
    try:
        scope: dict[str, Any] = {}
        exec(f"from __future__ import annotations\ndef f({plain}): pass", scope)
    except (SyntaxError, NameError):  # a default that is no literal
        return None
    return _without_self(inspect.signature(scope["f"]))


def _without_self(found: inspect.Signature) -> inspect.Signature:
    parameters = [p.replace(annotation=p.empty) for p in found.parameters.values()]
    if parameters and parameters[0].name == "self":
        parameters = parameters[1:]
    return inspect.Signature(parameters)


def resolve(name: str) -> Any:
    """The thing that a dotted name stands for; ``f()`` is what a call of f gives, as its class.

    Raises
    ------
    AttributeError
        If there is none.
    """
    import importlib

    first, *rest = name.split(".")
    value: Any = importlib.import_module(first)
    path = first
    for part in rest:
        attribute = part.removesuffix("()")
        path = f"{path}.{attribute}"
        if inspect.ismodule(value) and not hasattr(value, attribute):
            try:
                value = importlib.import_module(path)
            except ImportError:
                raise AttributeError(f"CuPy has no {name}") from None
        else:
            value = getattr(value, attribute)
        if part.endswith("()"):
            value = _given_by(value)
    return value


def _given_by(function: Any) -> Any:
    """The class of what a call gives: a class its own; a function without arguments is called."""
    import cupy

    if inspect.isclass(function):
        return function
    known = signature(function)
    if known is not None and not known.parameters:
        return type(function())
    return cupy.ndarray


@functools.cache
def ufunc_keywords(name: str) -> tuple[str, ...]:
    """The keywords that a ufunc takes: those that it does not refuse before it asks for a device."""
    ufunc = resolve(name)
    taken = []
    for keyword in UFUNC_KEYWORDS:
        try:
            ufunc(*[1.0] * ufunc.nin, **{keyword: "same_kind" if keyword == "casting" else None})
        except TypeError as error:
            if "Wrong arguments" not in str(error):  # "bad operand type": asked later than keywords are
                taken.append(keyword)
            continue
        except Exception as error:
            if type(error).__name__ != "CUDARuntimeError":
                raise
        taken.append(keyword)
    return tuple(taken)


def is_ufunc(member: Any) -> bool:
    """Whether it is one of CuPy's elementwise functions."""
    return type(member).__name__ == "ufunc"


def describe() -> dict[str, Any]:
    """Everything the stand-in wants to know, as JSON can hold it: names, and for each its kind and call."""
    import cupy

    found: dict[str, Any] = {}
    for module in MODULES:
        for name in dir(resolve(module)):
            if not name.startswith("_"):
                found[f"{module}.{name}"] = _described(f"{module}.{name}")
    for owner in CLASSES:
        found[owner] = _described(owner)
        for name in dir(resolve(owner)):
            found[f"{owner}.{name}"] = _described(f"{owner}.{name}")
    return {"version": cupy.__version__, "names": found}


def _described(name: str) -> dict[str, Any]:
    member = resolve(name)
    if is_ufunc(member):
        return {"kind": "ufunc", "nin": member.nin, "nout": member.nout, "types": list(member.types),
                "keywords": ufunc_keywords(name)}  # fmt: skip
    if inspect.ismodule(member):
        return {"kind": "module"}
    known = signature(member) if callable(member) else None
    if known is None:
        return {"kind": "class" if inspect.isclass(member) else "other"}
    parameters = [
        [p.name, p.kind.name, p.default is not p.empty]
        for p in known.parameters.values()
    ]  # fmt: skip
    return {"kind": "class" if inspect.isclass(member) else "function", "parameters": parameters}


if __name__ == "__main__":
    json.dump(describe(), sys.stdout)
