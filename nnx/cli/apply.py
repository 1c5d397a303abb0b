"""Define ``nnx encode``, ``nnx reconstruct`` and ``nnx predict``: apply a trained network to files."""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Callable, Sequence
from csv import writer as csv_writer
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import click
import numpy as np

from nnx.cli import options
from nnx.cli.console import say
from nnx.errors import ConfigurationError, OutputError, counted
from nnx.experiments.train.config import RULES, defaults

FORMATS = (".npy", ".npz", ".csv")
ROW = "row"  # --id row means the number of the row

HELP = """{what} the rows of INPUT.

MODEL is a run's folder or a .safetensors file. INPUT is one or more .npy, .npz, .csv or IDX files, gzipped or
not, or images in files or folders. Each row is a sample in the shape that the network takes, with the same
numbers as in training. A table has the numbers of a row in its columns, the last axis first; that works for
up to two axes longer than 1. Bytes, as in images, are divided by 255.

If nnx train made the model, INPUT has the form of the training data: a table (named columns may be in another
order, and there may be more), an array, or images. It is scaled as in training. A note warns if numbers lie
far outside the range of the training data.

A .npy or .npz file (array x) has the outputs in their own shape. A .csv has a line for each row. If outputs
have several axes, its columns are output 1.1, output 1.2, …, with the place on each axis.

\b
Examples:
  nnx {name} runs/NAME t10k-images-idx3-ubyte.gz --out out.npy
  nnx {name} model.safetensors rows.csv --out out.csv
  nnx {name} runs/NAME monday.csv tuesday.csv --id row"""


def of_tables() -> list[Callable[[Any], Any]]:
    """Return the options of ``nnx train`` that describe the form of a table."""
    return [
        click.option("--" + name, type=options.Name(rule.known) if rule.known else str, help=rule.help,
                     default=defaults()[name], metavar=rule.metavar or None)
        for name, rule in RULES.items() if name in ("delimiter", "decimal", "encoding", "header")
    ]  # fmt: skip


def with_form(function: Any) -> Any:
    """Add the options that describe the form of a table to a command."""
    for option in of_tables():
        function = option(function)
    return function


def _command(name: str, what: str) -> Callable[[Any], click.Command]:
    """Add the arguments that these commands share."""
    existing = options.Existing()

    def decorate(function: Any) -> click.Command:
        for option in (
            *of_tables(),
            options.device,
            click.option("--force", is_flag=True, help="Allow --out to replace a file of INPUT."),
            click.option("--id", "identity", metavar="COLUMN",
                         help=f"First column of the .csv: a column of INPUT, or {ROW} for the row's number."),
            click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
                         help="A .npy, .npz or .csv file to write.  [default: print as .csv]"),
            click.argument("inputs", metavar="INPUT...", type=existing, nargs=-1, required=True),
            click.argument("model", type=existing),
        ):  # fmt: skip
            function = option(function)
        text = HELP.format(what=what, name=name)
        return click.command(name=name, help=text, short_help=f"{what} rows of a file.")(function)

    return decorate


@_command("encode", "Write an autoencoder's codes for")
def encode(model: Path, **given: Any) -> None:
    """Apply the encoder."""
    from nnx.experiments.codes import encoder_of

    _apply(model, partial(encoder_of, name=str(model)), **given)


@_command("reconstruct", "Write an autoencoder's reconstructions of")
def reconstruct(model: Path, **given: Any) -> None:
    """Apply the whole autoencoder."""
    from nnx.experiments.codes import encoder_of

    def whole(network: Any, features: int) -> Any:
        encoder_of(network, features, str(model))  # raises if it is not an autoencoder
        return network

    _apply(model, whole, **given)


@_command("predict", "Write a network's predictions for")
@click.option("--probabilities", is_flag=True,
              help="Add a column with the probability of each class (.csv).")  # fmt: skip
def predict(model: Path, **given: Any) -> None:
    """Apply any network."""
    _apply(model, lambda network, features: network, unit="answer", **given)


@dataclass
class Answers:
    """A network's outputs for the rows of one or more files.

    Attributes
    ----------
    outputs : list of array
        One array for each file.
    files : list of str
        For each row, its image file, or the file that contains it; empty if there is only one file.
    identities : list of str
        For each row, its cell in the column of ``--id``; empty without this option.
    heading : str
        Heading of the identities.
    """

    outputs: list[Any] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    identities: list[str] = field(default_factory=list)
    heading: str = ""

    def before(self) -> tuple[list[str], list[list[str]]]:
        """Return the headings and the columns to write before the outputs."""
        columns = {self.heading: self.identities, "file": self.files}
        kept = {heading: cells for heading, cells in columns.items() if cells}
        return list(kept), list(kept.values())


