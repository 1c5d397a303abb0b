"""Define nnx's errors, for what a caller can fix: one line that says what is wrong, where, and what to do."""

from __future__ import annotations

import decimal
import difflib
import inspect
import json
import math
import numbers
import operator
import os
from collections.abc import Iterable, Mapping
from typing import Any


class NnxError(Exception):
    """Base of all errors that nnx raises on purpose; the command line prints them without a traceback."""


class DataError(NnxError, ValueError):
    """Data that nnx cannot use: wrong shape, dtype, range or checksum, or a file that is cut short."""


class DeviceError(NnxError, RuntimeError):
    """A device that cannot be used. The text names what is missing and how to install it."""


class ConfigurationError(NnxError, ValueError):
    """An option, layer or combination that is not valid; for a wrong name, the text suggests another."""


class TrainingError(NnxError, ArithmeticError):
    """A value in training is not finite; the text names the epoch, the batch and the layer."""


class FileFormatError(NnxError, ValueError):
    """A model file or run file is damaged, has another version, or does not fit."""


class MissingLibraryError(NnxError, ImportError):
    """An optional library that is needed here is not installed, or cannot be imported."""


class OutOfMemoryError(NnxError, MemoryError):
    """The host has too little memory. The text says what needs how much, and what needs less."""


class OutputError(NnxError, OSError):
    """A file or folder cannot be written."""


class RankError(NnxError, RuntimeError):
    """A process of a distributed job does not respond, or does not match the others. The text names it."""


class GradientError(NnxError, AssertionError):
    """A gradient check failed. The text names the tensor and shows both derivatives."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``": did you mean 'adam'?"``, or the list of known names if none is similar."""
    names = [shown(name) for name in known]
    exact, lower = (difflib.get_close_matches(shown(text), names, n=1) for text in (name, name.lower()))
    near = exact or lower
    if not near and len(name) > 2:  # a shortened name, such as acc
        near = [known for known in names if known.startswith(name.lower())][:1]
    listed = [*names[:20], "…"] if len(names) > 20 else names
    return f": did you mean {near[0]!r}?" if near else f": choose from {', '.join(listed)}"


def counted(count: int, what: str) -> str:
    """Return a count with its noun: ``"1 row"``, ``"2,000 rows"``."""
    return f"{count:,} {what}" + ("" if count == 1 else "s")


def shown(text: str, most: int = 60) -> str:
    """Shorten a text from a user's file so that an error can print it: one line, safe for a terminal."""
    return printable(text if len(text) <= most else f"{text[: most - 1]}…")


def printable(text: str) -> str:
    """Replace escape sequences and other characters that a terminal would act on by their codes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def whole(what: str, value: Any, least: int = 1) -> int:
    """Return a setting that counts something as an int. Integers of NumPy and PyTorch are accepted.

    Raises
    ------
    ConfigurationError
        If it is not an integer (4.0 and True are not), or is less than `least` (1 or 0).
    """
    try:
        count = operator.index(value) if _single(value) and not _logical(value) else -1
    except (TypeError, ValueError, RuntimeError):  # PyTorch raises RuntimeError for a tensor without a value
        count = -1
    if count < least:
        kind = "positive" if least else "non-negative"
        raise ConfigurationError(f"{what} must be a {kind} integer, not {_repr(value)}")
    return count


def number(what: str, value: Any, interval: str = "(-inf, inf)") -> float:
    """Return a numeric setting as a float. Scalars of NumPy and PyTorch, Fraction and Decimal are accepted.

    Parameters
    ----------
    interval : str
        The allowed range in mathematical notation: ``"[0, 1)"``. Infinity is never allowed.

    Raises
    ------
    ConfigurationError
        If it is not a number (True is not), not finite, or outside the interval.
    """
    try:
        known = _single(value) and not _logical(value) and hasattr(value, "__float__")
        result = float(value) if known else math.nan
    except (TypeError, ValueError, RuntimeError, OverflowError):
        result = math.nan
    low, high = (float(end) for end in interval[1:-1].split(","))
    above = result >= low if interval[0] == "[" else result > low
    below = result <= high if interval[-1] == "]" else result < high
    if not (math.isfinite(result) and above and below):
        asked = "be a finite number" if interval == "(-inf, inf)" else f"lie in {interval}"
        raise ConfigurationError(f"{what} must {asked}, not {_repr(value)}")
    return result


def flag(what: str, value: Any) -> bool:
    """Return a yes-or-no setting as a bool. Booleans of NumPy and PyTorch, 0 and 1 are accepted.

    Raises
    ------
    ConfigurationError
        If it is anything else; the text "False", for example, would count as true.
    """
    known = _single(value) and (_logical(value) or isinstance(value, numbers.Integral))
    if not known or value not in (0, 1):
        raise ConfigurationError(f"{what} must be True or False, not {_repr(value)}")
    return bool(value)


def plain(what: str, value: Any) -> Any:
    """Return a value in the form JSON stores: scalars as Python numbers, paths as text, tuples as lists.

    Raises
    ------
    ConfigurationError
        If JSON cannot store it, or two keys of a mapping become the same key in JSON (1 and "1").
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (str, os.PathLike)):
        return str(os.fsdecode(value))
    try:
        if isinstance(value, Mapping):
            keys = [_key(what, key) for key in value]
            if len(set(keys)) < len(keys):
                raise ConfigurationError(f"{what} has two keys that JSON sees as one: {_repr(list(value))}")
            values = zip(keys, value.values(), strict=True)
            return {key: plain(f"{what}[{key!r:.40}]", v) for key, v in values}
        if isinstance(value, (list, tuple)):
            return [plain(f"{what}[{place}]", v) for place, v in enumerate(value)]
    except RecursionError:
        raise ConfigurationError(f"{shown(what)} is nested too deeply, or contains itself") from None
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, (numbers.Real, decimal.Decimal)):
        return float(value)
    if hasattr(value, "dtype") and hasattr(value, "item") and _single(value):
        return plain(what, value.item())
    raise ConfigurationError(
        f"{what} has the type {type(value).__name__}, which JSON cannot store: "
        "use numbers, text, lists or dicts"
    )


