"""Define ``nnx run``: a command for each experiment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import click

from nnx import experiments
from nnx.cli import options, show
from nnx.cli.console import open_page, print_json
from nnx.cli.declared import run_declared
from nnx.cli.execute import Options, execute, refuse_finished, run_folder
from nnx.cli.given import given
from nnx.experiments import Experiment
from nnx.experiments.autoencoder_presets import PRESETS
from nnx.experiments.options import Rule
from nnx.experiments.precision import dtype_alone
from nnx.experiments.svm_engines import OPTION


class Experiments(click.Group):
    """The commands of the experiments. Each is made from its declaration at its first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return their names."""
        return sorted({*experiments.NAMES, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context | None, cmd_name: str) -> click.Command | None:
        """Return the command with a name; for an unknown name, make all, so that click can suggest one."""
        wanted = (cmd_name,) if cmd_name in {*experiments.NAMES, *self.commands} else experiments.NAMES
        for name in wanted:
            if name not in self.commands:
                made = _command(experiments.get(name))
                options.everywhere(made, options.DEBUG)
                self.add_command(made)
        return self.commands.get(cmd_name)


@click.group(cls=Experiments, short_help="Run an experiment: train, evaluate, draw figures.")
def run() -> None:
    """Run an experiment: train, evaluate, draw figures, and save everything in a folder.

    The folder contains result.json, history.csv, model.safetensors, figures/ and report.html.

    \b
    Examples:
      nnx run xor
      nnx run autoencoder --preset best --out runs/best
      nnx run svm --model runs/best
    """


def _command(experiment: Experiment) -> click.Command:
    """Return the command of a declared experiment."""

    def call(**values: Any) -> int:
        own = {
            entry.name: values.pop(entry.name) for entry in fields(experiment.config) if entry.name in values
        }
        if "precision" in values:  # the experiment was written for --dtype alone
            own["dtype"] = dtype_alone(values.pop("precision"), own["dtype"])
        return run_declared(experiment, experiment.config(**own), **values)

    usual = {entry.name: entry.default for entry in fields(experiment.config)}
    made: Any = options.of_every_run(call)
    if experiment.trains:
        made = options.checkpoints(options.live(made))
    if experiment.distributed:
        made = options.distributed(made)
    for name, rule in reversed(list(experiment.options.items())):
        made = options.of_rule(name, rule, usual[name])(made)
    return click.command(experiment.name, short_help=experiment.summary, help=experiment.text)(made)


@run.command(name="all", short_help="Run xor, autoencoder and svm, and print a summary.")
@options.of_rule("preset", Rule("name", "Preset of the autoencoder.", tuple(PRESETS), metavar="NAME"), "deep")
@options.dataset
@options.of_rule("svm_engine", OPTION, "auto")
@options.resume
@options.live
@options.of_every_run
def all_(preset: str, dataset: str, svm_engine: str, resume: bool, device: str | None, dtype: str,
         precision: str, seed: int, logs: tuple[str, ...], out: Path | None, tf32: bool, as_json: bool,
         quiet: bool, verbose: bool, open_: bool) -> None:  # fmt: skip
    """Run xor, autoencoder, and svm on the autoencoder's codes, and print a summary. Each has its own folder.

    \b
    Examples:
      nnx run all
      nnx run all --preset best --out runs/all
    """
    from nnx.experiments import autoencoder as ae
    from nnx.experiments import svm as classifier
    from nnx.experiments import svm_engines
    from nnx.experiments import xor as gate

    config = ae.Config(preset, dataset, None, None, seed, device, dtype, precision=precision)
    precision, dtype = config.precision, config.dtype
    folder = run_folder("all", out, resume)
    model = str(folder / "autoencoder")
    jobs: dict[str, Callable[..., Any]] = {
        "xor": lambda *how, **kept: gate.run(
            gate.Config("deep", None, seed, device, precision=precision), *how, **kept
        ),
        "autoencoder": lambda *how, **kept: ae.run(config, *how, **kept),
        "svm": lambda *how, **kept: classifier.run(
            classifier.Config(model, dataset=dataset, device=device, svm_engine=svm_engine), *how, **kept
        ),
    }
    if not resume:
        refuse_finished(folder / name for name in jobs)
    svm_engines.refuse_missing(svm_engine)
    chosen = {"seed": seed, "precision": precision, "dtype": dtype}
    options_ = Options(
        device, quiet, verbose, resume=resume, tf32=tf32, precision=precision, logs=logs,
        out=folder, usual={"precision": dtype},
        about={"preset": preset, "dataset": dataset} | chosen,
    )  # fmt: skip
    asked = {"autoencoder": given(options_.about), "xor": given(chosen)}
    results = {
        name: execute(name, job, folder / name, replace(options_, given=asked.get(name, {})))
        for name, job in jobs.items()
    }
    if as_json:
        print_json({"experiment": "all", "results": {name: r.to_json() for name, r in results.items()}})
    else:
        show.summary(list(results.values()), folder)
    if open_:
        open_page(show.page(folder / "svm"))