def _apply(
    model: Path,
    choose: Callable[[Any, int], Any],
    inputs: Sequence[Path],
    out: Path | None,
    device: str | None,
    identity: str | None,
    force: bool,
    probabilities: bool = False,
    unit: str = "row",
    **table: Any,
) -> None:
    from nnx.experiments.train.applying import Model
    from nnx.files import make_folder, replacing
    from nnx.readers.form import Reading

    csv = out is None or out.suffix.lower() == ".csv"
    if out is not None:
        _check_out(out, inputs, force)
    if identity is not None and not csv:
        raise ConfigurationError(
            f"--id {identity} adds a column to a .csv file, but --out is {out}: remove --id, or write .csv"
        )
    trained = Model.load(model, device, Reading(**table))
    if probabilities and trained.prepared and trained.prepared.decides:
        raise ConfigurationError(
            "--probabilities: the network was trained with a hinge loss, which gives no probabilities: leave "
            "it out, or train with --loss cross_entropy"
        )
    if probabilities and not (csv and trained.classes):
        raise ConfigurationError(
            "--probabilities needs a classifier made by nnx train or nnx run classifier, and writes to a "
            ".csv file: remove it; a .npy file always contains the network's outputs"
        )
    answers = _answers(trained, choose, inputs, identity)
    for note in trained.notes:
        say(f"note: {note}")
    result = np.concatenate(answers.outputs)
    if out is None:
        if sys.stdout is None:
            raise OutputError("standard output is closed: write to a file with --out")
        text = io.BytesIO()
        _write_table(text, result, trained, answers, probabilities)
        click.echo(text.getvalue(), nl=False)
        return
    make_folder(out.parent)
    with replacing(out) as file:
        if csv:
            _write_table(file, result, trained, answers, probabilities)
        elif out.suffix.lower() == ".npz":
            np.savez(file, allow_pickle=False, x=result)  # x: what nnx reads from an archive
        else:
            np.save(file, result, allow_pickle=False)
    rows = counted(len(result), unit)
    say(f"{out}: {rows} of {' × '.join(map(str, result.shape[1:]))}" if unit == "row" else f"{out}: {rows}")


def _check_out(out: Path, inputs: Sequence[Path], force: bool) -> None:
    """Refuse a name without a known format, and a file that is an input."""
    if out.suffix.lower() not in FORMATS:
        raise ConfigurationError(f"--out {out}: the name must end in {' or '.join(FORMATS)}")
    if not force and out.exists() and any(out.samefile(source) for source in inputs):
        raise ConfigurationError(
            f"--out {out} is also an INPUT, and would replace it: choose another name, or add --force"
        )


def _answers(
    trained: Any, choose: Callable[[Any, int], Any], inputs: Sequence[Path], identity: str | None
) -> Answers:
    found = Answers()
    for source in inputs:
        x, files = trained.read(source)
        found.outputs.append(trained.predict(x, choose(trained.network, math.prod(x.shape[1:]))))
        if files or len(inputs) > 1:
            found.files += files or [str(source)] * len(x)
        if identity is not None:
            heading, cells = _identities(source, identity, trained, len(x), files is None)
            found.heading = found.heading or heading
            found.identities += cells
    return found


def _identities(source: Path, column: str, trained: Any, rows: int, table: bool) -> tuple[str, list[str]]:
    """Return a heading and the cells of a table's column, or the rows' numbers if there is no such column."""
    from nnx.experiments.train.labelled import identities
    from nnx.readers.arrays import kind_of
    from nnx.readers.idx import MAX_BYTES
    from nnx.readers.opening import reading

    if table:
        with reading(source) as file:
            if kind_of(file, source) == "csv":
                layout = trained.prepared and trained.prepared.layout
                try:
                    heading, cells = identities(file, str(source), column, layout, trained.how, MAX_BYTES)
                except ConfigurationError:
                    if column != ROW:
                        raise
                else:
                    return heading, cells
    if column != ROW:
        raise ConfigurationError(
            f"{source} has no named columns, so there is no column {column!r}: use --id {ROW} for the "
            "numbers of the rows"
        )
    return ROW, [str(number + 1) for number in range(rows)]


def _places(shape: tuple[int, ...]) -> list[str]:
    """Name the numbers of a row by their place on each axis, from 1: ``output 3``, ``output 1.3``."""
    return [f"output {'.'.join(str(index + 1) for index in place)}" for place in np.ndindex(shape)]


def _write_table(file: BinaryIO, result: Any, trained: Any, answers: Answers, probabilities: bool) -> None:
    """Write a line for each row: its identity and its file, if there are any, and its class or outputs."""
    heads, before = answers.before()
    several, shape, prepared = result.ndim > 2, result.shape[1:], trained.prepared
    result = result.reshape(len(result), -1)
    names = trained.names(result.shape[1])
    classes = names if names and trained.classes else None
    values = probabilities or not classes
    if classes:
        heads.append(prepared.targets[0] if prepared and prepared.targets else "class")
    if values:
        heads += names or (_places(shape) if heads or several else [])
    text = io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="")
    writer = csv_writer(text, lineterminator="\n")
    if heads:
        writer.writerow(heads)
    for number, row in enumerate(result):
        cells = [column[number] for column in before]
        cells += [classes[int(np.argmax(row))]] if classes else []
        cells += [str(value) for value in row] if values else []  # the shortest text that gives this number
        writer.writerow(cells)
    text.flush()
    text.detach()
