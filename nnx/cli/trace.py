"""Define ``nnx trace``: show one training step number by number."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from nnx import losses, optimizers
from nnx.cli import options
from nnx.cli.console import open_page, say
from nnx.errors import ConfigurationError

WIDTH = 80  # of the text in a file or a pipe
NARROWEST = 40


@click.command(short_help="Show one training step number by number.")
@click.argument("model", type=options.Existing(), required=False)
@click.option("--data", type=options.Existing(), metavar="FILE",
              help="Rows with targets, in columns as in the training data.  "
              "[default: the training data]")  # fmt: skip
@click.option("--target", multiple=True, metavar="COLUMN[,…]",
              help="The columns of the table that are targets.")  # fmt: skip
@click.option("--rows", type=options.Whole(min=1), default=4, show_default=True, metavar="N",
              help="How many of the first rows are the batch.")  # fmt: skip
@click.option("--loss", type=options.Name(tuple(losses.NAMES)), metavar="NAME",
              help="Such as mse or cross_entropy.  [default: what fits the model]")  # fmt: skip
@click.option("--optimizer", type=options.Name(tuple(optimizers.NAMES)), default="sgd",
              show_default=True, metavar="NAME", help="Such as sgd, adam or rmsprop.")  # fmt: skip
@click.option("--learning-rate", type=click.FloatRange(min=0.0), metavar="RATE",
              help="Default: that of the optimizer.")  # fmt: skip
@click.option("--weight", default="", metavar="NAME[I,J]",
              help="The weight to explain, such as dense_1.W[0,2].  [default: a large gradient]")  # fmt: skip
@click.option("--row", type=options.Whole(min=0), metavar="N",
              help="The row of the batch to follow, from 0.")  # fmt: skip
@click.option("--through", multiple=True, metavar="NAME[I]",
              help="A unit on the path, such as dense_2[5]. Can be given several times.")  # fmt: skip
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write a page to walk through, and print no text.")  # fmt: skip
@click.option("--open", "open_", is_flag=True, help="Open the page in a browser.")
@click.option("--seed", type=options.Whole(min=0), default=0, show_default=True, metavar="N",
              help="Seed of the XOR network, without MODEL.")  # fmt: skip
def trace(
    model: Path | None, data: Path | None, target: tuple[str, ...], rows: int, loss: str | None,
    optimizer: str, learning_rate: float | None, weight: str, row: int | None, through: tuple[str, ...],
    html: Path | None, open_: bool, seed: int,
) -> None:  # fmt: skip
    """Show one training step number by number: forward, loss, backward, update.

    MODEL is a run's folder or a .safetensors file; it is not changed. Without it, a small network learns XOR.
    In a large network, the numbers along one path are shown, from the loss back to the chosen weight.

    \b
    Examples:
      nnx trace
      nnx trace --optimizer adam --weight dense_1.W[0,1]
      nnx trace --html xor.html --open
      nnx trace runs/NAME --data flowers.csv --rows 8
    """
    from nnx.experiments.train.batch import of_model, usual_loss

    if model is None and data is not None:
        raise ConfigurationError("--data is for a trained network: give MODEL too")
    if open_ and html is None:
        raise ConfigurationError("--open shows a page: name its file with --html")
    used = _model(model, seed)
    x, y = of_model(used, data or _of_training(model), target, rows)
    network = used.network
    settings: dict[str, Any] = {} if learning_rate is None else {"learning_rate": learning_rate}
    found = network.trace(
        x, y, loss or usual_loss(network, used.prepared), optimizers.get(optimizer, **settings)
    )
    if html is None:
        _print(found, weight, row, through)
        return
    from nnx.pages.trace import write_trace

    click.echo(write_trace(found, html, weight, row, through))
    if open_:
        open_page(html)


def _of_training(model: Path | None) -> Path | None:
    """Return the file that a model was trained on; None if it is not known, or not there any more."""
    from nnx.checkpoints import read_metadata
    from nnx.experiments.result import model_path

    name = "" if model is None else str(read_metadata(model_path(model)).get("dataset", ""))
    if not name or not Path(name).is_file():
        return None
    say(f"rows of {name}, on which the model was trained")
    return Path(name)


def _model(path: Path | None, seed: int) -> Any:
    """Return the model in a file, or a small network for XOR."""
    from nnx.experiments.train.applying import Model
    from nnx.layers import Dense, Sigmoid, Tanh
    from nnx.network import Network

    if path is not None:
        return Model.load(path, device="cpu")
    layers = [Dense(2, 3), Tanh(), Dense(1), Sigmoid()]
    return Model(Network(layers, device="cpu", seed=seed), None, None)


def _print(found: Any, weight: str, row: int | None, through: tuple[str, ...]) -> None:
    """Print a trace: with colours on a terminal, in 80 columns elsewhere."""
    from rich.console import Console

    from nnx.tracing.text import render

    if not sys.stdout.isatty():
        given = os.environ.get("COLUMNS", "")
        width = max(NARROWEST, int(given)) if given.isdigit() else WIDTH
        click.echo(found.text(weight, row, through, width), nl=False)
        return
    console = Console(highlight=False)
    console.width = max(NARROWEST, console.width)
    render(found, console, weight, row, through)
