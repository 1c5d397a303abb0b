"""Write a program as one C99 file: constant tables, no allocation, nothing but the mathematical library."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nnx.errors import ConfigurationError
from nnx.standalone.c_steps import Statements
from nnx.standalone.c_text import TYPES, braces, comment, functions, string
from nnx.standalone.program import Program

NAMES = ("float", "double")
NETWORKS = {"float32": "float", "float64": "double"}
ALLOWED = {"float": 1e-4, "double": 1e-9}  # difference to nnx, if both have this type
LISTED = 64  # names of inputs and outputs in the head of a file

HEAD = """\
/* {title}
 *
 *     int {name}_predict(const {given} x[{inputs}], {returned} y[{outputs}]);
 *
 * Weights: {numbers:,} numbers, {weight_bytes:,} bytes, constant. Memory: {memory_bytes:,} bytes, and no
 * arrays on the stack.
 *
 * Compile:  gcc -std=c99 -O2 -c FILE.c, and link with -lm
 * Try:      gcc -std=c99 -O2 -D{upper}_MAIN FILE.c -lm && ./a.out
 * Call:     #define {upper}_HEADER, then #include "FILE.c": only the declarations are left
 *
 * {meaning}
 */

#ifndef {upper}_H
#define {upper}_H

#include <stdint.h>

#define {upper}_INPUTS {inputs}
#define {upper}_OUTPUTS {outputs}
#define {upper}_MEMORY {memory} /* numbers of type {real} */
#define {upper}_WEIGHT_BYTES {weight_bytes}L

#ifdef __cplusplus
extern "C" {{
#endif

/* Compute the answer y for a row x; the two must not overlap. Returns 0, or the position, counted from 1, of
 * the first number of x that {refused}; then y is not complete. */
int {name}_predict(const {given} *x, {returned} *y);

/* The same with your own memory of {upper}_MEMORY numbers, so that several threads can call it. */
int {name}_predict_in(const {given} *x, {returned} *y, {real} *memory);
{more}
#ifdef __cplusplus
}}
#endif
#endif

#ifndef {upper}_HEADER

#include <float.h>
#include <math.h>
#include <stddef.h>

typedef {real} real;
#define R(name) {math}
#define LARGEST {largest}
"""

CLASSES_HEAD = """
/* The names of the classes, and the number of an answer's class. */
#define {upper}_CLASSES {classes}
extern const char *const {name}_classes[{upper}_CLASSES];
int {name}_class(const {returned} *y);
"""

CHECK_HEAD = """
/* With {upper}_CHECK or {upper}_MAIN: compute {rows} stored rows, and return the largest difference to
 * what nnx computed for them, relative to the largest numbers of these answers. Allowed is {allowed:g}. */
double {name}_check(void);
"""

PREDICT = """
int {name}_predict_in(const {given} *x, {returned} *y, {real} *m)
{{
{body}
    return 0;
}}

#ifndef {upper}_NO_STATIC_MEMORY /* defined: without this memory; call {name}_predict_in */
int {name}_predict(const {given} *x, {returned} *y)
{{
    static {real} memory[{upper}_MEMORY];
    return {name}_predict_in(x, y, memory);
}}
#endif
"""

CLASSES = """
const char *const {name}_classes[{upper}_CLASSES] = {{
    {listed}}};

int {name}_class(const {returned} *y)
{{
    int best = 0;
    for (int i = 1; i < {upper}_CLASSES; i++)
        if (y[i] > y[best])
            best = i;
    return best;
}}
"""

CHECK = """
#if defined({upper}_CHECK) || defined({upper}_MAIN)
enum {{ EXAMPLES = {rows} }};

static const {given} examples[EXAMPLES * {upper}_INPUTS] = {x};

static const {returned} expected[EXAMPLES * {upper}_OUTPUTS] = {y};

double {name}_check(void)
{{
    static {real} memory[{upper}_MEMORY];
    static {returned} found[EXAMPLES * {upper}_OUTPUTS];
    double largest = 0, worst = 0;
    for (int row = 0; row < EXAMPLES; row++)
        if ({name}_predict_in(examples + row * {upper}_INPUTS, found + row * {upper}_OUTPUTS, memory))
            return HUGE_VAL;
    for (int i = 0; i < EXAMPLES * {upper}_OUTPUTS; i++)
        largest = fabs((double)expected[i]) > largest ? fabs((double)expected[i]) : largest;
    for (int j = 0; j < {upper}_OUTPUTS; j++) {{
        double scale = 0, difference = 0;
        for (int i = j; i < EXAMPLES * {upper}_OUTPUTS; i += {upper}_OUTPUTS) {{
            const double size = fabs((double)expected[i]);
            const double apart = fabs((double)found[i] - (double)expected[i]);
            scale = size > scale ? size : scale;
            if (!(apart <= difference))
                difference = apart >= 0 ? apart : HUGE_VAL; /* NaN is always wrong */
        }}
        if (difference > 0 && !(difference / (scale + largest / 100) <= worst))
            worst = difference / (scale + largest / 100);
    }}
    return worst;
}}
#endif

#ifdef {upper}_MAIN
#include <stdio.h>

