"""``nnx train``: a network on the user's own data."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from nnx.cli import options, show
from nnx.cli.console import open_page, print_json
from nnx.cli.execute import Options, already_finished, execute, run_folder
from nnx.distributed import ALONE, connect
from nnx.errors import ConfigurationError
from nnx.experiments.train.config import RULES, Config, defaults

_OF_EVERY_RUN = ("device", "dtype", "seed")


def _own_options(function: Any) -> Any:
    """An option for each rule, in their order."""
    usual = defaults()
    for name, rule in reversed(RULES.items()):
        if name in _OF_EVERY_RUN:
            continue
        default = usual[name]
        said = ", ".join(default) if isinstance(default, tuple) else default
        text = f"{rule.help} " + (f"[default: {said}]" if said not in (None, "") else "")
        kind: Any = options.Name(rule.known) if rule.known else str
        also = ["--size"] if name == "image_size" else []
        function = click.option(
            "--" + name.replace("_", "-"),
            *also,
            name,
            type=kind,
            metavar=rule.metavar or None,
            help=text.strip(),
        )(function)
    return function


@click.command(short_help="Train a network on your own data.")
@click.argument("data", type=options.Existing(str))
@click.option("--config", "file", type=options.Existing(str, dir_okay=False), metavar="FILE.toml",
              help="Options by their names without dashes; those given here override it.")  # fmt: skip
@_own_options
@options.distributed
@options.checkpoints
@options.live
@options.of_every_run
def train(data: str, file: str | None, distributed: str | None, rank_timeout: float, out: Path | None,
          tf32: bool, as_json: bool, quiet: bool, verbose: bool, checkpoint_every: str | None, resume: bool,
          logs: tuple[str, ...], open_: bool, **own: Any) -> None:  # fmt: skip
    """Train a network on DATA: classification, regression or an autoencoder.

    DATA is a table (.csv, .tsv, .txt), an .npz, .npy or IDX file, or a folder of images. A table holds a
    sample in each line; --target names the columns to learn. Delimiter, decimal mark and encoding are
    detected. An .npz holds x and y. A .npy holds samples, and --target is a file of its targets. The images
    of a folder lie in a subfolder for each class, or all in it for an autoencoder; train/ and test/ may come
    before.

    The run's folder is that of nnx run; nnx predict applies the model, and scales its input in the same way.
    Losses are of scaled data; metrics are of the rows held out, and in the data's own units.

    \b
    Examples:
      nnx train flowers.csv --target species
      nnx train houses.csv --target price,rent --task regression
      nnx train survey.csv --target price --missing median --categories onehot
      nnx train photos --image-size 32x32 --layers '256 relu,64 relu'
      nnx train data.npz --config run.toml --epochs 100
      nnx train patients.csv --target ill --class-weight balanced
      nnx predict runs/NAME new.csv --out predicted.csv
    """
    from nnx.experiments import RunFolder
    from nnx.experiments.train import experiment

    if RunFolder.finished(Path(data)):
        raise ConfigurationError(f"{data} is the folder of a run: give the data")
    ctx = click.get_current_context()
    given = {name: RULES[name].parsed(value) for name, value in own.items() if _given(ctx, name)}
    ranks = connect(distributed, rank_timeout) if distributed else ALONE
    config = Config.of(data, given, file)
    config = replace(config, device=ranks.place(config.device))
    how = Options.of(config.device, config, quiet, verbose, tf32, checkpoint_every, resume, logs)
    finished = already_finished(ranks, out, resume)
    if ranks.rank:  # the first rank prints and writes
        if finished:
            return
        logging.disable()
        experiment.run(config, how.checkpoints(out or Path()), communicator=ranks)  # the others heed signals
        return

    def job(callbacks: list[Any]) -> Any:
        return experiment.run(config, callbacks, communicator=ranks)

    folder = run_folder("train", out, resume)
    result = execute("train", job, folder, how)
    if as_json:
        print_json(result.to_json())
    else:
        show.result(result, folder)
    if open_:
        open_page(show.page(folder))


def _given(ctx: click.Context, name: str) -> bool:
    """Whether the command line says it: a default must not override a file."""
    return ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
