"""Write a network as one Python file, with the standard library only or with NumPy."""

from __future__ import annotations

import ast
import keyword
from pathlib import Path
from typing import Any

import numpy as np

import nnx
from nnx.standalone.calls import Call, Places, Table, Value, calls_of, variables
from nnx.standalone.literals import FEW, TOLERANCES, encoded, listed, literal, names_of, needed
from nnx.standalone.program import INPUT, HostArray, Program

HEAD = '''"""A neural network in one file, written by nnx {version}. It needs {needs}.

    from {name} import EXAMPLE, {function}
    {function}({rows})

A row has {inputs}.
`python {name}.py` compares the file with what nnx predicted for stored rows, and prints an example.
All is computed in float64{weights}.
"""

from __future__ import annotations

{imports}'''
PREDICT = '''def predict(rows: Any) -> Any:
    """Return the answer for each row."""
    return {answers}'''
CLASSIFY = '''def classify(rows: Any) -> list[str]:
    """Return the name of the class with the largest number, for each row."""
    return [CLASSES[largest(y)] for y in predict(rows)]'''
CHECK = '''def check() -> float:
    """Compare with what nnx predicted for the stored rows, and return the largest difference."""
    return compare({found}, CHECKED_ANSWERS, {tolerance!r})'''
MAIN = """
if __name__ == "__main__":
    print(f"{{len(CHECKED_ROWS)}} stored rows: the largest difference to nnx is {{check():.2g}}")
    print("the answer to the first of them:", {function}({rows})[0])
"""


def write(program: Program, name: str, *, numpy: bool = False) -> tuple[str, str]:
    """Return the text of a Python file that computes a program, and a sentence on its size.

    Parameters
    ----------
    program : Program
        With examples, with which the file checks itself.
    name : str
        Of the file, without its ending; for the example in its head.
    numpy : bool
        Whether the file computes with NumPy, all rows at once.
    """
    made = (_WithNumPy if numpy else _Plain)(program, name)
    text = made.text()
    memory = program.parameter_count * made.bytes_of_a_number
    size = len(text.encode())
    return text, f"Python{made.and_library}: file {size:,} bytes, weights in memory {memory:,} bytes"


