"""The steps of a program as calls of functions, which are the same in Python and in JavaScript.

A table is stored so that the innermost loop of its function runs along its last axis: the weights of a dense
layer with a row for each unit, those of a convolution with a row for each filter.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from nnx.standalone.program import INPUT, HostArray, Program, Step


class Value(NamedTuple):
    """A value of the program as an argument."""

    number: int


class Table(NamedTuple):
    """A stored table as an argument."""

    name: str


class Places(NamedTuple):
    """The places of all windows on an image as an argument."""

    name: str


@dataclass(frozen=True)
class Call:
    """A call of a function.

    Attributes
    ----------
    function : str
        Its name in Python.
    arguments : tuple
        Of `Value`, `Table`, `Places`, numbers, and tuples of these.
    target : int
        The value that it returns.
    each : bool
        Whether the function takes one number at a time, in files that do not compute with NumPy.
    comment : str
        The layer, as ASCII text in one line.
    """

    function: str
    arguments: tuple[Any, ...]
    target: int
    each: bool = False
    comment: str = ""


@dataclass
class Calls:
    """All calls of a program, and their constants.

    Attributes
    ----------
    calls : list of Call
    tables : dict of str to array
        The tables to store, by the names of their variables.
    derived : dict of str to str
        Variables that are the transposed matrix of another one.
    places : dict of str to tuple
        The arguments of `windows` for each variable with places.
    """

    calls: list[Call] = field(default_factory=list)
    tables: dict[str, HostArray] = field(default_factory=dict)
    derived: dict[str, str] = field(default_factory=dict)
    places: dict[str, tuple[Any, ...]] = field(default_factory=dict)

    def functions(self) -> set[str]:
        """Return the names of the functions that are called."""
        return {call.function for call in self.calls}


def calls_of(program: Program, taken: Iterable[str]) -> Calls:
    """Return the calls of a program.

    Parameters
    ----------
    program : Program
    taken : iterable of str
        Names of functions; no variable gets one of them.
    """
    made = _Maker(program, taken)
    for step in program.steps:
        made.step(step)
    return made.calls


class _Maker:
    """Makes calls of steps, and names their constants."""

    def __init__(self, program: Program, taken: Iterable[str]) -> None:
        self.program, self.taken = program, set(taken)
        self.calls = Calls()
        self.known: dict[tuple[str, str], str] = {}  # name of a table and its form: the variable
        self.windows: dict[Any, str] = {}

    def step(self, step: Step) -> None:
        """Add the call of a step."""
        function, arguments = ARGUMENTS[step.kind](self, step)
        each = step.kind == "activation"
        sources = () if step.kind == "concatenate" else tuple(map(Value, step.sources))
        self.calls.calls.append(
            Call(function, (*sources, *arguments), step.target, each, one_line(step.layer))
        )

    def table(self, step: Step, role: str, form: str = "", missing: Any = None) -> Any:
        """Return the variable of a step's table in a form; `missing` if the step does not have the table."""
        name = step.tables.get(role)
        if name is None:
            return missing
        if (name, form) not in self.known:
            self.known[name, form] = variable = self.variable(name)
            other = {"": "columns", "columns": ""}.get(form)
            if other is not None and (name, other) in self.known:
                self.calls.derived[variable] = self.known[name, other]
            else:
                self.calls.tables[variable] = np.ascontiguousarray(FORMS[form](self.program.tables[name]))
        return Table(self.known[name, form])

    def variable(self, name: str) -> str:
        """Return a new name of a variable that looks like the name of a table.

        It begins with a letter and contains a _, so it is no keyword or built-in name of either language.
        """
        wanted = re.sub(r"[^A-Za-z0-9]", "_", name)
        if not re.match(r"[A-Za-z].*_", wanted):
            wanted = f"table_{wanted}"
        found, number = wanted, 1
        while found in self.taken:
            number += 1
            found = f"{wanted}_{number}"
        self.taken.add(found)
        return found

    def places(self, step: Step) -> Places:
        """Return the variable with the places of a step's windows; equal windows share one."""
        windows = step.numbers["windows"]
        if windows not in self.windows:
            self.windows[windows] = variable = self.variable("window_places")
            fields = ("size", "kernel", "strides", "dilation", "before", "outputs")
            self.calls.places[variable] = tuple(tuple(map(int, getattr(windows, name))) for name in fields)
        return Places(self.windows[windows])


