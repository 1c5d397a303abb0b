"""Parts of the files in Python and JavaScript: stored numbers, names, and the functions that they need."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from nnx.standalone.program import HostArray, Program

TOLERANCES = {"float32": 1e-4, "float64": 1e-9}  # of the self-check, as a share of the largest answers
FEW = 24  # numbers: a table of so many is written as numbers, a larger one as base64
WIDTH = 100  # characters of a line of base64
MOST_NAMES = 200  # names of inputs or outputs: longer lists are left out


def encoded(values: HostArray) -> tuple[str, list[str]]:
    """Return the kind of a table's numbers, f or d, and its bytes as lines of base64."""
    single = values.dtype == np.float32
    stored = np.ascontiguousarray(values, "<f4" if single else "<f8")
    text = base64.b64encode(stored.tobytes()).decode("ascii")
    return "f" if single else "d", [text[i : i + WIDTH] for i in range(0, len(text), WIDTH)]


def names_of(program: Program) -> dict[str, list[str]]:
    """Return the names of a file's inputs and outputs, by the name of the list."""
    meaning = program.meaning
    outputs = meaning.features if meaning.task == "autoencoding" else meaning.targets
    found = {"FEATURES": meaning.features, "CLASSES": meaning.classes}
    if not meaning.classes and len(outputs) == program.outputs:
        found["OUTPUTS"] = outputs
    return {
        name: list(texts)
        for name, texts in found.items()
        if texts and (name == "CLASSES" or len(texts) <= MOST_NAMES)
    }


def listed(items: Iterable[str]) -> str:
    """Return a list of expressions, in lines of a readable length."""
    items = list(items)
    text = ", ".join(items)
    if len(text) <= WIDTH:
        return f"[{text}]"
    lines = [""]
    for item in items:
        if len(lines[-1]) + len(item) > WIDTH:
            lines.append("")
        lines[-1] += f"{item}, "
    inner = "\n".join(line.rstrip() for line in lines if line).replace("\n", "\n    ")
    return f"[\n    {inner}\n]"


def literal(values: HostArray) -> str:
    """Return nested lists of numbers, which are the same in Python and in JavaScript."""
    items = [repr(float(one)) if one.ndim == 0 else literal(one) for one in map(np.asarray, values)]
    return listed(items)


def needed(code: str, parts: Mapping[str, str], words: Callable[[str], set[str]]) -> list[str]:
    """Return the names of the parts that some code uses, directly or through other parts, in their order.

    Parameters
    ----------
    code : str
    parts : mapping of str to str
        The text of each part.
    words : callable
        Returns the names that a text uses.
    """
    used: set[str] = set()
    waiting = [code]
    while waiting:
        names = words(waiting.pop())
        new = [name for name in parts if name in names and name not in used]
        used.update(new)
        waiting += [parts[name] for name in new]
    return [name for name in parts if name in used]
