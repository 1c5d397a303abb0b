"""``nnx run``: the experiments."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from nnx.backends import threads
from nnx.cli import options, show
from nnx.cli.console import open_page, print_json, say
from nnx.cli.execute import Options, already_finished, execute, refuse_finished, run_folder
from nnx.cli.given import given
from nnx.distributed import ALONE, connect


@click.group(short_help="Run an experiment: train, measure, draw.")
def run() -> None:
    """Run an experiment: train, measure, draw, keep everything in a folder.

    The folder holds result.json, history.csv, model.safetensors, figures/ and report.html.

    \b
    Examples:
      nnx run xor
      nnx run autoencoder --preset best --out runs/best
      nnx run svm --model runs/best
    """


@run.command(short_help="Learn XOR with four hidden units.")
@options.preset("deep", "shallow", text="The reference system whose training this is.")
@options.epochs
@options.checkpoints
@options.on_nonfinite
@options.live
@options.of_every_run
def xor(preset: str, epochs: int | None, device: str | None, dtype: str, seed: int, on_nonfinite: str,
        **common: Any) -> None:  # fmt: skip
    """Learn XOR with four hidden units, 2 → 4 tanh → 1 sigmoid.

    \b
    deep     standard normal weights, SGD 0.1, 5,000 epochs
    shallow  Glorot's weights, SGD 0.5, 20,000 epochs

    \b
    Examples:
      nnx run xor
      nnx run xor --preset shallow --json
    """
    from nnx.experiments import xor as experiment

    config = experiment.Config(preset, epochs, seed, device, dtype, on_nonfinite)
    _run("xor", lambda callbacks: experiment.run(config, callbacks), device, config, **common)


@run.command(short_help="Train an autoencoder on MNIST.")
@options.preset("deep", "shallow", "best", text="Its shape and training.")
@options.dataset
@options.epochs
@options.batch_size
@options.distributed
@options.checkpoints
@options.on_nonfinite
@options.live
@options.of_every_run
def autoencoder(preset: str, dataset: str, epochs: int | None, batch_size: int | None, device: str | None,
                dtype: str, seed: int, on_nonfinite: str, distributed: str | None, rank_timeout: float,
                **common: Any) -> None:  # fmt: skip
    """Train an autoencoder with a code of 64 on MNIST (of 16 on the embedded digits).

    \b
    deep     784-512-256-128-64 and back, cross-entropy, Adam, 20 epochs
    shallow  784-128-64 and back, squared error, SGD, 50 epochs
    best     the smallest error in a few minutes

    \b
    Examples:
      nnx run autoencoder
      nnx run autoencoder --preset best --device gpu --out runs/best
      nnx run autoencoder --log tensorboard --log jsonl
      mpiexec -n 4 nnx run autoencoder --distributed mpi
    """
    from nnx.experiments import autoencoder as experiment

    ranks = connect(distributed, rank_timeout) if distributed else ALONE
    device = ranks.place(device)
    config = experiment.Config(preset, dataset, epochs, batch_size, seed, device, dtype, on_nonfinite)
    finished = already_finished(ranks, common["out"], common["resume"])
    if ranks.rank:  # the first rank prints and writes
        if finished:
            return
        logging.disable()
        options_ = Options.of(device, config, **common)
        kept = options_.checkpoints(common["out"] or Path())  # of the first: the others heed signals
        experiment.run(config, kept, communicator=ranks)
        return
    _run("autoencoder", lambda callbacks: experiment.run(config, callbacks, communicator=ranks), device,
         config, **common)  # fmt: skip


@run.command(short_help="Classify digits by an SVM on an autoencoder's codes.")
@click.option("--model", type=options.Existing(str), default=None,
              help="A run's folder or a model file; without it an autoencoder is trained.")  # fmt: skip
@options.preset("deep", "shallow", "best", text="The autoencoder to train without --model.")
@options.dataset
@options.epochs
@options.batch_size
@options.svm_engine
@options.checkpoints
@options.on_nonfinite
@options.live
@options.of_every_run
def svm(model: str | None, preset: str, dataset: str, epochs: int | None, batch_size: int | None,
        svm_engine: str, device: str | None, dtype: str, seed: int, on_nonfinite: str,
        **common: Any) -> None:  # fmt: skip
    """Classify digits by a support-vector machine on an autoencoder's codes, and on PCA's scores to compare.

    \b
    Examples:
      nnx run svm
      nnx run svm --model runs/best
      nnx run svm --model runs/best --svm-engine sklearnex
    """
    from nnx.experiments import svm as experiment
    from nnx.experiments import svm_engines

    if model is not None:
        _refuse_training_options(click.get_current_context())
        common["resume"] = None  # nothing is trained that could be resumed
    else:
        svm_engines.refuse_missing(svm_engine)
        say(
            f"note: no --model is given, so an autoencoder (preset {preset}) is trained first",
            common["quiet"],
        )
    config = experiment.Config(
        model, preset, dataset, epochs, batch_size, seed, device, dtype, svm_engine, on_nonfinite
    )
    _run("svm", lambda callbacks: experiment.run(config, callbacks), device, config, **common)


def _refuse_training_options(ctx: click.Context) -> None:
    for name in ("preset", "epochs", "batch_size", "seed", "dtype", "checkpoint_every", "resume",
                 "on_nonfinite", "logs"):  # fmt: skip
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            option = "--log" if name == "logs" else "--" + name.replace("_", "-")
            raise click.UsageError(f"{option} is for training, but --model is trained: leave one out.", ctx)


@run.command(short_help="Compare with Keras: same weights, same batches.")
@click.option("--minutes", type=click.FloatRange(min=0.5), default=15.0, show_default=True, metavar="MINUTES",
              help="How long the whole command may take.")  # fmt: skip
@options.dataset
@options.of_every_run
def compare(minutes: float, dataset: str, device: str | None, dtype: str, seed: int,
            **common: Any) -> int:  # fmt: skip
    """Compare with Keras: same weights, same batches, a process each.

    Exit status 1 where the loss curves do not agree; no speed-up is then printed.

    \b
    Examples:
      nnx run compare
      nnx run compare --minutes 40 --out runs/compare
    """
    from nnx.experiments import compare as experiment
    from nnx.experiments.environment import process_seconds
    from nnx.experiments.stages import stage

    config = experiment.Config(
        dataset=dataset, minutes=minutes, seed=seed, device=device, dtype=dtype, threads=threads.asked()
    )
    quiet = common["quiet"]

    def job(_: list[Any]) -> Any:
        with stage("comparing", 60.0 * minutes):
            return experiment.run(config, lambda text: say(text, quiet), process_seconds())

    result = _run("compare", job, device, config, **common)
    return 0 if result.metrics["agree"] else 1


@run.command(name="all", short_help="XOR, the autoencoder and the SVM, then a summary.")
@options.preset("deep", "shallow", "best", text="The autoencoder.")
@options.dataset
@options.svm_engine
@options.resume
@options.live
@options.of_every_run
def all_(preset: str, dataset: str, svm_engine: str, resume: bool, device: str | None, dtype: str, seed: int,
         logs: tuple[str, ...], out: Path | None, tf32: bool, as_json: bool, quiet: bool, verbose: bool,
         open_: bool) -> None:  # fmt: skip
    """XOR, the autoencoder and the SVM on its codes, a folder each, then one summary.

    \b
    Examples:
      nnx run all
      nnx run all --preset best --out runs/all
    """
    from nnx.experiments import autoencoder as ae
    from nnx.experiments import svm as classifier
    from nnx.experiments import svm_engines
    from nnx.experiments import xor as gate

    folder = run_folder("all", out, resume)
    model = str(folder / "autoencoder")
    jobs: dict[str, Callable[[list[Any]], Any]] = {
        "xor": lambda callbacks: gate.run(gate.Config("deep", None, seed, device, dtype), callbacks),
        "autoencoder": lambda callbacks: ae.run(
            ae.Config(preset, dataset, None, None, seed, device, dtype), callbacks
        ),
        "svm": lambda callbacks: classifier.run(
            classifier.Config(model, dataset=dataset, device=device, svm_engine=svm_engine), callbacks
        ),
    }
    if not resume:
        refuse_finished(folder / name for name in jobs)
    svm_engines.refuse_missing(svm_engine)
    options_ = Options(
        device, quiet, verbose, resume=resume, tf32=tf32, dtype=dtype, logs=logs, out=folder,
        about={"preset": preset, "dataset": dataset, "seed": seed, "dtype": dtype},
    )  # fmt: skip
    asked = {"autoencoder": given(options_.about), "xor": given({"seed": seed, "dtype": dtype})}
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


def _run(name: str, job: Callable[[list[Any]], Any], device: str | None, config: Any, out: Path | None,
         as_json: bool, open_: bool, **common: Any) -> Any:  # fmt: skip
    """Run one experiment and print its result."""
    folder = run_folder(name, out, bool(common.get("resume")))
    result = execute(name, job, folder, Options.of(device, config, **common))
    if as_json:
        print_json(result.to_json())
    else:
        show.result(result, folder)
    if open_:
        open_page(show.page(folder))
    return result