class _Plain:
    """Writes a file that needs the standard library only."""

    source, row = "steps_plain.py", "Row"
    needs = "Python 3.10 or newer and nothing else"
    and_library = ""
    bytes_of_a_number = 32  # an object of 24, and its place in a list

    def __init__(self, program: Program, name: str) -> None:
        self.program = program
        usual = name.isascii() and name.isidentifier() and not keyword.iskeyword(name)
        self.name = name if usual else "model"
        self.library = Library(self.source, "steps_cells.py")
        self.calls = calls_of(program, self.library.parts)
        self.shape = ", ".join(map(str, program.input_shape))
        self.function = "classify" if program.meaning.classes else "predict"

    def text(self) -> str:
        """Return the file's text."""
        functions, constants = "\n\n\n".join(self.functions()), "\n".join(self.constants())
        library = "\n\n\n".join(self.library.needed(f"{functions}\n{constants}"))
        code = f"{functions}\n\n\n{library}\n\n\n{constants}\n"
        return self.head(code) + code + MAIN.format(function=self.function, rows=self.example())

    def head(self, code: str) -> str:
        """Return the description of the file, its imports, and the names of its numbers."""
        shape, program = " × ".join(map(str, self.program.input_shape)), self.program
        text = HEAD.format(
            version=nnx.__version__, needs=self.needs, name=self.name, function=self.function,
            rows=self.example(), inputs=f"{shape} {'whole numbers' if program.integers else 'numbers'}",
            weights=", on weights of float32" if program.dtype == "float32" else "",
            imports=self.library.head(code),
        )  # fmt: skip
        title = program.meaning.title
        lines = [f"MODEL = {title!a}\n"] if title else []
        lines += [f"{name} = {listed(map(ascii, texts))}\n" for name, texts in names_of(program).items()]
        if cells := program.meaning.cells:
            lines.append(
                f"COLUMNS = {listed(ascii((name, [*texts], fill)) for name, texts, fill in cells)}\n"
            )
        return text + "".join(lines) + ("\n\n" if lines else "\n")

    def example(self) -> str:
        """Return the expression of some rows."""
        return "[EXAMPLE]"

    def functions(self) -> list[str]:
        """Return the file's own functions."""
        tolerance = TOLERANCES[self.program.dtype]
        found = [PREDICT.format(answers=self.answers())]
        found += [CLASSIFY] if self.program.meaning.classes else []
        return [*found, CHECK.format(found=self.answers_checked(), tolerance=tolerance), self.network()]

    def answers(self) -> str:
        """Return the expression of all answers."""
        y = f"network(checked({self.given('row')}, {self.shape}))"
        shape = self.program.output_shape
        return f"[{y if len(shape) == 1 else f'nested({y}, {shape})'} for row in rows]"

    def given(self, row: str) -> str:
        """Return the expression of a row's numbers; rows of a table may be dicts."""
        return f"features({row}, COLUMNS)" if self.program.meaning.cells else row

    def answers_checked(self) -> str:
        """Return the expression of the answers to the stored rows."""
        return "[network(row) for row in CHECKED_ROWS]"

    def network(self) -> str:
        """Return the function with a line for each step."""
        names, program = variables(self.program), self.program
        x = names[INPUT]
        lines = [f"def network({x}: {self.row}) -> {self.row}:", '    """Compute an answer, step by step."""']
        if program.integers:
            lines.append(f"    {x} = whole({x}, {program.limit or 2**53})")
        elif program.dtype == "float32" and not program.scaled:
            lines.append(f"    {x} = float32({x})")
        for call in self.calls.calls:
            lines.append(f"    {names[call.target]} = {self.call(call, names)}")
            if call.comment and len(lines[-1]) + len(call.comment) < 108:
                lines[-1] += f"  # {call.comment}"
        return "\n".join([*lines, f"    return {names[program.result]}"])

    def call(self, call: Call, names: dict[int, str]) -> str:
        """Return the expression of a call."""
        arguments = [self.argument(one, names) for one in call.arguments]
        if call.each:
            return self.each(call.function, *arguments)
        text = f"{call.function}({', '.join(arguments)})"
        rounded = call.function == "standardize" and self.program.dtype == "float32"
        return f"float32({text})" if rounded else text

    def each(self, function: str, x: str, *more: str) -> str:
        """Return the expression of an activation of all numbers."""
        return f"[{function}({', '.join(['v', *more])}) for v in {x}]"

    def argument(self, one: Any, names: dict[int, str]) -> str:
        """Return the expression of an argument."""
        if isinstance(one, Value):
            return names[one.number]
        if isinstance(one, Table | Places):
            return one.name
        if isinstance(one, tuple) and all(isinstance(number, float) for number in one):
            return self.constant(one[0], len(one))
        if isinstance(one, tuple):
            return f"({', '.join(self.argument(part, names) for part in one)})"
        return repr(one)

    def constant(self, value: float, count: int) -> str:
        """Return the expression of equal numbers."""
        return f"[{value}]" + (f" * {count}" if count > 1 else "")

    def constants(self) -> list[str]:
        """Return the lines of the tables and of the stored rows."""
        calls, examples = self.calls, self.program.examples
        assert examples is not None
        lines = [f"{name} = {self.table(values)}" for name, values in calls.tables.items()]
        lines += [f"{name} = transposed({other})" for name, other in calls.derived.items()]
        for name, given in calls.places.items():
            lines.append(f"{name} = windows({', '.join(map(str, given))})")
        rows = {"CHECKED_ROWS": examples.x, "CHECKED_ANSWERS": examples.y}
        for name, values in rows.items():
            lines.append(f"{name} = {self.table(values.reshape(len(values), -1).astype(np.float64))}")
        return [*lines, self.first_row()]

    def first_row(self) -> str:
        """Return the line of the example."""
        shape = self.program.input_shape
        return f"EXAMPLE = {'CHECKED_ROWS[0]' if len(shape) == 1 else f'nested(CHECKED_ROWS[0], {shape})'}"

    def table(self, values: HostArray) -> str:
        """Return the expression of a table."""
        if values.size <= FEW:
            return self.literal(values)
        kind, lines = encoded(values)
        text = "\n".join(lines)
        return f'numbers("""\n{text}\n""", "{kind}", {", ".join(map(str, values.shape))})'

    def literal(self, values: HostArray) -> str:
        """Return the expression of a small table."""
        return literal(values)


