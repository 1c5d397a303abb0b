"""A network as a list of simple steps, from which the writers of C, Python and JavaScript make their files.

Each step reads one or more values and writes a new one. A value is the numbers of one row, one after the
other, the last axis fastest. Value 0 is the input as the user has it. Layers that compute nothing in inference
(`Reshape`, `Dropout`, …) have no step. A sequence is an image of height 1.

In the table, *period* means that the numbers of a table repeat over the row: number i uses ``table[i % n]``.

| kind | tables | numbers | y |
|---|---|---|---|
| standardize | shift, scale (period) | | (x − shift) / scale, in float64 |
| affine | center, factor, offset (period; each may be missing) | wide | (x − center) · factor + offset; if wide, in float64 |
| dense | W (inputs, units), b | rows, inputs, units | y_r = x_r W + b |
| tied_dense | W (units, inputs), b | rows, inputs, units | y_r = x_r Wᵀ + b |
| grouped_dense | W (groups, inputs, units), b | rows, groups, inputs, units | y_rg = x_rg W_g + b_g |
| convolution | W (height, width, channels / groups, filters), b or none | windows, channels, filters, groups | as `Conv2D` |
| transposed_convolution | W (height, width, channels, filters), b or none | windows, channels, filters | as `Conv2DTranspose` |
| max_pool, average_pool | | windows, channels | as `MaxPool2D`, `AveragePool2D` |
| upsample | | height, width, channels, times | as `UpSample2D` |
| embedding | W (vocabulary, units) | count, units, vocabulary | y_i = W[x_i]; reads integers |
| category_embedding | W, begins, limits | rows, columns, units | as `CategoryEmbedding` |
| piecewise | slope, start, lowest, highest (features, bins) | rows, features, bins | y_rjt = min(max(x_rj · slope + start, lowest), highest) |
| periodic | c (features, frequencies) | rows, features, frequencies | y_rj = [cos v, sin v] with v = 2π c_j x_rj |
| activation | | name, alpha | f(x), for the kinds of `nnx.ops.activations` |
| softmax, ascending | | rows, columns | as `Softmax`, `Ascending` |
| prelu | alpha (period) | | x if x > 0, else alpha · x |
| layer_norm | gamma, beta | rows, columns, epsilon | as `LayerNorm` |
| columns | | rows, inputs, start, count | y_r = x_r[start : start + count] |
| add | | | the sum of two values |
| concatenate | | rows, widths | values next to each other, row by row |
| spread | shift, scale (one, or one for each target) | targets, epsilon | pairs (a, b) become (a · scale + shift, (softplus(b) + ε) · scale), in float64 |
"""  # noqa: E501

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from nnx.errors import ConfigurationError

HostArray = np.ndarray[Any, Any]
INPUT = 0  # the value that a program starts with


class Scaling(Protocol):
    """z = (x − shift) / scale for each number of a row; float64, one number or one for each."""

    @property
    def shift(self) -> HostArray:
        """Return the numbers to subtract."""

    @property
    def scale(self) -> HostArray:
        """Return the divisors."""


class Cell(NamedTuple):
    """How a cell of a table becomes numbers of a row.

    A cell of a column with texts becomes 1 in the number of its text, and 0 in those of the others. An empty
    cell of another column becomes `fill`; None refuses it.
    """

    column: str
    texts: tuple[str, ...] = ()
    fill: float | None = None


@dataclass(frozen=True)
class Meaning:
    """What the numbers of a row mean, and how they are scaled; all of it may be missing.

    Attributes
    ----------
    inputs, outputs : Scaling or None
        The scaling of the network's inputs, and of its targets in the training.
    task : str
        The task of ``nnx train``, such as ``"regression"``; empty for other networks.
    features : tuple of str
        Names of the inputs.
    classes, targets : tuple of str
        Names of the outputs: of classes, or of targets.
    several : tuple of str
        Names of the numbers that a regression has for each target.
    spread : bool
        Whether these are a mean and a number that becomes a standard deviation.
    title : str
        A name of the model, for the head of the file.
    cells : tuple of Cell
        For rows of a table with named columns: its cells in order. C files do not use them.
    """

    inputs: Scaling | None = None
    outputs: Scaling | None = None
    task: str = ""
    features: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    several: tuple[str, ...] = ()
    spread: bool = False
    title: str = ""
    cells: tuple[Cell, ...] = ()


@dataclass(frozen=True, eq=False)
class Examples:
    """Rows as the user has them, and what ``nnx predict`` returns for them; files check themselves with them.

    Attributes
    ----------
    x : array of shape (rows, …)
    y : array of shape (rows, …)
    """

    x: HostArray
    y: HostArray