FORMS: dict[str, Callable[[HostArray], HostArray]] = {
    "": lambda W: W,
    "columns": lambda W: W.T,
    "groups": lambda W: W.swapaxes(1, 2),
    "filters": lambda W: W.reshape(-1, W.shape[-1]).T,
    "places": lambda W: W.reshape(-1, *W.shape[2:]).swapaxes(1, 2),
}

Found = tuple[str, tuple[Any, ...]]
Arguments = Callable[[_Maker, Step], Found]


def _given(function: str, *roles: str, numbers: tuple[str, ...] = ()) -> Arguments:
    """Return a step's tables as they are, then some of its numbers."""

    def arguments(made: _Maker, step: Step) -> Found:
        return function, (*(made.table(step, role) for role in roles), *(step.numbers[n] for n in numbers))

    return arguments


def _affine(made: _Maker, step: Step) -> Found:
    neutral = {"center": (0.0,), "factor": (1.0,), "offset": (0.0,)}
    return "affine", tuple(made.table(step, role, "", missing) for role, missing in neutral.items())


def _dense(form: str, function: str = "dense") -> Arguments:
    return lambda made, step: (function, (made.table(step, "W", form), made.table(step, "b")))


def _convolution(made: _Maker, step: Step) -> Found:
    b = made.table(step, "b", "", (0.0,) * step.numbers["filters"])
    W = made.table(step, "W", "filters")
    return "convolution", (W, b, made.places(step), step.numbers["channels"], step.numbers["groups"])


def _transposed_convolution(made: _Maker, step: Step) -> Found:
    b = made.table(step, "b", "", (0.0,) * step.numbers["filters"])
    W, size = made.table(step, "W", "places"), math.prod(step.numbers["windows"].size)
    return "transposed_convolution", (W, b, made.places(step), int(size))


def _pool(made: _Maker, step: Step) -> Found:
    return step.kind, (made.places(step), step.numbers["channels"])


def _activation(made: _Maker, step: Step) -> Found:
    name = step.numbers["name"]
    return name, (float(step.numbers["alpha"]),) if name in SLOPED else ()


def _concatenate(made: _Maker, step: Step) -> Found:
    return "concatenate", tuple(zip(map(Value, step.sources), step.numbers["widths"], strict=True))


SLOPED = ("leaky_relu", "elu")
ARGUMENTS: dict[str, Arguments] = {
    "standardize": _given("standardize", "shift", "scale"),
    "affine": _affine,
    "dense": _dense("columns"),
    "tied_dense": _dense(""),
    "grouped_dense": _dense("groups", "grouped_dense"),
    "convolution": _convolution,
    "transposed_convolution": _transposed_convolution,
    "max_pool": _pool,
    "average_pool": _pool,
    "upsample": _given("upsample", numbers=("height", "width", "times")),
    "embedding": _given("embedding", "W"),
    "category_embedding": _given("category_embedding", "W", "begins", "limits"),
    "piecewise": _given("piecewise", "slope", "start", "lowest", "highest"),
    "periodic": _given("periodic", "c"),
    "activation": _activation,
    "softmax": _given("softmax", numbers=("columns",)),
    "ascending": _given("ascending", numbers=("columns",)),
    "prelu": _given("prelu", "alpha"),
    "layer_norm": _given("layer_norm", "gamma", "beta", numbers=("epsilon",)),
    "columns": _given("columns", numbers=("inputs", "start", "count")),
    "add": _given("add"),
    "concatenate": _concatenate,
    "spread": _given("spread", "shift", "scale", numbers=("epsilon",)),
}


def variables(program: Program) -> dict[int, str]:
    """Return a variable for each value: x if only the next step reads the value, else x with its number."""
    readers: dict[int, list[int]] = {}
    for place, step in enumerate(program.steps):
        for source in step.sources:
            readers.setdefault(source, []).append(place)
    readers.setdefault(program.result, []).append(len(program.steps))
    names = {}
    for place, value in enumerate([INPUT, *(step.target for step in program.steps)]):
        names[value] = "x" if readers.get(value, []) in ([place], []) else f"x{value}"
    return names


def one_line(text: str, most: int = 70) -> str:
    """Return a text as one line of printable ASCII that cannot end a comment, a string or a script."""
    safe = ascii(text)[1:-1].replace("<", "\\x3c").replace("*/", "*\\x2f")
    return safe if len(safe) <= most else safe[: most - 3] + "..."