def _key(what: str, key: Any) -> str:
    """Return a mapping's key as JSON writes it."""
    if isinstance(key, str):
        return str(key)
    known = plain(f"a key of {what}", key)
    if isinstance(known, list):
        raise ConfigurationError(f"a key of {what} must be text or a number, not {_repr(key)}")
    return known if isinstance(known, str) else json.dumps(known)


def _single(value: Any) -> bool:
    """Return whether a value is one real number; an array with dimensions is not, even with one element."""
    dtype = getattr(value, "dtype", "")
    real = getattr(dtype, "kind", "f") in "biuf" and "complex" not in str(dtype)  # PyTorch's have no `kind`
    return real and not getattr(value, "ndim", 0)


def _logical(value: Any) -> bool:
    """Return whether a value is True or False, of Python, NumPy or PyTorch."""
    return isinstance(value, bool) or str(getattr(value, "dtype", "")).removeprefix("torch.") == "bool"


def _repr(value: Any) -> str:
    """Return `repr(value)` for an error message, on one line and not too long."""
    return shown(" ".join(repr(value).split()), 100)


def whole_config(thing: Any) -> dict[str, Any]:
    """Return ``thing.config()`` after checking that it names every argument of the constructor.

    A copy or a saved file of a user's class would silently use the default of an argument that is missing.

    Raises
    ------
    ConfigurationError
        If an argument of the constructor is missing, or the constructor does not accept one that is there.
    """
    config: dict[str, Any] = thing.config()
    kind = type(thing)
    takes: list[str] = []
    wanted: list[str] = []
    trusted: set[str] = set()  # nnx's own classes may leave out arguments at their defaults
    open_ended = True  # True while all constructors so far pass **options on
    for base in kind.__mro__[:-1]:
        if "__init__" not in vars(base):
            continue
        arguments = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
        names = [one.name for one in arguments if one.kind is not one.VAR_KEYWORD]
        own = base.__module__.partition(".")[0] == "nnx"
        if own:
            trusted.update(names)
        if open_ended:
            takes += names
            wanted += [] if own else names
            open_ended = any(one.kind is one.VAR_KEYWORD for one in arguments)
    missing = [name for name in wanted if name not in config and name not in trusted]
    if missing:
        name = missing[0]
        raise ConfigurationError(
            f"{kind.__name__}: config() must return the constructor's argument {name!r}, or copies and saved "
            f"files would use its default: def config(self): return {{{name!r}: self.{name}}}"
        )
    odd = [name for name in config if name not in takes]
    if odd and not open_ended:
        raise ConfigurationError(
            f"{kind.__name__}: config() returns {odd[0]!r}, which its constructor does not accept"
        )
    return config
