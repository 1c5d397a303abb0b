"""``nnx export``: a trained network as a file that other programs read."""

from __future__ import annotations

from pathlib import Path

import click

from nnx.cli import options
from nnx.cli.console import say
from nnx.errors import ConfigurationError

FORMATS = (".onnx", ".keras")


@click.command(short_help="Write a network for other programs.")
@click.argument("model", type=options.Existing())
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="A .onnx or .keras file to write.")  # fmt: skip
def export(model: Path, out: Path) -> None:
    """Write MODEL, a run's folder or a .safetensors file, as an ONNX or Keras file.

    The scaling that nnx train keeps beside a network goes into it, as a first and a last layer: it takes rows
    as they stand in the user's own files.

    \b
    Examples:
      nnx export runs/NAME --out model.onnx
      nnx export model.safetensors --out model.keras
    """
    from nnx.checkpoints import read_metadata
    from nnx.experiments.preparation import Preparation
    from nnx.experiments.result import model_path
    from nnx.files import make_folder
    from nnx.interop import keras, onnx
    from nnx.network import load

    writers = dict(zip(FORMATS, (onnx.export, keras.export), strict=True))
    write = writers.get(out.suffix.lower())
    if write is None:
        raise ConfigurationError(f"--out {out}: the name must end in {' or '.join(FORMATS)}")
    path = model_path(model)
    network = load(path, device="cpu")
    prepared = Preparation.of_model(path, read_metadata(path), network)
    if prepared is not None:
        network = prepared.within(network)
    make_folder(out.parent)
    write(network, out)
    say(f"{out}: {len(network)} layers, {network.parameter_count():,} parameters")
