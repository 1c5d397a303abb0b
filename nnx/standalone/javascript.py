"""Write a network as an ES module, for browsers, Node.js, Deno and Bun."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

import nnx
from nnx.standalone.calls import Call, Places, Table, Value, calls_of, variables
from nnx.standalone.literals import FEW, TOLERANCES, encoded, listed, literal, names_of, needed
from nnx.standalone.program import INPUT, HostArray, Program

SOURCES = ("steps.js", "steps_activations.js")
HEAD = """// A neural network in one file, written by nnx {version}. It needs nothing else.
//
//   import {{ {function}, EXAMPLE }} from "./{name}.mjs";
//   {function}([EXAMPLE]);
//
// A row has {inputs}.
// `node {name}.mjs` compares the file with what nnx predicted for stored rows, and prints an example.
// All is computed in float64{weights}.

"""
PREDICT = """/** Return the answer for each row of an array. */
export function predict(rows) {{
  return Array.from(rows, (row) => {answer});
}}"""
CLASSIFY = """/** Return the name of the class with the largest number, for each row of an array. */
export function classify(rows) {
  return predict(rows).map((y) => CLASSES[largest(y)]);
}"""
CHECK = """/** Compare with what nnx predicted for the stored rows, and return the largest difference. */
export function check() {{
  const found = CHECKED_ROWS.map((row) => network(Float64Array.from(row)));
  return compare(found, plain(CHECKED_ANSWERS), {tolerance!r});
}}"""
MAIN = """
// node runs this file itself, also through a link (from node 20.16 on)
const program = globalThis.process?.argv?.[1] ?? "";
const files = globalThis.process?.getBuiltinModule?.("node:fs");
const own = files?.existsSync(program) ? files.realpathSync(program) : program;
if (own && import.meta.url === new URL("file:///" + own.replace(/^\\//, "")
    .replace(/[%#?\\n\\r\\t]/g, encodeURIComponent)).href) {{
  const largest = check().toPrecision(2);
  console.log(`${{CHECKED_ROWS.length}} stored rows: the largest difference to nnx is ${{largest}}`);
  console.log("the answer to the first of them:", {function}([EXAMPLE])[0]);
}}
"""


def write(program: Program, name: str) -> tuple[str, str]:
    """Return the text of an ES module that computes a program, and a sentence on its size.

    Parameters
    ----------
    program : Program
        With examples, with which the file checks itself.
    name : str
        Of the file, without its ending; for the example in its head.
    """
    text = _Writer(program, name).text()
    memory = sum(table.size * (4 if table.dtype == np.float32 else 8) for table in program.tables.values())
    return text, f"JavaScript: file {len(text):,} bytes, weights in memory {memory:,} bytes"


class _Writer:
    def __init__(self, program: Program, name: str) -> None:
        self.program = program
        self.name = name if re.fullmatch(r"[A-Za-z0-9_-]{1,60}", name) else "model"
        self.library = library()
        self.calls = calls_of(program, self.library)
        self.function = "classify" if program.meaning.classes else "predict"

    def text(self) -> str:
        """Return the file's text."""
        functions, constants = "\n\n".join(self.functions()), "\n".join(self.constants())
        names = needed(f"{functions}\n{constants}", self.library, _called)
        used = "\n\n".join(self.library[name] for name in names)
        main = MAIN.format(function=self.function)
        return self.head() + f"{functions}\n\n{used}\n\n{constants}\n{main}"

    def head(self) -> str:
        """Return the description of the file, and the names of its numbers."""
        shape, program = " x ".join(map(str, self.program.input_shape)), self.program
        text = HEAD.format(
            version=nnx.__version__, name=self.name, function=self.function,
            inputs=f"{shape} {'whole numbers' if program.integers else 'numbers'}",
            weights=", on weights of float32" if program.dtype == "float32" else "",
        )  # fmt: skip
        title = program.meaning.title
        lines = [f"export const MODEL = {quoted(title)};\n"] if title else []
        for name, texts in names_of(program).items():
            lines.append(f"export const {name} = {listed(map(quoted, texts))};\n")
        if cells := program.meaning.cells:
            lines.append(f"export const COLUMNS = {listed(map(quoted, cells))};\n")
        return text + "".join(lines) + ("\n" if lines else "")

    def functions(self) -> list[str]:
        """Return the file's own functions."""
        found = [PREDICT.format(answer=self.answer())]
        found += [CLASSIFY] if self.program.meaning.classes else []
        return [*found, CHECK.format(tolerance=TOLERANCES[self.program.dtype]), self.network()]

    def answer(self) -> str:
        """Return the expression of the answer for a row."""
        row = "features(row, COLUMNS)" if self.program.meaning.cells else "row"
        taken, shape = list(self.program.input_shape), self.program.output_shape
        y = f"network(checked({row}, {taken}))"
        return f"plain({y if len(shape) == 1 else f'nested({y}, {list(shape)})'})"

    def network(self) -> str:
        """Return the function with a line for each step."""
        names, program = variables(self.program), self.program
        x = names[INPUT]
        lines = ["/** Compute an answer, step by step. */", f"function network({x}) {{"]
        declared = {x}
        if program.integers:
            lines.append(f"  {x} = whole({x}, {program.limit or 2**53});")
        elif program.dtype == "float32" and not program.scaled:
            lines.append(f"  {x} = float32({x});")
        for call in self.calls.calls:
            target = names[call.target]
            start = "" if target in declared else "let " if target == "x" else "const "
            declared.add(target)
            lines.append(f"  {start}{target} = {self.call(call, names)};")
            if call.comment and len(lines[-1]) + len(call.comment) < 106:
                lines[-1] += f" // {call.comment}"
        return "\n".join([*lines, f"  return {names[program.result]};", "}"])

    def call(self, call: Call, names: dict[int, str]) -> str:
        """Return the expression of a call."""
        function = camel(call.function)
        arguments = [self.argument(one, names) for one in call.arguments]
        if call.each:
            x, *more = arguments
            return f"{x}.map((v) => {function}({', '.join(['v', *more])}))"
        text = f"{function}({', '.join(arguments)})"
        rounded = call.function == "standardize" and self.program.dtype == "float32"
        return f"float32({text})" if rounded else text

    def argument(self, one: Any, names: dict[int, str]) -> str:
        """Return the expression of an argument."""
        if isinstance(one, Value):
            return names[one.number]
        if isinstance(one, Table | Places):
            return one.name
        if isinstance(one, tuple) and len(one) > 1 and all(isinstance(number, float) for number in one):
            return f"new Float64Array({len(one)}).fill({one[0]})"
        if isinstance(one, tuple):
            return f"[{', '.join(self.argument(part, names) for part in one)}]"
        return repr(one)

    def constants(self) -> list[str]:
        """Return the lines of the tables and of the stored rows."""
        calls, examples, program = self.calls, self.program.examples, self.program
        assert examples is not None
        lines = [f"const {name} = {table(values)};" for name, values in calls.tables.items()]
        lines += [f"const {name} = transposed({other});" for name, other in calls.derived.items()]
        for name, given in calls.places.items():
            lines.append(f"const {name} = windows({', '.join(str(list(one)) for one in given)});")
        rows = {"CHECKED_ROWS": examples.x, "CHECKED_ANSWERS": examples.y}
        for name, values in rows.items():
            lines.append(f"const {name} = {table(values.reshape(len(values), -1).astype(np.float64))};")
        first = "Float64Array.from(CHECKED_ROWS[0])"
        first = first if len(program.input_shape) == 1 else f"nested({first}, {list(program.input_shape)})"
        return [*lines, f"export const EXAMPLE = plain({first});"]


def table(values: HostArray) -> str:
    """Return the expression of a table."""
    if values.size <= FEW:
        return literal(values)
    kind, lines = encoded(values)
    text = "\n".join(lines)
    return f'numbers(`\n{text}\n`, "{kind}", {", ".join(map(str, values.shape))})'


def quoted(value: Any) -> str:
    """Return an expression in ASCII that cannot end a script element."""
    return json.dumps(value).replace("<", "\\u003c")


def camel(name: str) -> str:
    """Return the name of a function in JavaScript: max_pool is maxPool."""
    return re.sub(r"_([a-z])", lambda found: found[1].upper(), name)


def library() -> dict[str, str]:
    """Return the functions of the steps, each with its comment."""
    here = Path(__file__).parent
    source = "\n".join((here / name).read_text(encoding="utf-8") for name in SOURCES)
    found = re.findall(r"^(/\*\*(?:(?!\*/).)*?\*/\nfunction (\w+)\(.*?^\})", source, re.MULTILINE | re.DOTALL)
    return {name: text for text, name in found}


def _called(code: str) -> set[str]:
    """Return the names of the functions that some code calls: the words before parentheses."""
    return set(re.findall(r"\b([A-Za-z_]\w*)\(", code))
