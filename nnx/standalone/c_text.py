"""Write values, names and comments as C, and take functions from ``steps.c``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import resources
from typing import Any

import numpy as np

from nnx.errors import ConfigurationError
from nnx.standalone.program import HostArray

TYPES: dict[str, np.dtype[Any]] = {
    "float": np.dtype(np.float32),
    "double": np.dtype(np.float64),
    "int32_t": np.dtype(np.int32),
}
LINE = 8  # numbers in a line of a table
_SPELLED = {"×": "x", "−": "-", "·": "*", "≥": ">=", "≤": "<="}
_PARTS = re.compile(r"^/\* @ (\w+)(?: needs ([\w ]+))? \*/\n", re.MULTILINE)


def literal(value: Any, kind: str) -> str:
    """Return a number as C text that gives exactly this number: floats are hexadecimal.

    Examples
    --------
    >>> literal(0.1, "double"), literal(-2.0, "float"), literal(7, "int32_t")
    ('0x1.999999999999ap-4', '-0x1p+1f', '7')
    """
    if kind == "int32_t":
        return str(int(value))
    mantissa, _, exponent = float(value).hex().partition("p")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}p{exponent}{'f' if kind == 'float' else ''}"


def braces(values: HostArray, kind: str, what: str) -> str:
    """Return an array's numbers as a C initializer.

    Raises
    ------
    ConfigurationError
        If a number is too large for the type.
    """
    with np.errstate(over="ignore"):
        written = np.asarray(values).astype(TYPES[kind])
    if kind != "int32_t" and not np.isfinite(written).all():
        raise ConfigurationError(
            f'{what} has numbers that are too large for float: use --type double (type="double" in Python)'
        )
    if kind == "int32_t" and (written != values).any():
        raise ConfigurationError(f"{what} has integers that are too large for C's int32_t")
    texts = [literal(value, kind) for value in written.tolist()]
    lines = [", ".join(texts[start : start + LINE]) for start in range(0, len(texts), LINE)]
    return "{\n    " + ",\n    ".join(lines) + "}"


def identifier(name: str) -> str:
    """Return a name of nnx, such as ``residual_1.dense_2.W``, as a name in C."""
    return name.replace(".", "_")


def prefix(stem: str) -> str:
    """Return the start of all names in a file, from the file's name: a C identifier of ASCII letters.

    Examples
    --------
    >>> prefix("iris model-2"), prefix("3d"), prefix("été")
    ('iris_model_2', 'model_3d', 't')
    """
    name = re.sub(r"[^A-Za-z0-9]+", "_", stem).strip("_")
    return name if name[:1].isalpha() else f"model_{name}".rstrip("_")


def comment(text: str) -> str:
    """Return text in one line of ASCII that may stand in a C comment.

    The text cannot begin or end a comment. It has no trigraph and no backslash: C reads both in comments too.
    """
    for sign, spelled in _SPELLED.items():
        text = text.replace(sign, spelled)
    text = "".join(sign if " " <= sign <= "~" and sign != "\\" else "?" for sign in text)
    for pair in ("/*", "*/", "??", "//"):
        while pair in text:
            text = text.replace(pair, f"{pair[0]} {pair[1]}")
    return text


def string(text: str) -> str:
    """Return text as a C string of UTF-8 bytes; other signs than simple ones become octal escapes."""
    plain = set(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _-+.,:;()[]=<>/*!#&")
    encoded = text.encode("utf-8", "backslashreplace")
    return '"' + "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in encoded) + '"'


def functions(used: Iterable[str]) -> list[str]:
    """Return the C text of functions of ``steps.c``, each after the functions that it calls."""
    source = resources.files("nnx.standalone").joinpath("steps.c").read_text(encoding="utf-8")
    pieces = _PARTS.split(source)[1:]
    known = {
        name: (needs, text.rstrip())
        for name, needs, text in zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True)
    }
    found: dict[str, str] = {}

    def take(name: str) -> None:
        needs, text = known[name]
        for one in (needs or "").split():
            take(one)
        found[name] = text + "\n"

    for name in used:
        take(name)
    return list(found.values())
