"""Show a trace as text: forward, loss, backward, one weight, and the update, in 80 columns."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nnx.errors import counted
from nnx.tracing import formulas
from nnx.tracing.formulas import factor, number
from nnx.tracing.path import Path, weights_before
from nnx.tracing.result import HostArray, LayerTrace
from nnx.tracing.windows import ROWS, flat, shares, some_rows, window

if TYPE_CHECKING:
    from nnx.tracing.result import Trace

CELL = 11  # characters of a number in a table, with the space around it
Part = tuple[str, HostArray, int]  # the title of an array in a table, its rows, and the column to show


def as_text(trace: Trace, weight: str, row: int | None, through: tuple[str, ...], width: int) -> str:
    """Return a trace as text without colours; `Trace.text` describes it."""
    from rich.console import Console

    file = io.StringIO()
    console = Console(file=file, width=width, color_system=None, highlight=False, force_terminal=False)
    render(trace, console, weight, row, through)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def render(trace: Trace, console: Any, weight: str, row: int | None, through: tuple[str, ...] = ()) -> None:
    """Print a trace to a console of rich; the other arguments are those of `Trace.path`."""
    if trace.parameters:
        page = Page(trace, console, trace.path(weight, row, through))
        page.print()
    else:
        console.print("this network has no parameters: a training step changes nothing")


class Page:
    """The text of one trace.

    Parameters
    ----------
    trace : Trace
    console : rich.console.Console
    path : Path
        The path that is shown in large networks.
    """

    def __init__(self, trace: Trace, console: Any, path: Path) -> None:
        self.trace, self.console, self.path = trace, console, path
        self.on_path = path.units()

    def print(self) -> None:
        """Print all parts in order."""
        self.head()
        self.forward()
        self.loss()
        self.backward()
        self.weight()
        self.update()

    # ----------------------------------------------------------------- small parts

    def line(self, text: str = "", style: str = "") -> None:
        """Print a line; a longer one is continued below."""
        from rich.padding import Padding
        from rich.text import Text

        indent = len(text) - len(text.lstrip())
        self.console.print(Padding(Text(text.strip(), style=style), (0, 0, 0, indent), expand=False))

    def title(self, text: str) -> None:
        """Print the title of a part."""
        from rich.rule import Rule
        from rich.text import Text

        self.console.print()
        self.console.print(Rule(Text(text, style="bold"), align="left", style="dim"))

    def heading(self, one: LayerTrace) -> None:
        """Print the name of a layer, and its shapes."""
        described = f"{one.kind}{repr(one.layer).removeprefix(one.name)}".removesuffix("()")
        shapes = " → ".join(_shape(array) for array in (one.x, one.y))
        fused = f", in one operation with {one.fused}" if one.fused else ""
        self.console.print()
        self.line(f"{one.name}: {described}", "bold cyan")
        self.line(f"  {shapes}{fused}", "dim")

    def formula(self, symbols: str, numbers: str = "") -> None:
        """Print a formula with symbols, and below it with numbers."""
        if symbols:
            self.line(f"  {symbols}", "green")
        if numbers:
            self.line(f"  {numbers}", "bright_white" if self.console.is_terminal else "")

    def table(
        self, parts: Sequence[Part], rows: Sequence[int], row_title: str = "row",
        names: Mapping[int, str] | None = None,
    ) -> None:  # fmt: skip
        """Print arrays next to each other, as far as they fit; `names` replaces numbers of rows."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        columns = shares([part[1].shape[1] for part in parts], (self.console.width - 8) // CELL)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        table.add_column(row_title, justify="right", style="dim")
        cells: list[list[str]] = [[(names or {}).get(row, str(row) if row_title else "")] for row in rows]
        for (title, array, chosen), most in zip(parts, columns, strict=True):
            shown = window(array.shape[1], [chosen], most)
            for place in shown:
                table.add_column(Text(f"{title}[{place}]" if array.shape[1] > 1 else title), justify="right")
            for line, row in zip(cells, rows, strict=True):
                line += [number(array[row, place]) for place in shown]
        for line, row in zip(cells, rows, strict=True):
            style = "bold" if row == self.path.row and row_title == "row" and len(rows) > 1 else ""
            table.add_row(*line, style=style)
        self.console.print(table)
        hidden = [f"{most} of {part[1].shape[1]} columns of {part[0]}"
                  for part, most in zip(parts, columns, strict=True) if part[1].shape[1] > most]  # fmt: skip
        if len(parts[0][1]) > len(rows):
            extra = len(names or {})
            hidden.insert(0, f"{len(rows) - extra} of {len(parts[0][1]) - extra} {row_title}s")
        if hidden:
            self.line(f"  ({', '.join(hidden)})", "dim")

    def rows(self) -> list[int]:
        """Return the rows of the batch that are shown."""
        return some_rows(self.trace.rows, self.path.row)

    # ----------------------------------------------------------------- the parts

    def head(self) -> None:
        """Print what was traced."""
        trace, network = self.trace, self.trace.network
        self.line(f"One training step of {counted(len(trace.layers), 'layer')}", "bold")
        kind = f"{network.precision}, {network.device} ({network.backend.name}), seed {network.seed}"
        self.line(
            f"  {counted(trace.rows, 'row')}, {counted(network.parameter_count(), 'parameter')}, {kind}"
        )
        self.line(f"  loss {trace.loss.loss!r}")
        self.line(f"  optimizer {_short(trace.optimizer)}, its step {trace.step}")
        self.line("  x is the input of a layer, dy means dL/dy: the slope of the loss L", "dim")

    def forward(self) -> None:
        """Print inputs and outputs of every layer."""
        self.title("1  Forward")
        for one in self.trace.layers:
            self.heading(one)
            symbols, _ = formulas.of_layer(one.layer)
            self.formula(symbols, self._forward_numbers(one))
            source, unit = self._places(one)
            if one.layer.is_view:
                continue
            names = ("z", "y") if formulas.is_activation(one.layer) else ("x", _output(one))
            self.table([(names[0], flat(one.x), source), (names[1], flat(one.y), unit)], self.rows())
            if formulas.is_dense(one.layer):
                self._weights(one, source, unit)

    def _weights(self, one: LayerTrace, source: int, unit: int) -> None:
        """Print W and b of a dense layer; b is the last row."""
        W = weights_before(self.trace, one)
        both = np.vstack([W, self.trace.parameters[f"{one.name}.b"].before])
        rows = [*some_rows(len(W), source % len(W)), len(W)]
        self.console.print()
        self.table([("W", both, unit % W.shape[1])], rows, "input", {len(W): "b"})

    def _places(self, one: LayerTrace) -> tuple[int, int]:
        """Return the input and the output of a layer that the path goes through."""
        last = (self.path.steps[0].input,) * 2 if one.fused == "the loss" else (0, 0)
        return self.on_path.get(one.name, last)

    def _forward_numbers(self, one: LayerTrace) -> str:
        if one.name not in self.on_path and one is not self.trace.layers[-1]:
            return ""
        source, unit = self._places(one)
        row = self.path.row
        if formulas.is_dense(one.layer):
            position, j = divmod(unit, one.y.shape[-1])
            x = one.x[row].reshape(-1, one.x.shape[-1])[position]
            W = weights_before(self.trace, one)
            b = float(self.trace.parameters[f"{one.name}.b"].before[j])
            pairs = [(float(a), float(w)) for a, w in zip(x, W[:, j], strict=True)]
            return f"z[{row}, {unit}] = {formulas.product_sum(pairs, b)} = {number(one.y[row].flat[unit])}"
        if formulas.is_activation(one.layer):
            z, y = float(one.x[row].flat[source]), float(one.y[row].flat[unit])
            text, _ = formulas.activation_numbers(one.layer, z, y)
            middle = "" if text == number(y) else f"{text} = "
            return f"y[{row}, {unit}] = {middle}{number(y)}"
        return ""

    def loss(self) -> None:
        """Print the loss of each row, and the slope where the backward pass starts."""
        trace = self.trace.loss
        self.title("2  Loss")
        whole, each = formulas.of_loss(trace)
        self.formula(whole)
        if each and trace.kind != type(trace.loss).kind:
            self.formula(f"with the last activation: {each}")
        of_rows = formulas.row_losses(trace)
        some = [number(value) for value in of_rows[:ROWS]] + ["…"] * (len(of_rows) > ROWS)
        terms = "".join(f" + {factor(value)} ({name})" for name, value in trace.terms.items())
        self.formula("", f"L = ({' + '.join(some)}) / {len(of_rows)}{terms} = {number(trace.total, 6)}")
        step = self.path.steps[0]
        name = step.symbols.partition("[")[0]
        self.formula("", f"{name}[{self.path.row}, {step.input}] = {_equals(step.numbers, step.gradient)}")
        letter = name[-1] if name[-1] == "z" else "p"
        parts: list[Part] = [
            (letter, flat(trace.y_pred), step.input), ("target", flat(trace.y_true), step.input),
            ("ℓ", np.array(of_rows).reshape(-1, 1), 0), (f"d{letter}", flat(trace.dy), step.input),
        ]  # fmt: skip
        self.console.print()
        self.table(parts, self.rows())

    def backward(self) -> None:
        """Print the gradients of every layer, from the last to the first."""
        self.title("3  Backward")
        for one in reversed(self.trace.layers):
            if one.fused == "the loss" or one.layer.is_view:
                continue
            self.heading(one)
            _, symbols = formulas.of_layer(one.layer)
            self.formula(symbols, self._backward_numbers(one))
            source, unit = self.on_path.get(one.name, (0, 0))
            inside = formulas.is_activation(one.layer)
            parts: list[Part] = []
            if one.dy is not None:
                parts.append(("dy" if inside else f"d{_output(one)}", flat(one.dy), unit))
            if one.dx is not None:
                parts.append(("dz" if inside else "dx", flat(one.dx), source))
            if parts:
                self.table(parts, self.rows())
            if one.dx is None:
                self.line("  dx is not computed: nothing needs it", "dim")
            self._gradients(one, source, unit)

    def _backward_numbers(self, one: LayerTrace) -> str:
        if one.name not in self.on_path or one.dy is None or one.dx is None:
            return ""
        source, _ = self.on_path[one.name]
        row = self.path.row
        dx = number(one.dx[row].flat[source])
        if formulas.is_dense(one.layer):
            position, i = divmod(source, one.x.shape[-1])
            dz = one.dy[row].reshape(-1, one.dy.shape[-1])[position]
            pairs = [
                (float(d), float(w)) for d, w in zip(dz, weights_before(self.trace, one)[i], strict=True)
            ]
            return f"dx[{row}, {source}] = {_equals(formulas.product_sum(pairs), one.dx[row].flat[source])}"
        if formulas.is_activation(one.layer) and one.layer.kind != "softmax":  # type: ignore[attr-defined]
            z, y, dy = (float(array[row].flat[source]) for array in (one.x, one.y, one.dy))
            _, slope = formulas.activation_numbers(one.layer, z, y)
            slope = slope if slope.replace(".", "").isdigit() else f"({slope})"
            return f"dz[{row}, {source}] = {factor(dy)} · {slope} = {dx}"
        return ""

    def _gradients(self, one: LayerTrace, source: int, unit: int) -> None:
        """Print the gradients of a layer's parameters."""
        for name, parameter in self.trace.parameters.items():
            if name.rpartition(".")[0] != one.name:
                continue
            short = f"d{name.rpartition('.')[2]}"
            gradient = parameter.gradient
            if gradient.ndim == 2:
                row = source % len(gradient)
                self.console.print()
                self.table(
                    [(short, gradient, unit % gradient.shape[1])], some_rows(len(gradient), row), "input"
                )
            else:
                self.console.print()
                values = gradient.reshape(1, -1)
                self.table([(short, values, unit % values.shape[1])], [0], "")

    def weight(self) -> None:
        """Print the gradient of the chosen weight as a sum, and the path to it."""
        chosen, path = self.path.weight, self.path
        short = chosen.name.rpartition(".")[2]
        index = ", ".join(map(str, chosen.index))
        self.title(f"4  The weight {chosen}")
        if chosen.summands:
            unit = chosen.index[-1]
            where = f"x[r, {chosen.index[0]}] · " if len(chosen.index) > 1 else ""
            pairs = [(one.x, one.dz) for one in chosen.summands]
            rest = (chosen.rest,) if chosen.rest else ()
            if where:
                total = formulas.product_sum(pairs, *rest)
            else:
                total = " + ".join(factor(one.dz) for one in chosen.summands[:ROWS])
                total += " + …" if len(chosen.summands) > ROWS else ""
            rows = "rows r" if self.trace.rows == len(pairs) else "rows and positions r"
            self.formula(
                f"d{short}[{index}] = Σ {where}dz[r, {unit}]  over the {rows}",
                f"= {total} = {number(chosen.gradient, 6)}",
            )
            if chosen.rest:
                self.line(
                    "  the last number comes from other layers that use this weight, or a term of the loss",
                    "dim",
                )
        else:
            self.line(f"  d{short}[{index}] = {number(chosen.gradient, 6)}, from the layer's backward pass")
        self.console.print()
        self.line(f"  One path of this gradient, in row {path.row}: every layer multiplies the slope.")
        self._path_table()

    def _path_table(self) -> None:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for title in ("layer", "factor", "with numbers"):
            table.add_column(title)
        for title in ("value", "slope over all paths"):
            table.add_column(title, justify="right")
        for step in self.path.steps:
            numbers = "" if step.factor is not None and step.numbers == number(step.factor) else step.numbers
            value = "?" if step.factor is None else number(step.factor)
            slope = "" if step.gradient is None else number(step.gradient)
            table.add_row(*map(Text, (step.layer, step.symbols, numbers, value, slope)))
        self.console.print(table)
        product = self.path.product
        if product is not None:
            chosen = self.path.weight
            whole = number(chosen.gradient)
            self.line(f"  product {number(product)}: the part of this path; all paths and rows: {whole}")

    def update(self) -> None:
        """Print the update of the chosen weight, and the parameters before and after it."""
        self.title(f"5  Update by {type(self.trace.optimizer).__name__}")
        for line in self.path.weight.update:
            self.formula(line.symbols, _equals(line.numbers, line.value, 6))
        for name in dict.fromkeys([self.path.weight.name, *self.trace.parameters]):
            parameter = self.trace.parameters[name]
            before, after = (_matrix(array) for array in (parameter.before, parameter.after))
            row, column = self._place(name, before)
            self.console.print()
            self.line(f"{name}{'' if parameter.trainable else ', frozen'}", "bold cyan")
            rows = some_rows(len(before), row)
            self.table(
                [("before", before, column), ("after", after, column)],
                rows,
                "input" if len(before) > 1 else "",
            )

    def _place(self, name: str, matrix: HostArray) -> tuple[int, int]:
        """Return the row and the column of a parameter to show."""
        chosen = self.path.weight
        if name == chosen.name and len(chosen.index) < 3:
            return (chosen.index[0] if len(chosen.index) > 1 else 0), chosen.index[-1]
        source, unit = self.on_path.get(name.rpartition(".")[0], (0, 0))
        return source % len(matrix), unit % matrix.shape[1]


def _matrix(array: HostArray) -> HostArray:
    """Return a parameter as a matrix: that of a bias has one row."""
    return array.reshape(1, -1) if array.ndim < 2 else array.reshape(-1, array.shape[-1])


def _equals(numbers: str, value: float | None, digits: int = formulas.DIGITS) -> str:
    text = "?" if value is None else number(value, digits)
    return text if numbers == text or numbers == number(value or 0.0) else f"{numbers} = {text}"


def _shape(array: HostArray) -> str:
    return f"({', '.join(map(str, array.shape))})"


def _output(one: LayerTrace) -> str:
    """Return the letter of a layer's output: z for a dense layer."""
    return "z" if formulas.is_dense(one.layer) else "y"


def _short(optimizer: Any) -> str:
    """Return an optimizer with the arguments that change something."""
    settings = {name: value for name, value in optimizer.config().items() if value not in (0.0, None, False)}
    settings["learning_rate"] = getattr(optimizer, "learning_rate", None)
    given = ", ".join(f"{name}={value!r}" for name, value in settings.items() if value is not None)
    return f"{type(optimizer).__name__}({given})"
