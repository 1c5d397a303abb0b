"""``nnx encode``, ``reconstruct`` and ``predict``: a trained network on arrays from a file."""

from __future__ import annotations

import io
from collections.abc import Callable
from csv import writer as csv_writer
from pathlib import Path
from typing import Any, BinaryIO

import click
import numpy as np

from nnx.cli import options
from nnx.cli.console import say
from nnx.errors import ConfigurationError

FORMATS = (".npy", ".csv")

HELP = """{what} the rows of INPUT.

MODEL is a run's folder or a .safetensors file. INPUT is a .npy, .npz, .csv or IDX file (gzipped or plain) of
numbers as the network was trained on, one row a sample; bytes, as images have them, are divided by 255. For a
model of nnx train, INPUT is laid out as what it was trained on (a table may have more columns where they are
named; a folder or a file of images), and is scaled as that was.

\b
Examples:
  nnx {name} runs/NAME t10k-images-idx3-ubyte.gz --out out.npy
  nnx {name} model.safetensors rows.csv --out out.csv"""


def _command(name: str, what: str) -> Callable[[Any], click.Command]:
    """The arguments these commands share."""
    existing = options.Existing()

    def decorate(function: Any) -> click.Command:
        for option in (
            options.device,
            click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False),
                         metavar="FILE", help="A .npy or .csv file to write."),
            click.argument("input", type=existing),
            click.argument("model", type=existing),
        ):  # fmt: skip
            function = option(function)
        text = HELP.format(what=what, name=name)
        return click.command(name=name, help=text, short_help=f"{what} rows of a file.")(function)

    return decorate


@_command("encode", "Write the codes that an autoencoder gives")
def encode(model: Path, input: Path, out: Path, device: str | None) -> None:
    """The encoder alone."""
    from nnx.experiments.svm import encoder_of

    _apply(model, input, out, device, encoder_of)


@_command("reconstruct", "Write what an autoencoder makes of")
def reconstruct(model: Path, input: Path, out: Path, device: str | None) -> None:
    """The whole autoencoder."""
    from nnx.experiments.svm import encoder_of

    def whole(network: Any, features: int) -> Any:
        encoder_of(network, features)  # refuses what is no autoencoder
        return network

    _apply(model, input, out, device, whole)


@_command("predict", "Write the outputs of a network for")
@click.option("--probabilities", is_flag=True, help="Of each class, beside the likeliest, in a .csv file.")
def predict(model: Path, input: Path, out: Path, device: str | None, probabilities: bool) -> None:
    """Any network."""
    _apply(model, input, out, device, lambda network, features: network, probabilities)


def _apply(
    model: Path,
    source: Path,
    out: Path,
    device: str | None,
    choose: Callable[[Any, int], Any],
    probabilities: bool = False,
) -> None:
    from nnx.checkpoints import read_metadata
    from nnx.datasets import load_arrays
    from nnx.datasets.labelled import load_inputs
    from nnx.experiments.preparation import Preparation
    from nnx.experiments.result import model_path
    from nnx.files import make_folder, replacing
    from nnx.network import load

    csv = out.suffix.lower() == ".csv"
    if out.suffix.lower() not in FORMATS:
        raise ConfigurationError(f"--out {out}: the name must end in {' or '.join(FORMATS)}")
    path = model_path(model)
    network = load(path, device=device)
    prepared = Preparation.of_model(path, read_metadata(path), network)
    if probabilities and not (csv and prepared and prepared.classes):
        raise ConfigurationError(
            "--probabilities stand in a .csv file beside classes, which a model of nnx train has; "
            "a .npy file always holds them"
        )
    files: list[str] | None = None
    if prepared is None:
        x = load_arrays(source, dtype=network.dtype)
        result = choose(network, x.shape[1]).predict(x)
    else:
        x, files = load_inputs(source, prepared.layout)
        result = prepared.predict(choose(network, x.shape[1]), x)
    make_folder(out.parent)
    with replacing(out) as file:
        if not csv:
            np.save(file, result, allow_pickle=False)
        elif prepared is None:
            _write_numbers(file, result)
        else:
            _write_table(file, result, prepared, files, probabilities)
    say(f"{out}: {result.shape[0]} rows of {result.shape[1]}")


def _number_format(result: Any) -> str:
    """So many digits that the same number is read again."""
    return "%.9g" if result.dtype == np.float32 else "%.17g"


def _write_numbers(file: BinaryIO, result: Any) -> None:
    np.savetxt(file, result, delimiter=",", fmt=_number_format(result))


def _write_table(
    file: BinaryIO, result: Any, prepared: Any, files: list[str] | None, probabilities: bool
) -> None:
    """A line for each row: its file, where it is an image; then its class, or numbers."""
    names = prepared.names(result.shape[1])
    classes = names is not None and bool(prepared.classes)
    heads = [] if files is None else ["file"]
    heads += ["class"] if classes else []
    if probabilities or not classes:
        heads += names or ([f"output {number + 1}" for number in range(result.shape[1])] if files else [])
    text = io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="")
    writer = csv_writer(text, lineterminator="\n")
    if heads:
        writer.writerow(heads)
    digits = _number_format(result)
    for index, row in enumerate(result):
        cells = [] if files is None else [files[index]]
        cells += [names[int(np.argmax(row))]] if classes else []
        cells += [digits % value for value in row] if probabilities or not classes else []
        writer.writerow(cells)
    text.flush()
    text.detach()
