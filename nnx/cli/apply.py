"""``nnx encode``, ``reconstruct`` and ``predict``: a trained network on arrays from a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

from nnx.cli import options
from nnx.cli.console import say
from nnx.errors import ConfigurationError

FORMATS = (".npy", ".csv")

HELP = """{what} the rows of INPUT.

MODEL is a run's folder or a .safetensors file. INPUT is a .npy, .npz, .csv or IDX file (gzipped or plain) of
numbers as the network was trained on, one row a sample; bytes, as images have them, are divided by 255.

\b
Examples:
  nnx {name} runs/NAME t10k-images-idx3-ubyte.gz --out out.npy
  nnx {name} model.safetensors rows.csv --out out.csv"""


def _command(name: str, what: str) -> Callable[[Any], click.Command]:
    """The arguments these commands share."""
    existing = click.Path(path_type=Path, exists=True)

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
def predict(model: Path, input: Path, out: Path, device: str | None) -> None:
    """Any network."""
    _apply(model, input, out, device, lambda network, features: network)


def _apply(
    model: Path, source: Path, out: Path, device: str | None, choose: Callable[[Any, int], Any]
) -> None:
    from nnx import datasets
    from nnx.experiments.result import model_path
    from nnx.files import make_folder, replacing
    from nnx.network import load

    if out.suffix.lower() not in FORMATS:
        raise ConfigurationError(f"--out {out}: the name must end in {' or '.join(FORMATS)}")
    network = load(model_path(model), device=device)
    x = datasets.load_arrays(source, dtype=network.dtype)
    result = choose(network, x.shape[1]).predict(x)
    make_folder(out.parent)
    with replacing(out) as temporary, temporary.open("wb") as file:
        if out.suffix.lower() == ".npy":
            np.save(file, result, allow_pickle=False)
        else:
            np.savetxt(file, result, delimiter=",", fmt="%.9g" if result.dtype == np.float32 else "%.17g")
    say(f"{out}: {result.shape[0]} rows of {result.shape[1]}")
