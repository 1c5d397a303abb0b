"""``nnx train``: a network on the user's own data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nnx.cli import options
from nnx.cli.declared import by_user, run_declared
from nnx.errors import ConfigurationError
from nnx.experiments import RunFolder
from nnx.experiments.options import option_name
from nnx.experiments.train import EXPERIMENT, Config
from nnx.experiments.train.config import RULES, defaults

_OF_EVERY_RUN = ("device", "dtype", "precision", "seed")
_REPEATED = ("target", "ignore", "kinds")  # each of several options counts; of others, the last


def _own_options(function: Any) -> Any:
    """An option for each rule, in their order."""
    usual = defaults()
    for name, rule in reversed(RULES.items()):
        if name in _OF_EVERY_RUN:
            continue
        default = usual[name]
        said = ", ".join(default) if isinstance(default, tuple) else default
        text = f"{rule.help} " + (f"[default: {said}]" if said not in (None, "", False) else "")
        kind: Any = options.Name(rule.known) if rule.known else str
        also = ["--size"] if name == "image_size" else []
        if rule.kind == "flag":
            function = click.option(option_name(name, rule), name, is_flag=True, help=text.strip())(function)
            continue
        function = click.option(
            option_name(name, rule),
            *also,
            name,
            type=kind,
            multiple=rule.several or name in _REPEATED,
            metavar=rule.metavar or None,
            help=text.strip(),
        )(function)
    return function


@click.command(short_help=EXPERIMENT.summary, help=EXPERIMENT.text)
@click.argument("data", type=options.Existing(str))
@click.option("--config", "file", type=options.Existing(str, dir_okay=False), metavar="FILE.toml",
              help="A file of options, by names without dashes; the command line overrides it.")  # fmt: skip
@_own_options
@options.distributed
@options.checkpoints
@options.live
@options.of_every_run
def train(data: str, file: str | None, **values: Any) -> int:
    """Train a network on DATA; see `nnx.experiments.train.EXPERIMENT`."""
    if RunFolder.finished(Path(data)):
        raise ConfigurationError(f"{data} is the folder of a run: name the file or folder of the data")
    own = {name: values.pop(name) for name in RULES}
    given = {name: RULES[name].parsed(own[name]) for name in own if name in by_user()}
    return run_declared(EXPERIMENT, Config.of(data, given, file), **values)
