"""nnx beside Keras: same weights, same batches, same threads, a process each; first agreement, then time."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nnx import datasets
from nnx.backends import resolve
from nnx.backends.threads import cores
from nnx.errors import ConfigurationError
from nnx.experiments import autoencoder
from nnx.experiments.compare import processes
from nnx.experiments.compare.agreement import Agreement, examine
from nnx.experiments.compare.declared import declared
from nnx.experiments.compare.jobs import problems
from nnx.experiments.compare.measure import Budget, Measured, first_steps, measure
from nnx.experiments.compare.tables import comparison, tables
from nnx.experiments.declaration import Table
from nnx.experiments.result import Result, versions

__all__ = ["Config", "Table", "run", "tables"]

IMPORTS, IMPORTS_SHARE = 3, 0.05  # repeats, where they take no larger share of the time
# In times of Keras's import, two seconds on an idle machine: what follows the measurements, and the least
# that can be measured.
LATER, LEAST = 2.0, 18.0


@dataclass(frozen=True)
class Config:
    """Configuration of the comparison.

    Attributes
    ----------
    minutes : float
        About how long the whole may take; epochs and the SVM's rows are chosen to fit, equal for both.
    dataset : {"auto", "mnist", "digits"}
    seed : int
    device : str or None
        Where nnx runs; Keras runs on the GPU where nnx does.
    dtype : {"float32", "float64"}
        Of what is timed.
    threads : int or None
        For each process; None takes every core.
    """

    minutes: float = 15.0
    dataset: str = "auto"
    seed: int = 0
    device: str | None = None
    dtype: str = "float32"
    threads: int | None = None


def run(config: Config, progress: Callable[[str], Any] = lambda text: None, spent: float = 0.0) -> Result:
    """Compare nnx with Keras; `spent` seconds of the minutes are over already.

    Metrics: ``agree`` (all checks), ``agreement`` (each of them); and where they agree ``table`` (rows for
    nnx, Keras and Keras compiled by XLA), ``speedup``, ``xor_predictions``, ``xor_losses``,
    ``autoencoder_losses``, ``times``, ``first_steps``, ``svm``. Arrays: loss curves by ``<what>_<side>``.

    Raises
    ------
    ConfigurationError
        If an option makes no sense, or Keras is not installed.
    DeviceError
        If the device cannot be used by both.
    NnxError
        If a process failed; the text says which, at what, and why.
    """
    budget = Budget(config.minutes, spent)
    threads = cores() if config.threads is None else config.threads
    if isinstance(threads, bool) or threads < 1:
        raise ConfigurationError(f"threads must be a positive integer, not {config.threads!r}")
    processes.require_keras()
    backend = resolve(config.device)
    notes: list[str] = []
    data, data_seconds = autoencoder.load_data(
        autoencoder.Config(dataset=config.dataset, dtype=config.dtype), notes
    )
    variables = processes.environment(threads, gpu=backend.device != "cpu")
    notes.append(f"every process has {threads} thread{'s' if threads > 1 else ''}; they train in turn")
    timing = {"data_seconds": data_seconds} | _imports(budget, variables, progress)
    budget.later = LATER * timing["keras_import_seconds"]  # which tells how fast this machine is now
    least = LEAST * timing["keras_import_seconds"]
    short = least > budget.total
    if short:
        progress(f"note: the least that can be compared takes about {least / 60:.0f} minutes at this speed")
        notes.append("agreement was checked on fewer steps, to keep to the time (--minutes)")
    device = backend.name if backend.device == "cpu" else backend.device
    with tempfile.TemporaryDirectory(prefix="nnx-compare-") as name:
        folder = Path(name)
        known = problems(folder, data, config.seed)
        starting = time.monotonic()
        with processes.workers(folder, device, variables) as started:
            first = first_steps(started, known["deep"].steps(1, config.dtype))
            budget.starting = time.monotonic() - starting
            agreement = examine(started, known, progress, short)
            measured = None
            if agreement.agree:
                measured = measure(
                    started, known, agreement, first, data, config.dtype, budget, threads, progress
                )
            about = {side: worker.about for side, worker in started.items()}
    timing["total_seconds"] = budget.spent()  # a command adds what follows
    result = _result(config, data, about, agreement, measured, timing)
    result.notes = [*agreement.complaints(), *notes, *([] if measured is None else measured.notes)]
    return result


def _imports(budget: Budget, variables: dict[str, str], progress: Callable[[str], Any]) -> dict[str, float]:
    """The time of each import: the median of several, where they take little of the time."""
    found, repeats = {}, 1
    for module in ("keras", "nnx"):
        progress(f"importing {module}")
        found[module] = processes.import_seconds(module, repeats, variables)
        if module == "keras" and IMPORTS * found[module] < IMPORTS_SHARE * budget.left():
            repeats = IMPORTS
            found[module] = processes.import_seconds(module, repeats, variables)
    times = {f"{module}_import_seconds": seconds for module, seconds in found.items()}
    return times | {"import_repeats": repeats}


def _result(
    config: Config,
    data: datasets.Dataset,
    about: dict[str, dict[str, Any]],
    agreement: Agreement,
    measured: Measured | None,
    timing: dict[str, float],
) -> Result:
    metrics: dict[str, Any] = {"agree": agreement.agree, "agreement": agreement.checks}
    arrays = dict(agreement.curves)
    if measured is not None:
        metrics |= comparison(measured, timing)
        arrays |= measured.arrays
    return Result(
        experiment="compare",
        preset="",
        dataset=data.name,
        device=about["nnx"]["device"],
        backend=about["nnx"]["backend"],
        dtype=config.dtype,
        seed=config.seed,
        metrics=metrics,
        timing=timing,
        versions=versions() | about["nnx"]["versions"] | about["keras"]["versions"],
        config=asdict(config) | {"dataset": data.name},
        arrays=arrays,
    )


EXPERIMENT = declared(Config, run)
