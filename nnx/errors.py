"""The errors nnx raises for what a caller can mend: one line that says what, where and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class NnxError(Exception):
    """Base of every error nnx raises on purpose; the command line prints its text without a traceback."""


class DataError(NnxError, ValueError):
    """Input arrays or files that nnx cannot accept: shape, dtype, range, checksum, truncation."""


class DeviceError(NnxError, RuntimeError):
    """A device that was asked for cannot be used; the text names the missing piece and its remedy."""


class ConfigurationError(NnxError, ValueError):
    """An option, layer or combination of them that makes no sense; the text names the nearest valid one."""


class TrainingError(NnxError, ArithmeticError):
    """Training met a value that is not finite; the text names epoch, batch and the first layer at fault."""


class FileFormatError(NnxError, ValueError):
    """A model or run file that is damaged, of another version, or does not fit."""


class MissingLibraryError(NnxError, ImportError):
    """An optional library that is needed here is not installed, or cannot be imported."""


class OutOfMemoryError(NnxError, MemoryError):
    """Memory of the host that is not there; the text says what takes how much, and what takes less."""


class OutputError(NnxError, OSError):
    """A file or folder that cannot be written."""


class RankError(NnxError, RuntimeError):
    """A process of a distributed job that does not come, or does not fit the others; the text names it."""


class GradientError(NnxError, AssertionError):
    """A gradient check that failed; the text names the tensor and both derivatives."""


def nearest(name: str, known: Iterable[str]) -> str:
    """``": did you mean 'adam'?"``, or the known names where none is near."""
    names = [shown(name) for name in known]
    near = difflib.get_close_matches(shown(name.lower()), names, n=1)
    listed = [*names[:20], "…"] if len(names) > 20 else names
    return f": did you mean {near[0]!r}?" if near else f": choose from {', '.join(listed)}"


def shown(text: str, most: int = 60) -> str:
    """A text from somebody's file as a message may hold it: one line, not long, nothing a terminal obeys."""
    return printable(text if len(text) <= most else f"{text[: most - 1]}…")


def printable(text: str) -> str:
    """A text without what a terminal would obey: escape sequences and the like are written out."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def whole(what: str, value: Any, least: int = 1) -> int:
    """A number that counts something.

    Raises
    ------
    ConfigurationError
        If it is no integer, or less than `least` (1 or 0).
    """
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < least:
        kind = "positive" if least else "non-negative"
        raise ConfigurationError(f"{what} must be a {kind} integer, not {value!r}")
    return int(value)
