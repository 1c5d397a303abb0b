"""``nnx encode``, ``reconstruct`` and ``predict``: a trained network on arrays from a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

from nnx.cli.console import say
from nnx.errors import ConfigurationError

FORMATS = (".npy", ".csv")


def _command(name: str, help_text: str) -> Callable[[Any], click.Command]:
    """The arguments these commands share."""

    def decorate(function: Any) -> click.Command:
        for option in (
            click.option("--device", default=None, help="auto, cpu, gpu, gpu:N, numpy or cupy."),
            click.option(
                "--out", required=True, type=click.Path(path_type=Path), help="A .npy or .csv file."
            ),
            click.argument("input", type=click.Path(path_type=Path)),
            click.argument("model", type=click.Path(path_type=Path)),
        ):
            function = option(function)
        example = f"\n\n\\b\nExample:\n  nnx {name} runs/NAME digits.npy --out {name}.npy"
        return click.command(name=name, help=help_text + example)(function)

    return decorate


@_command("encode", "The codes that the autoencoder MODEL gives the rows of INPUT (npy, npz, csv or IDX).")
def encode(model: Path, input: Path, out: Path, device: str | None) -> None:
    """See the help text."""
    from nnx.experiments.svm import encoder_of

    _apply(model, input, out, device, encoder_of)


@_command("reconstruct", "What the autoencoder MODEL makes of the rows of INPUT (npy, npz, csv or IDX).")
def reconstruct(model: Path, input: Path, out: Path, device: str | None) -> None:
    """See the help text."""
    from nnx.experiments.svm import encoder_of

    def whole(network: Any, features: int) -> Any:
        encoder_of(network, features)  # refuses what is no autoencoder
        return network

    _apply(model, input, out, device, whole)


@_command("predict", "The outputs of the network MODEL for the rows of INPUT (npy, npz, csv or IDX).")
def predict(model: Path, input: Path, out: Path, device: str | None) -> None:
    """See the help text."""
    _apply(model, input, out, device, lambda network, features: network)


def _apply(
    model: Path, source: Path, out: Path, device: str | None, choose: Callable[[Any, int], Any]
) -> None:
    from nnx import datasets
    from nnx.experiments.result import model_path
    from nnx.files import replacing
    from nnx.network import load

    if out.suffix.lower() not in FORMATS:
        raise ConfigurationError(f"--out {out}: the name must end in {' or '.join(FORMATS)}")
    network = load(model_path(model), device=device)
    x = datasets.load_arrays(source)
    result = choose(network, x.shape[1]).predict(x)
    with replacing(out) as temporary, temporary.open("wb") as file:
        if out.suffix.lower() == ".npy":
            np.save(file, result, allow_pickle=False)
        else:
            np.savetxt(file, result, delimiter=",", fmt="%.9g")
    say(f"{out}: {result.shape[0]} rows of {result.shape[1]}")
