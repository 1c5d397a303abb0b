"""What is measured once both sides are known to agree: XOR, both autoencoders, the SVM on their codes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from nnx import datasets
from nnx.errors import ConfigurationError
from nnx.experiments import svm
from nnx.experiments.compare.agreement import Agreement
from nnx.experiments.compare.jobs import TIMED, Problem
from nnx.experiments.compare.processes import Worker, each, in_turn
from nnx.experiments.compare.protocol import HostArray, Job
from nnx.experiments.result import step_time
from nnx.metrics import accuracy, mean_squared_error

FIT_EPOCHS = 50  # of XOR by Keras's fit
XOR_SHARES = (0.08, 0.1)  # of what is left before each
DEEP_SHARE = 0.55  # of what is left behind XOR
SHALLOW_SHARE = 0.55  # of what is left behind the deep one; the SVM has the rest
PILOT = 2000  # rows of the SVM that is timed to choose how many to take
LEAST_BATCHES = 8  # of an epoch, where the machine is slow
CAREFUL = 0.8  # of the time that is left, as a forecast is none
FRESH = 3  # processes in which the first step is timed, where there is time
FRESH_SHARE = 0.15  # of the whole time at most, for three of them
XOR = ("xor_deep", "xor_shallow")


class Budget:
    """Minutes, and how much of them is left.

    Parameters
    ----------
    minutes : float
    spent : float
        Seconds that were spent before: Python and libraries were loaded.

    Attributes
    ----------
    total : float
        Seconds in all.
    later : float
        Seconds to keep for what follows the measurements: figures and the report.
    starting : float
        Seconds that it took to start the processes and to take a first step in each.

    Raises
    ------
    ConfigurationError
        If the minutes are not a positive number.
    """

    def __init__(self, minutes: float, spent: float = 0.0) -> None:
        if not (math.isfinite(minutes) and minutes > 0.0):
            raise ConfigurationError(f"minutes must be a positive number, not {minutes!r}")
        self.total = 60.0 * minutes
        self.later = self.starting = 0.0
        self._began = time.monotonic() - spent

    def spent(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    def left(self) -> float:
        """Seconds left for measurements."""
        return max(0.0, self.total - self.later - self.spent())

    def until(self, share: float) -> float:
        """The moment at which a share of what is left is over, in seconds since the beginning."""
        return self.spent() + share * self.left()


@dataclass
class Measured:
    """Everything measured, by problem and side.

    Attributes
    ----------
    times : dict of dict of dict
        problem → side → ``microseconds_per_step`` (median of the parts but the first, which compiles),
        ``repeats`` (how many parts that are), ``train_seconds`` (all parts), ``epochs``, ``steps``.
    first_steps : dict of list
        side → seconds of the deep autoencoder's first step, each in a fresh process.
    """

    times: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    losses: dict[str, dict[str, HostArray]] = field(default_factory=dict)
    predictions: dict[str, dict[str, HostArray]] = field(default_factory=dict)
    log_every: dict[str, tuple[int, int]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    first_steps: dict[str, list[float]] = field(default_factory=dict)
    test_mse: dict[str, dict[str, float]] = field(default_factory=dict)
    features: int = 0
    fit_seconds: float = 0.0
    svm: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def arrays(self) -> dict[str, HostArray]:
        """The loss curves, ``<problem>_<side>``, and the epochs of their values, ``<problem>_epochs``."""
        found = {
            f"{name}_{side}": curve for name, all_ in self.losses.items() for side, curve in all_.items()
        }
        for name, (keep, _) in self.log_every.items():
            found[f"{name}_epochs"] = 1 + keep * np.arange(len(self.losses[name]["nnx"]))
        return found


def measure(
    started: dict[str, Worker],
    problems: dict[str, Problem],
    agreement: Agreement,
    first_steps: dict[str, float],
    data: datasets.Dataset,
    dtype: str,
    budget: Budget,
    threads: int,
    progress: Callable[[str], Any],
) -> Measured:
    """Train everything in turn, as long as the budget allows; whatever is cut short is cut for all alike."""
    found = Measured(features=data.features)
    found.first_steps = _more_first_steps(
        first_steps, started, problems["deep"].steps(1, dtype), budget, progress
    )
    train = partial(
        _train, started, agreement=agreement, dtype=dtype, budget=budget, found=found, progress=progress
    )
    for name, share in zip(XOR, XOR_SHARES, strict=True):
        train(problems[name], share=share)
    worker = started["keras"]
    worker.start(problems["xor_deep"].job | {"task": "fit_epochs", "epochs": FIT_EPOCHS, "dtype": dtype})
    found.fit_seconds = worker.finish()[0]["seconds"]
    codes = train(problems["deep"], share=DEEP_SHARE)
    train(problems["shallow"], share=SHALLOW_SHARE)
    for name in ("deep", "shallow"):
        found.test_mse[name] = {
            side: mean_squared_error(data.x_test, p) for side, p in found.predictions[name].items()
        }
    del codes["keras_xla"]  # what XLA changes is the time
    found.svm = classify(data, codes, budget, threads)
    progress(f"SVM on codes: {', '.join(f'{s} {v:.4f}' for s, v in found.svm['accuracy'].items())}")
    found.notes.append(_used(found, problems))
    if budget.spent() + budget.later > 1.1 * budget.total:
        found.notes.append(
            f"this took {budget.spent() / 60:.1f} minutes, more than the {budget.total / 60:g} asked for: "
            "the machine was busy, or the least that can be run takes longer"
        )
    return found


def first_steps(started: dict[str, Worker], job: Job) -> dict[str, float]:
    """Seconds of the first step on each side, compiling included; the first job that their processes do."""
    return {side: float(answer["seconds"]) for side, (answer, _) in each(started, job).items()}


def _more_first_steps(
    first: dict[str, float],
    started: dict[str, Worker],
    job: Job,
    budget: Budget,
    progress: Callable[[str], Any],
) -> dict[str, list[float]]:
    """The first step once more in fresh processes, where there is time."""
    found = {side: [seconds] for side, seconds in first.items()}
    if (FRESH - 1) * budget.starting < FRESH_SHARE * budget.left():
        for side, worker in started.items():
            found[side] += worker.first_step_seconds(job, FRESH - 1)
    taken = ", ".join(f"{side} {np.median(seconds):.3f} s" for side, seconds in found.items())
    progress(f"first step of {job['name']} in a fresh process: {taken}")
    return found


def _used(found: Measured, problems: dict[str, Problem]) -> str:
    """One line on how many epochs and rows stand behind the figures."""
    parts = [(f"{name} {times['nnx']['epochs']:,}", problems[name].epochs, "epochs", times["nnx"]["epochs"])
             for name, times in found.times.items()]  # fmt: skip
    rows, total = found.svm["rows"], found.svm["rows_in_all"]
    parts.append((f"SVM {rows:,}", total, "rows", rows))
    all_rows = {name: problems[name].job["rows"] for name in ("deep", "shallow")}
    parts += [(f"{name} {used:,}", all_rows[name], "rows", used) for name, used in found.rows.items()
              if used < all_rows.get(name, 0)]  # fmt: skip
    said = ", ".join(f"{part} of {whole:,} {unit}" for part, whole, unit, _ in parts)
    cut = any(used < whole for _, whole, _, used in parts)
    return f"used on each side: {said}{', to keep to the time (--minutes)' if cut else ''}"


def _train(
    started: dict[str, Worker],
    problem: Problem,
    *,
    agreement: Agreement,
    dtype: str,
    share: float,
    budget: Budget,
    found: Measured,
    progress: Callable[[str], Any],
) -> dict[str, tuple[HostArray, HostArray]]:
    """One problem on all sides, until a share of what is left is over; the codes of each, if it has any."""
    name, end = problem.name, budget.until(share)
    problem, epochs = affordable(problem, sum(agreement.step_seconds[name].values()), end - budget.spent())
    progress(f"{name}: up to {epochs:,} epochs on each side, in turn")
    job = problem.training(epochs, dtype)
    least = job["stops"][TIMED]  # a median wants some parts
    answers = in_turn(started, job, lambda step: step >= least and budget.spent() > end)
    parts = len(answers["nnx"]["seconds"])
    job |= {"stops": job["stops"][:parts], "epochs": job["stops"][parts - 1] // problem.steps_an_epoch}
    found.times[name] = {side: _times(answer["seconds"], job) for side, answer in answers.items()}
    found.losses[name] = {side: answer["losses"] for side, answer in answers.items()}
    found.predictions[name] = {side: answer["predictions"] for side, answer in answers.items()}
    found.log_every[name] = (job["keep"], problem.log_every)
    found.rows[name] = job["rows"]
    for side, times in found.times[name].items():
        progress(
            f"{name}: {side} {step_time(times['microseconds_per_step'])} a step "
            f"(median of {times['repeats']}), last loss {answers[side]['losses'][-1]:.6g}"
        )
    return {side: (a["codes"], a["test_codes"]) for side, a in answers.items() if "codes" in a}


def affordable(problem: Problem, step_seconds: float, limit: float) -> tuple[Problem, int]:
    """The problem and its epochs for so many seconds: fewer epochs, then fewer rows."""
    batch = problem.job["batch_size"]
    steps = int(limit / step_seconds / problem.least_epochs)
    if steps < problem.steps_an_epoch and problem.job["rows"] > LEAST_BATCHES * batch:
        rows = min(problem.job["rows"], max(LEAST_BATCHES, steps) * batch)
        problem = replace(problem, job=problem.job | {"rows": rows})
    epochs = int(limit / (step_seconds * problem.steps_an_epoch))
    return problem, min(problem.epochs, max(problem.least_epochs, epochs))


def _times(seconds: list[float], job: Job) -> dict[str, Any]:
    """What the parts took: the median of all but the first, which compiles, and the sum."""
    a_step = np.array(seconds) / np.diff(job["stops"], prepend=0)
    return {
        "microseconds_per_step": 1e6 * float(np.median(a_step[1:])),
        "repeats": len(seconds) - 1,
        "train_seconds": float(sum(seconds)),
        "epochs": job["epochs"],
        "steps": job["stops"][-1],
    }


def xor_accuracy(predictions: HostArray) -> float:
    """The share of the four cases that is right."""
    return accuracy(datasets.load_xor().y_train.ravel(), predictions)


def classify(
    data: datasets.Dataset,
    codes: dict[str, tuple[HostArray, HostArray]],
    budget: Budget,
    threads: int,
) -> dict[str, Any]:
    """The SVM of `nnx.experiments.svm` on each side's codes: test accuracies, and the rows of the fit."""
    from joblib import Parallel, delayed

    def score(train: HostArray, test: HostArray, rows: int) -> float:
        model = svm.code_classifier(train.shape[1])
        model.fit(train[:rows], data.y_train[:rows])
        return float(np.mean(model.predict(test) == data.y_test))

    def scores(rows: int) -> dict[str, float]:
        # threads: libsvm releases the interpreter's lock
        values = Parallel(n_jobs=min(threads, len(codes)), backend="threading")(
            [delayed(score)(train, test, rows) for train, test in codes.values()]
        )
        return dict(zip(codes, values, strict=True))

    total = len(data.y_train)
    rows = min(PILOT, total)
    began = time.monotonic()
    found = scores(rows)
    pilot = time.monotonic() - began
    possible = min(total, int(rows * (CAREFUL * budget.left() / pilot) ** (1.0 / svm.GROWTH)))
    if rows < possible:
        rows = possible
        found = scores(rows)
    return {"accuracy": found, "rows": rows, "rows_in_all": total}