@dataclass(frozen=True)
class Step:
    """One step of a program.

    Attributes
    ----------
    kind : str
        See the table of this module.
    sources : tuple of int
        The values that it reads.
    target : int
        The value that it writes.
    tables : dict of str to str
        For each of its tables, the name in `Program.tables`; two steps may share a table.
    numbers : dict
        Its sizes and constants.
    layer : str
        The layer that it comes from; empty for a scaling.
    """

    kind: str
    sources: tuple[int, ...]
    target: int
    tables: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, Any] = field(default_factory=dict)
    layer: str = ""


@dataclass(frozen=True, eq=False)
class Program:
    """A network with its scaling, as steps.

    Attributes
    ----------
    steps : tuple of Step
        In the order of the computation.
    values : tuple of int
        How many numbers of a row each value has.
    result : int
        The value that is the answer. It is the input if no layer computes anything.
    tables : dict of str to array
        Constants by name: on the host, contiguous, finite.
    input_shape, output_shape : tuple of int
    dtype : {"float32", "float64"}
        Of the network.
    integers : bool
        Whether the input holds integers.
    limit : int or None
        If so, they lie in 0 to `limit` − 1; None for any.
    meaning : Meaning
    examples : Examples or None
    """

    steps: tuple[Step, ...]
    values: tuple[int, ...]
    result: int
    tables: dict[str, HostArray]
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    dtype: str
    integers: bool = False
    limit: int | None = None
    meaning: Meaning = field(default_factory=Meaning)
    examples: Examples | None = None

    @property
    def inputs(self) -> int:
        """Return how many numbers a row of the input has."""
        return math.prod(self.input_shape)

    @property
    def outputs(self) -> int:
        """Return how many numbers an answer has."""
        return math.prod(self.output_shape)

    @property
    def scaled(self) -> bool:
        """Return whether the first step brings the user's numbers to the network's scale, in float64."""
        return bool(self.steps) and self.steps[0].kind == "standardize"

    @property
    def parameter_count(self) -> int:
        """Return how many numbers all tables have."""
        return sum(table.size for table in self.tables.values())

    def last_reads(self) -> dict[int, int]:
        """Return for each value the number of the last step that reads it; the result is read at the end."""
        found = {value: place for place, step in enumerate(self.steps) for value in step.sources}
        return found | {self.result: len(self.steps)}


class Builder:
    """Collects steps, values and tables.

    Parameters
    ----------
    size : int
        How many numbers a row of the input has.
    dtype : str
        The network's float type, of tables without a type of their own.
    """

    def __init__(self, size: int, dtype: str) -> None:
        self.steps: list[Step] = []
        self.values = [size]
        self.tables: dict[str, HostArray] = {}
        self.dtype = dtype
        self.layer = ""  # text of the layer that is being lowered
        self.name = "inputs"  # its name, for the names of tables

    def table(self, role: str, values: Any, dtype: str | None = None, owner: str = "") -> str:
        """Store a table as NAME.ROLE, if it is not stored yet, and return this name.

        NAME is that of the layer that is being lowered, or `owner`.

        Raises
        ------
        ConfigurationError
            If a number is not finite.
        """
        name = f"{owner or self.name}.{role}"
        if name not in self.tables:
            table = np.ascontiguousarray(values, dtype or self.dtype)
            if not np.isfinite(table).all():
                raise ConfigurationError(
                    f"{self.layer or self.name}: {role} has numbers that are NaN or infinite, with which the "
                    "model computes nothing useful: train it again, or load an earlier checkpoint"
                )
            self.tables[name] = table
        return name

    def add(
        self,
        kind: str,
        source: int | tuple[int, ...],
        size: int,
        tables: dict[str, Any] | None = None,
        exact: tuple[str, ...] = (),
        **numbers: Any,
    ) -> int:
        """Add a step that writes a new value of a size, and return the value's number.

        Parameters
        ----------
        kind : str
        source : int or tuple of int
        size : int
        tables : dict
            Arrays by role, or names of tables that are stored already; None for one that is missing.
        exact : tuple of str
            The roles of tables in float64.
        numbers
            The step's sizes and constants.
        """
        names = {
            role: given
            if isinstance(given, str)
            else self.table(role, given, "float64" if role in exact else None)
            for role, given in (tables or {}).items()
            if given is not None
        }
        self.values.append(size)
        target = len(self.values) - 1
        sources = source if isinstance(source, tuple) else (source,)
        self.steps.append(Step(kind, sources, target, names, numbers, self.layer))
        return target

    def same(self, kind: str, source: int, tables: dict[str, Any] | None = None, **numbers: Any) -> int:
        """Add a step whose result has as many numbers as its source."""
        return self.add(kind, source, self.values[source], tables, **numbers)
