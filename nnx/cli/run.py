"""``nnx run``: the experiments."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from nnx.cli import show
from nnx.cli.console import print_json, progress, say

EXPERIMENTS = ("xor", "autoencoder", "svm", "compare")


@click.group()
def run() -> None:
    """Run an experiment: train, measure, draw, keep everything in a folder."""


def _options(*names: str) -> Callable[[Any], Any]:
    """The options that experiments share, by name, and those of every run."""
    known = {
        "dataset": click.option("--dataset", default="auto", show_default=True,
                                help="auto, mnist or digits; auto takes MNIST where it can be had."),
        "epochs": click.option("--epochs", type=click.IntRange(min=1), help="Default: the preset's."),
        "batch_size": click.option("--batch-size", type=click.IntRange(min=1), help="Default: the preset's."),
    }  # fmt: skip
    every = (
        click.option("--device", default=None, help="auto, cpu, gpu, gpu:N, numpy or cupy; default NNX_DEVICE, else auto."),
        click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True),
        click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True),
        click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=None,
                     help="The run's folder; default runs/<experiment>-<time>."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else."),
        click.option("-q", "--quiet", is_flag=True, help="No progress."),
        click.option("-v", "--verbose", is_flag=True, help="Say which device was chosen, and why."),
    )  # fmt: skip

    def decorate(function: Any) -> Any:
        for option in reversed((*(known[name] for name in names), *every)):
            function = option(function)
        return function

    return decorate


@run.command()
@click.option("--preset", default="deep", show_default=True, help="deep or shallow: the reference systems.")
@_options("epochs")
def xor(preset: str, epochs: int | None, device: str | None, dtype: str, seed: int, **common: Any) -> None:
    """Learn XOR with four hidden units.

    \b
    Examples:
      nnx run xor
      nnx run xor --preset shallow --json
    """
    from nnx.experiments import xor as experiment

    config = experiment.Config(preset, epochs, seed, device, dtype)
    config.chosen()
    _run("xor", lambda callbacks: experiment.run(config, callbacks), **common)


@run.command()
@click.option("--preset", default="deep", show_default=True, help="deep, shallow or best.")
@_options("dataset", "epochs", "batch_size")
def autoencoder(preset: str, dataset: str, epochs: int | None, batch_size: int | None, device: str | None,
                dtype: str, seed: int, **common: Any) -> None:  # fmt: skip
    """Train an autoencoder with a code of 64 on MNIST.

    \b
    Examples:
      nnx run autoencoder
      nnx run autoencoder --preset best --device gpu --out runs/best
    """
    from nnx.experiments import autoencoder as experiment

    config = experiment.Config(preset, dataset, epochs, batch_size, seed, device, dtype)
    config.chosen()
    _run("autoencoder", lambda callbacks: experiment.run(config, callbacks), **common)


@run.command()
@click.option(
    "--model", type=click.Path(), default=None, help="A run's folder or model; else one is trained."
)
@click.option("--preset", default="deep", show_default=True, help="The autoencoder to train without --model.")
@_options("dataset", "epochs", "batch_size")
def svm(model: str | None, preset: str, dataset: str, epochs: int | None, batch_size: int | None,
        device: str | None, dtype: str, seed: int, **common: Any) -> None:  # fmt: skip
    """Classify digits by a support-vector machine on an autoencoder's codes.

    \b
    Examples:
      nnx run svm
      nnx run svm --model runs/best
    """
    from nnx.experiments import svm as experiment

    config = experiment.Config(model, preset, dataset, epochs, batch_size, seed, device, dtype)
    config.autoencoder().chosen()
    _run("svm", lambda callbacks: experiment.run(config, callbacks), **common)


@run.command()
@click.option(
    "--minutes",
    type=click.FloatRange(min=0.5),
    default=15.0,
    show_default=True,
    help="How long the whole may take.",
)
@_options("dataset")
def compare(minutes: float, dataset: str, device: str | None, dtype: str, seed: int, **common: Any) -> int:  # fmt: skip
    """Compare with Keras: same weights, same batches, a process each.

    Exit status 1 where the loss curves do not agree; no speed-up is then printed.

    \b
    Examples:
      nnx run compare
      nnx run compare --minutes 40 --out runs/compare
    """
    from nnx.experiments import compare as experiment

    config = experiment.Config(dataset=dataset, minutes=minutes, seed=seed, device=device, dtype=dtype)
    quiet = common["quiet"]
    result = _run(
        "compare", lambda callbacks: experiment.run(config, progress=lambda text: say(text, quiet)), **common
    )
    return 0 if result.metrics["agree"] else 1


@run.command(name="all")
@click.option("--preset", default="deep", show_default=True, help="The autoencoder: deep, shallow or best.")
@_options("dataset")
def all_(preset: str, dataset: str, device: str | None, dtype: str, seed: int, out: Path | None,
         as_json: bool, quiet: bool, verbose: bool) -> None:  # fmt: skip
    """XOR, the autoencoder and the SVM on its codes, then one summary.

    \b
    Example:
      nnx run all --out runs/all
    """
    from nnx.experiments import autoencoder as ae
    from nnx.experiments import svm as classifier
    from nnx.experiments import xor as gate

    folder = out or _default_folder("all")
    autoencoder_config = ae.Config(preset, dataset, None, None, seed, device, dtype)
    autoencoder_config.chosen()
    svm_config = classifier.Config(
        str(folder / "autoencoder"), preset, dataset, None, None, seed, device, dtype
    )
    jobs: dict[str, Callable[[list[Any]], Any]] = {
        "xor": lambda callbacks: gate.run(gate.Config("deep", None, seed, device, dtype), callbacks),
        "autoencoder": lambda callbacks: ae.run(autoencoder_config, callbacks),
        "svm": lambda callbacks: classifier.run(svm_config, callbacks),
    }
    results = {name: _execute(name, job, folder / name, quiet, verbose) for name, job in jobs.items()}
    if as_json:
        print_json({"experiment": "all", "results": {name: r.to_json() for name, r in results.items()}})
        return
    show.summary(list(results.values()), folder)


def _run(
    name: str, job: Callable[[list[Any]], Any], out: Path | None, as_json: bool, quiet: bool, verbose: bool
) -> Any:
    folder = out or _default_folder(name)
    result = _execute(name, job, folder, quiet, verbose)
    if as_json:
        print_json(result.to_json())
    else:
        show.result(result, folder)
    return result


def _execute(name: str, job: Callable[[list[Any]], Any], folder: Path, quiet: bool, verbose: bool) -> Any:
    """Run one experiment, draw it, and keep it in a folder."""
    began = time.perf_counter()
    if verbose:
        logging.basicConfig(level=logging.INFO, format="%(message)s")
    from nnx import reports
    from nnx.experiments import RunFolder

    import_seconds = time.perf_counter() - began
    existed = folder.exists()
    kept = RunFolder.create(folder)
    try:
        with progress(name, quiet) as callbacks:
            result = job(callbacks)
    except BaseException:
        if not existed:
            _remove_empty(folder)
        raise
    for note in result.notes:
        say(f"note: {note}", quiet)
    reports.draw(result, folder)
    result.timing |= {"import_seconds": import_seconds, "total_seconds": time.perf_counter() - began}
    kept.write(result)
    return result


def _default_folder(name: str) -> Path:
    return Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"


def _remove_empty(folder: Path) -> None:
    """A failed run leaves no folder without contents."""
    for candidate in (folder, folder.parent):
        try:
            candidate.rmdir()
        except OSError:
            return