class _WithNumPy(_Plain):
    """Writes a file that computes with NumPy."""

    source, row = "steps_numpy.py", "Array"
    needs = "Python 3.10 or newer and NumPy"
    and_library = " with NumPy"
    bytes_of_a_number = 8

    def answers(self) -> str:
        """Return the expression of all answers."""
        shape = ", ".join(map(str, self.program.output_shape))
        rows = f"[{self.given('row')} for row in rows]" if self.program.meaning.cells else "rows"
        return f"in_blocks(network, checked({rows}, {self.shape}), {shape})"

    def answers_checked(self) -> str:
        """Return the expression of the answers to the stored rows."""
        return "network(CHECKED_ROWS)"

    def each(self, function: str, x: str, *more: str) -> str:
        """Return the expression of an activation of all numbers."""
        return f"{function}({', '.join([x, *more])})"

    def constant(self, value: float, count: int) -> str:
        """Return the expression of equal numbers."""
        return f"np.full({count}, {value})"

    def first_row(self) -> str:
        """Return the line of the example."""
        return f"EXAMPLE = CHECKED_ROWS[0].reshape({self.shape})"

    def literal(self, values: HostArray) -> str:
        """Return the expression of a small table."""
        return f"np.array({super().literal(values)})"


class Library:
    """The functions in files of steps, as texts.

    Attributes
    ----------
    parts : dict of str to str
        The functions, and the names of types, in order.
    """

    def __init__(self, *files: str) -> None:
        self.parts: dict[str, str] = {}
        self.imports: dict[str, str] = {}
        for file in files:
            self._add(Path(__file__).with_name(file).read_text(encoding="utf-8"))

    def _add(self, source: str) -> None:
        for node in ast.parse(source).body:
            text = ast.get_source_segment(source, node) or ""
            if isinstance(node, ast.FunctionDef):
                self.parts[node.name] = text
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                self.imports[node.targets[0].id] = text
            elif isinstance(node, ast.Import | ast.ImportFrom) and "__future__" not in text:
                self.imports |= {one.asname or one.name: _import(node, one) for one in node.names}

    def needed(self, code: str) -> list[str]:
        """Return the functions that some code calls, directly or through others."""
        return [self.parts[name] for name in needed(code, self.parts, _called)]

    def head(self, code: str) -> str:
        """Return the imports and the types that some code uses."""
        used = needed(code, self.imports, _read)
        lines = [text for name, text in self.imports.items() if name in used]
        types = [line for line in lines if "import" not in line]
        others = [line for line in lines if "numpy" in line]
        standard = [line for line in lines if line not in (*types, *others)]
        return "".join("\n".join([*group, "\n"]) for group in (standard, others, types) if group)


def _called(code: str) -> set[str]:
    """Return the names of the functions that some code calls."""
    calls = (node.func for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call))
    return {function.id for function in calls if isinstance(function, ast.Name)}


def _read(code: str) -> set[str]:
    """Return the names of variables and modules that some code reads."""
    return {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}


def _import(node: ast.Import | ast.ImportFrom, one: ast.alias) -> str:
    """Return the text that imports one name."""
    start = f"from {node.module} " if isinstance(node, ast.ImportFrom) else ""
    return f"{start}import {one.name}" + (f" as {one.asname}" if one.asname else "")
