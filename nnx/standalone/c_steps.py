"""Write the steps of a program as C statements that call the functions of ``steps.c``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from nnx.errors import shown
from nnx.standalone.c_text import braces, comment, identifier, literal
from nnx.standalone.memory import plan
from nnx.standalone.program import INPUT, Program, Step

# Kinds whose functions take: the source, these tables, the target, these numbers.
ARGUMENTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "dense": (("W", "b"), ("rows", "inputs", "units")),
    "tied_dense": (("W", "b"), ("rows", "inputs", "units")),
    "grouped_dense": (("W", "b"), ("rows", "groups", "inputs", "units")),
    "convolution": (("W", "b"), ("windows", "channels", "filters", "groups")),
    "transposed_convolution": (("W", "b"), ("windows", "channels", "filters")),
    "max_pool": ((), ("windows", "channels")),
    "average_pool": ((), ("windows", "channels")),
    "upsample": ((), ("height", "width", "channels", "times")),
    "embedding": (("W",), ("count", "units")),
    "category_embedding": (("W", "begins", "limits"), ("rows", "columns", "units")),
    "piecewise": (("slope", "start", "lowest", "highest"), ("rows", "features", "bins")),
    "periodic": (("c",), ("rows", "features", "frequencies")),
    "columns": ((), ("rows", "inputs", "start", "count")),
    "layer_norm": (("gamma", "beta"), ("rows", "columns", "epsilon")),
    "softmax": ((), ("rows", "columns")),
    "ascending": ((), ("rows", "columns")),
}
COMMENT = 90  # characters of a layer's text
INTEGERS = ("begins", "limits")
MATHEMATICAL = {"tanh": "tanh", "exponential": "exp"}  # activations that are functions of C
WITH_ALPHA = ("leaky_relu", "elu")


class Statements:
    """The statements of a program, with the tables and functions that they use.

    Parameters
    ----------
    program : Program
    real : {"float", "double"}
        The type of the arithmetic.

    Attributes
    ----------
    given, returned : str
        The C types of the numbers of a row and of an answer. A scaling that subtracts takes, or returns,
        double: float cannot hold a number like 1,700,000,000.5.
    memory : Memory
    used : dict
        Names of functions in ``steps.c``.
    types : dict of str to str
        The C types of the tables.
    windows : list of str
        Definitions of windows.
    lines : list of str
    """

    def __init__(self, program: Program, real: str) -> None:
        self.program, self.real = program, real
        self.given = "int32_t" if program.integers else "double" if self._takes_double() else real
        self.returned = "double" if self._returns_double() else real
        self.memory = plan(program, apart=self.returned != real)
        self.used: dict[str, None] = {}
        self.types: dict[str, str] = {}
        self.windows: list[str] = []
        self.lines = [line for text in self._texts() for line in text.split("\n")]

    def _takes_double(self) -> bool:
        program = self.program
        return program.scaled and bool(program.tables[program.steps[0].tables["shift"]].any())

    def _returns_double(self) -> bool:
        """Return whether the last step is a scaling, and adds something."""
        last = self.program.steps[-1:]
        return bool(last) and not last[0].layer and self._is_wide(last[0])

    def _is_wide(self, step: Step) -> bool:
        """Return whether a step needs float64: a product alone does not."""
        offset = step.tables.get("offset")
        adds = offset is not None and bool(self.program.tables[offset].any())
        return step.kind == "spread" or (step.kind == "affine" and step.numbers["wide"] and adds)

    def tables(self) -> Iterator[str]:
        """Yield the definitions of the tables."""
        for name, kind in self.types.items():
            values = self.program.tables[name].reshape(-1)
            yield f"static const {kind} {identifier(name)}[{values.size}] = {braces(values, kind, name)};"

    def _texts(self) -> Iterator[str]:
        program, layer = self.program, ""
        if program.integers and program.limit is not None:
            yield self._refuse(f"{self._use('out_of_range')}(x, {program.inputs}, {program.limit})")
        elif not program.integers and not program.scaled:
            yield self._refuse(f"{self._use('not_finite')}(x, {program.inputs})")
        for step in program.steps:
            if step.layer and step.layer != layer:
                yield f"/* {comment(shown(step.layer, COMMENT))} */"
            layer = step.layer
            own: Any = getattr(self, f"_{step.kind}", None)
            yield self._call(step) if own is None else own(step)
        if not program.steps:
            yield f"for (int i = 0; i < {program.outputs}; i++)\n    y[i] = x[i];"

    @staticmethod
    def _refuse(check: str) -> str:
        return f"const int wrong = {check};\nif (wrong)\n    return wrong;"

    # --------------------------------------------------------------------------------- names in a statement

    def _use(self, function: str) -> str:
        self.used[function] = None
        return function

    def _value(self, value: int) -> str:
        """Return the C expression of a value's place."""
        if value == INPUT:
            return "x"
        if value in self.memory.answers:
            return "y"
        place = self.memory.places[value]
        return f"m + {place}" if place else "m"

    def _at(self, value: int, index: str) -> str:
        """Return the C expression of one number of a value."""
        base, _, place = self._value(value).partition(" + ")
        return f"{base}[{place} + {index}]" if place else f"{base}[{index}]"

    def _table(self, step: Step, role: str, kind: str) -> str:
        """Return the C name of a step's table, and note that the file defines it; NULL if there is none."""
        name = step.tables.get(role)
        if name is None:
            return "NULL"
        self.types[name] = kind
        return identifier(name)

    def _entry(self, step: Step, role: str, kind: str, index: str) -> str:
        """Return the C expression of a number in a table that repeats over a row."""
        size = self.program.tables[step.tables[role]].size
        return f"{self._table(step, role, kind)}[{index if size > 1 else 0}]"

    # ------------------------------------------------------------------------------------- calls of functions

    def _call(self, step: Step) -> str:
        """Call the function with the name of the step's kind."""
        tables, numbers = ARGUMENTS[step.kind]
        kinds = {role: "int32_t" if role in INTEGERS else self.real for role in tables}
        given = [
            self._value(step.sources[0]),
            *(self._table(step, role, kind) for role, kind in kinds.items()),
            self._value(step.target),
            *(self._number(step.numbers[name]) for name in numbers),
        ]
        return f"{self._use(step.kind)}({', '.join(given)});"

    def _number(self, number: Any) -> str:
        if isinstance(number, float):
            return literal(np.float32(number) if self.real == "float" else number, self.real)
        if isinstance(number, tuple):
            return ", ".join(map(str, number))
        return str(number) if isinstance(number, int) else self._address(number)

    def _address(self, found: Any) -> str:
        """Define windows, and return their address."""
        name = f"windows_{len(self.windows) + 1}"
        pairs = (found.size, found.kernel, found.strides, found.dilation, found.before, found.outputs)
        written = ", ".join(f"{{{a}, {b}}}" for a, b in pairs)
        self.windows.append(f"static const windows {name} = {{{written}}};")
        self._use("windows")
        return f"&{name}"

    def _prelu(self, step: Step) -> str:
        period, count = self.program.tables[step.tables["alpha"]].size, self.program.values[step.target]
        given = self._value(step.sources[0]), self._table(step, "alpha", self.real), self._value(step.target)
        return f"{self._use('prelu')}({', '.join(given)}, {count}, {period});"

    def _concatenate(self, step: Step) -> str:
        rows, widths, start, lines = step.numbers["rows"], step.numbers["widths"], 0, []
        for source, width in zip(step.sources, widths, strict=True):
            given = self._value(source), self._value(step.target), rows, width, start, sum(widths)
            lines.append(f"{self._use('place')}({', '.join(map(str, given))});")
            start += width
        return "\n".join(lines)

    # -------------------------------------------------------------------------------------------------- loops

    def _each(self, step: Step, text: str) -> str:
        return f"for (int i = 0; i < {self.program.values[step.target]}; i++)\n    {text}"

    def _activation(self, step: Step) -> str:
        name, x = step.numbers["name"], self._at(step.sources[0], "i")
        alpha = f", {self._number(step.numbers['alpha'])}" if name in WITH_ALPHA else ""
        call = f"R({MATHEMATICAL[name]})" if name in MATHEMATICAL else self._use(name)
        return self._each(step, f"{self._at(step.target, 'i')} = {call}({x}{alpha});")

    def _add(self, step: Step) -> str:
        terms = " + ".join(self._at(value, "i") for value in step.sources)
        return self._each(step, f"{self._at(step.target, 'i')} = {terms};")

    def _affine(self, step: Step) -> str:
        kind = "double" if self._is_wide(step) else self.real
        index = self._index(step)
        z = self._at(step.sources[0], index)
        z = f"(double){z}" if kind != self.real else z
        if "center" in step.tables:
            z = f"({z} - {self._entry(step, 'center', kind, 'k')})"
        if "factor" in step.tables:
            z += f" * {self._entry(step, 'factor', kind, 'k')}"
        if "offset" in step.tables:
            z += f" + {self._entry(step, 'offset', kind, 'k')}"
        rounded = kind != (self.returned if step.target == self.program.result else self.real)
        return self._repeat(step, [f"{self._at(step.target, index)} = {f'(real)({z})' if rounded else z};"])

    def _standardize(self, step: Step) -> str:
        kind, index = self.given, self._index(step)
        x, most = f"x[{index}]", "LARGEST" if kind == self.real else "(double)LARGEST"
        if self.program.tables[step.tables["shift"]].any():
            x = f"({x} - {self._entry(step, 'shift', kind, 'k')})"
        z = f"const {kind} z = {x} / {self._entry(step, 'scale', kind, 'k')};"
        size = "R(fabs)" if kind == self.real else "fabs"
        stored = "z" if kind == self.real else "(real)z"
        check = [f"if (!({size}(z) <= {most}))", f"    return {index} + 1;"]
        return self._repeat(step, [z, *check, f"{self._at(step.target, index)} = {stored};"])

    def _period(self, step: Step) -> int:
        return max(self.program.tables[name].size for name in step.tables.values())

    def _index(self, step: Step) -> str:
        """Return the text of a number's place in the row, in a loop of `_repeat`."""
        return "k" if self._period(step) in (1, self.program.values[step.target]) else "i + k"

    def _repeat(self, step: Step, body: list[str]) -> str:
        """Return a loop over a row, in which k is the place in the tables that repeat."""
        count, period = self.program.values[step.target], self._period(step)
        if period in (1, count):
            heads = [f"for (int k = 0; k < {count}; k++)"]
        else:
            heads = [f"for (int i = 0; i < {count}; i += {period})", f"for (int k = 0; k < {period}; k++)"]
        lines = ["    " * depth + head for depth, head in enumerate(heads)]
        deep = "    " * len(heads)
        if len(body) > 1:
            lines[-1] += " {"
            return "\n".join([*lines, *(deep + line for line in body), deep[4:] + "}"])
        return "\n".join([*lines, deep + body[0]])

    def _spread(self, step: Step) -> str:
        scale, shift = (self._entry(step, role, "double", "i") for role in ("scale", "shift"))
        a, b = (self._at(step.sources[0], f"2 * i{more}") for more in ("", " + 1"))
        y, deviation = (self._at(step.target, f"2 * i{more}") for more in ("", " + 1"))
        epsilon = literal(step.numbers["epsilon"], "double")
        return "\n".join(
            [
                f"for (int i = 0; i < {step.numbers['targets']}; i++) {{",
                f"    {y} = (double){a} * {scale} + {shift};",
                f"    {deviation} = ((double){self._use('softplus')}({b}) + {epsilon}) * {scale};",
                "}",
            ]
        )