int main(void)
{{
    static {returned} y[{upper}_OUTPUTS];
    const double difference = {name}_check();
    if ({name}_predict(examples, y)) /* one row: replace examples by your own numbers */
        return 1;
    for (int i = 0; i < {upper}_OUTPUTS && i < 10; i++)
        printf("y[%d] = %g\\n", i, (double)y[i]);
{shown}    printf("self-check on %d rows: ", EXAMPLES);
    printf("largest difference %.2g, allowed %g\\n", difference, {allowed:g});
    return difference <= {allowed:g} ? 0 : 1;
}}
#endif
"""

SHOWN = '    printf("class %s\\n", {name}_classes[{name}_class(y)]);\n'


class Writer:
    """Writes one program.

    Parameters
    ----------
    program : Program
    name : str
        The start of all names in the file: a C identifier.
    type : {"float", "double"}, optional
        The type of the weights and of the arithmetic; by default the network's.

    Raises
    ------
    ConfigurationError
        If the type is unknown, or a number is too large for it.
    """

    def __init__(self, program: Program, name: str, type: str | None = None) -> None:
        real = type or NETWORKS[program.dtype]
        if real not in NAMES:
            raise ConfigurationError(f"type must be {' or '.join(map(repr, NAMES))}, not {type!r:.40}")
        self.program, self.name = program, name
        self.statements = Statements(program, real)
        self._tables = list(self.statements.tables())  # raises for a number that is too large
        sizes = [program.tables[table].size for table in self.statements.types]
        kinds = self.statements.types.values()
        self.numbers = sum(sizes)
        self.weight_bytes = sum(size * TYPES[kind].itemsize for size, kind in zip(sizes, kinds, strict=True))
        self.memory = max(self.statements.memory.size, 1)
        self.memory_bytes = self.memory * TYPES[real].itemsize

    def text(self) -> str:
        """Return the file."""
        made, names = self.statements, self._names()
        lines = [*made.lines] if made.memory.size else ["(void)m;", *made.lines]
        body = "\n".join("    " + line for line in lines)
        text = "\n".join([*functions(made.used), *self._tables, *made.windows])
        parts = [
            HEAD.format(**names, more="".join(self._more(names))),
            text,
            PREDICT.format(**names, body=body),
        ]
        if self.program.meaning.classes:
            listed = ",\n    ".join(map(string, self.program.meaning.classes))
            parts.append(CLASSES.format(**names, listed=listed))
        parts.append(self._check(names))
        return "\n".join([*parts, "#undef R", "#undef LARGEST", "#endif", ""])

    def _names(self) -> dict[str, object]:
        """Return the names and numbers that the parts of the file contain."""
        program, made = self.program, self.statements
        short, examples = made.real == "float", program.examples
        return {
            "name": self.name, "upper": self.name.upper(), "real": made.real, "given": made.given,
            "returned": made.returned, "inputs": program.inputs, "outputs": program.outputs,
            "memory": self.memory, "memory_bytes": self.memory_bytes, "numbers": self.numbers,
            "weight_bytes": self.weight_bytes, "classes": len(program.meaning.classes),
            "rows": 0 if examples is None else len(examples.x),
            "allowed": max(ALLOWED[made.real], ALLOWED[NETWORKS[program.dtype]]),
            "math": "name##f" if short else "name", "largest": "FLT_MAX" if short else "DBL_MAX",
            "title": self._title(), "meaning": "\n * ".join(map(comment, self._meaning())),
            "refused": "is out of range" if program.integers else "is NaN, infinite or too large",
        }  # fmt: skip

    def _title(self) -> str:
        import nnx

        title = self.program.meaning.title
        return comment(f"{self.name}: a network written by nnx {nnx.__version__}{title and f' from {title}'}")

    def _meaning(self) -> Iterator[str]:
        """Yield what the numbers of x and y are."""
        meaning, shape = self.program.meaning, " x ".join(map(str, self.program.input_shape))
        several = len(self.program.input_shape) > 1
        yield f"x: {shape} numbers, as in your data" + (", the last axis first" if several else "")
        yield from _listed("x", meaning.features)
        yield f"y: {' x '.join(map(str, self.program.output_shape))} numbers"
        yield from _listed("y", meaning.classes or meaning.targets)

    def _more(self, names: dict[str, object]) -> Iterator[str]:
        """Yield declarations that not every file has."""
        if self.program.meaning.classes:
            yield CLASSES_HEAD.format(**names)
        if self.program.examples is not None:
            yield CHECK_HEAD.format(**names)

    def _check(self, names: dict[str, object]) -> str:
        examples, made = self.program.examples, self.statements
        if examples is None:
            return ""
        x, y = (np.asarray(values).reshape(-1) for values in (examples.x, examples.y))
        shown = SHOWN.format(**names) if self.program.meaning.classes else ""
        return CHECK.format(
            **names, x=braces(x, made.given, "x"), y=braces(y, made.returned, "y"), shown=shown
        )


def write(program: Program, name: str, type: str | None = None) -> tuple[str, str]:
    """Return the text of a C file, and a sentence on its size; arguments and errors as for `Writer`."""
    made = Writer(program, name, type)
    sizes = f"weights {made.weight_bytes:,} bytes, memory {made.memory_bytes:,} bytes"
    return made.text(), f"C99 with {made.statements.real}: {sizes}"


def _listed(name: str, names: tuple[str, ...]) -> Iterator[str]:
    yield from (f"  {name}[{place}]  {one}" for place, one in enumerate(names[:LISTED]))
    if len(names) > LISTED:
        yield f"  and {len(names) - LISTED:,} more"
