"""nnx compared with other frameworks: same weights, batches, threads; first agreement, then time."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from nnx.backends import resolve
from nnx.backends.threads import asked, cores
from nnx.errors import ConfigurationError
from nnx.experiments import autoencoder
from nnx.experiments.compare import processes
from nnx.experiments.compare.agreement import checks_of, examine
from nnx.experiments.compare.jobs import problems
from nnx.experiments.compare.measure import FIT, Session, first_steps, measure
from nnx.experiments.compare.plan import SVM, Budget
from nnx.experiments.compare.sides import FRAMEWORKS, GROUPS, INSTALLED, USUAL, chosen, problems_of, sides_of
from nnx.experiments.compare.tables import comparison, figures, tables, verdict
from nnx.experiments.declaration import Experiment, Table
from nnx.experiments.environment import process_seconds
from nnx.experiments.options import DATASET, Rule
from nnx.experiments.precision import Precise
from nnx.experiments.result import Result, logger, versions
from nnx.experiments.stages import stage
from nnx.layers import Dense
from nnx.network import Network

__all__ = ["Config", "Table", "run", "tables"]

IMPORTS, IMPORTS_SHARE = 3, 0.05  # repeats, if they take no larger share of the time


@dataclass(frozen=True)
class Config(Precise):
    """Configuration of the comparison.

    Attributes
    ----------
    minutes : float
        How long the whole may take; epochs and the SVM's rows are chosen to fit, equal for all.
    dataset : {"auto", "mnist", "digits"}
    seed : int
    device : str or None
        Where nnx runs; the others run on a GPU if nnx does.
    dtype, precision : str
        The precision of the timed jobs, on all sides; `dtype` is the older name.
    threads : int or None
        For each process; None uses every core.
    frameworks : tuple of str
        Any of ``"keras", "torch", "jax", "sklearn"``; ``"all"`` means those that are installed.
    problems : tuple of str
        Any of ``"xor", "autoencoders", "classifier"``.
    """

    minutes: float = 15.0
    dataset: str = "auto"
    seed: int = 0
    device: str | None = None
    dtype: str = ""
    threads: int | None = None
    frameworks: tuple[str, ...] = ("keras",)
    problems: tuple[str, ...] = USUAL
    precision: str = ""


def run(config: Config, progress: Callable[[str], Any] = lambda text: None, spent: float = 0.0) -> Result:
    """Compare nnx with other frameworks; `spent` seconds of the minutes have passed already.

    Metrics: ``agree`` (all checks), ``agreement`` (each of them), ``plan`` (seconds of each part, as expected
    and as taken). If all agree, also ``table`` (rows with a value for each side), ``speedup``,
    ``xor_predictions``, ``xor_losses``, ``epoch_losses``, ``times``, ``first_steps``, ``svm``. Arrays: loss
    curves by ``<what>_<side>``.

    Raises
    ------
    ConfigurationError
        If an option makes no sense, or the minutes are too few.
    MissingLibraryError
        If a framework that is named is not installed.
    DeviceError
        If a framework cannot use the device.
    NnxError
        If a process failed; the text says which, at what, and why.
    """
    budget = Budget(config.minutes, spent)
    threads = cores() if config.threads is None else config.threads
    if isinstance(threads, bool) or threads < 1:
        raise ConfigurationError(f"threads must be a positive integer, not {config.threads!r}")
    backend = resolve(config.device)
    config = replace(config, precision=Network([Dense(1, 1)], backend, precision=config.precision).precision)
    frameworks, notes = chosen(config.frameworks, config.precision)
    compared = sides_of(backend.name if backend.device == "cpu" else backend.device, frameworks)
    names = problems_of(compared, config.problems)
    data, data_seconds = autoencoder.load_data(
        autoencoder.Config(dataset=config.dataset, dtype=config.dtype), notes
    )
    variables = processes.environment(threads, gpu=backend.device != "cpu")
    notes.append(f"every process has {threads} thread{'s' if threads > 1 else ''}; they train in turn")
    notes += [note for name in frameworks for note in FRAMEWORKS[name].notes]
    timing = {"data_seconds": data_seconds} | _imports(frameworks, budget, variables, progress)
    with tempfile.TemporaryDirectory(prefix="nnx-compare-") as name:
        known = problems(Path(name), data, config.seed, names)
        began = budget.spent()
        with processes.workers(Path(name), compared, variables) as started:
            session = Session(started, known, data, config.precision, threads, budget, progress)
            first, job_seconds, step_seconds = first_steps(session)
            budget.took["starting"] = budget.spent() - began
            svm = SVM * timing["nnx_import_seconds"] * len(session.coded()) if "deep" in known else 0.0
            fit = [FIT] if "keras" in frameworks and "xor_deep" in known else []
            parts = [*(f"agreement {check}" for check in checks_of(known, config.precision)), *known, *fit]
            budget.plan(parts, job_seconds, step_seconds, svm)
            agreement = examine(started, known, progress, budget, config.precision)
            measured = measure(session, agreement, first) if agreement.agree else None
            about = {side: worker.about for side, worker in started.items()}
    timing["total_seconds"] = budget.spent()  # a command adds what follows
    metrics: dict[str, Any] = {"agree": agreement.agree, "agreement": agreement.checks}
    arrays = dict(agreement.curves)
    if measured is not None:
        metrics |= comparison(measured, timing, compared)
        arrays |= measured.arrays
        notes += measured.notes
    metrics["plan"] = {"expected_seconds": budget.expected, "seconds": budget.took}
    libraries = versions()
    for worker in about.values():
        libraries |= worker["versions"]
    return Result(
        experiment="compare",
        preset="",
        dataset=data.name,
        device=about["nnx"]["device"],
        backend=about["nnx"]["backend"],
        dtype=config.dtype,
        precision=config.precision,
        seed=config.seed,
        metrics=metrics,
        timing=timing,
        versions=libraries,
        config=asdict(config) | {"dataset": data.name},
        arrays=arrays,
        notes=[*agreement.complaints(), *notes],
    )


def _imports(
    frameworks: tuple[str, ...], budget: Budget, variables: dict[str, str], progress: Callable[[str], Any]
) -> dict[str, float]:
    """Return the time of each import: the median of several, if they take little of the time."""
    found, repeats = {}, 1
    modules = {name: (FRAMEWORKS[name].modules[0], FRAMEWORKS[name].install) for name in frameworks}
    for name, (module, install) in modules.items():
        progress(f"importing {module}")
        found[name] = processes.import_seconds(module, 1, variables, install)
    if IMPORTS * sum(found.values()) < IMPORTS_SHARE * budget.left():
        repeats = IMPORTS
        found = {name: processes.import_seconds(*modules[name][:1], repeats, variables) for name in found}
    found["nnx"] = processes.import_seconds("nnx", repeats, variables)
    return {f"{name}_import_seconds": seconds for name, seconds in found.items()} | {
        "import_repeats": repeats
    }


def _run(config: Config, callbacks: Sequence[Any] = ()) -> Result:
    """Compare as the command does: the time that starting Python took is part of the minutes."""
    config = replace(config, threads=asked())
    with stage("comparing", 60.0 * config.minutes):
        return run(config, logger.info, process_seconds())


EXPERIMENT = Experiment(
    name="compare",
    summary="Compare nnx with other frameworks.",
    text="""Compare nnx with other frameworks: same initial weights, same batches, separate processes.

    With --precision bfloat16, Keras has the policy mixed_bfloat16, PyTorch computes under autocast, and JAX
    multiplies bfloat16 factors.

    The exit status is 1 if the loss curves do not agree; no speed-up is printed then.

    \b
    Examples:
      nnx run compare
      nnx run compare --with keras,torch,jax,sklearn
      nnx run compare --minutes 40 --out runs/compare
      nnx run compare --precision bfloat16 --with keras,torch
      nnx run compare --problems classifier
    """,
    config=Config,
    run=_run,
    tables=tables,
    options={
        "frameworks": Rule(
            "names",
            "keras, torch, jax, sklearn, several of them separated by commas, or all (all installed).",
            (*FRAMEWORKS, INSTALLED),
            metavar="NAMES",
            option="with",
        ),
        "problems": Rule(
            "names",
            "xor, autoencoders, classifier (convolutional; Keras only), several of them with commas.",
            tuple(GROUPS),
            metavar="NAMES",
        ),
        "minutes": Rule("number", "Largest time for the whole command.", low=0.5, metavar="MINUTES"),
        "dataset": DATASET,
    },
    figures=figures,
    libraries=("sklearn.svm",),
    metrics={"agree": "losses agree with nnx's"},
    verdict=verdict,
    failed=lambda result: not result.metrics["agree"],
    trains=None,
)
