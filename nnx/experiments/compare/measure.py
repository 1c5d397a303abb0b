"""Measure, once all sides agree: XOR, the autoencoders, a classifier, the SVM on codes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from nnx import datasets
from nnx.experiments import svm
from nnx.experiments.compare.agreement import Agreement
from nnx.experiments.compare.jobs import TIMED, Problem
from nnx.experiments.compare.plan import Budget
from nnx.experiments.compare.processes import Worker, able, in_turn
from nnx.experiments.compare.protocol import HostArray, Job
from nnx.experiments.compare.sides import AUTOENCODERS, CLASSIFIER, CONVOLUTIONAL
from nnx.experiments.result import step_time
from nnx.metrics import accuracy, mean_squared_error

FIT_EPOCHS = 50  # of XOR by Keras's fit
FIT = "xor_fit"
# Each training's share of the time that is free before it; the SVM has the rest.
SHARES = {
    "xor_deep": 0.08, "xor_shallow": 0.1, FIT: 0.0, CLASSIFIER: 0.2, CONVOLUTIONAL: 0.4, "deep": 0.55,
    "shallow": 0.55,
}  # fmt: skip
PILOT = 2000  # rows of the SVM that is timed to choose how many to take
LEAST_BATCHES = 8  # of an epoch, on a slow machine
CAREFUL = 0.8  # use only this share of the time that is left: the forecast may be wrong
FIRST_STEPS = 5  # of the first job
FRESH = 3  # processes in which the first step is timed, if there is time
FRESH_SHARE = 0.15  # of the free time at most, for three of them


@dataclass(frozen=True)
class Session:
    """What all parts of a comparison use: the workers by side, the problems by name, and the time."""

    started: dict[str, Worker]
    problems: dict[str, Problem]
    data: datasets.Dataset
    precision: str
    threads: int
    budget: Budget
    progress: Callable[[str], Any]

    def coded(self) -> list[str]:
        """Return the sides whose codes an SVM is fitted to; XLA changes only the time."""
        return [side for side in able(self.started, "deep") if side != "keras_xla"]

    def first_job(self, worker: Worker) -> Job:
        """Return the first job of a worker: a few steps of its largest problem."""
        order = ("deep", CLASSIFIER, *self.problems)
        name = next(name for name in order if name in self.problems and name in worker.problems)
        return self.problems[name].steps(FIRST_STEPS, self.precision)


@dataclass
class Measured:
    """Everything measured, by problem and side.

    Attributes
    ----------
    times : dict of dict of dict
        problem → side → ``microseconds_per_step`` (median of all parts but the first, which compiles),
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
    accuracy: dict[str, dict[str, float]] = field(default_factory=dict)
    features: int = 0
    fit_seconds: float | None = None
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


def first_steps(session: Session) -> tuple[dict[str, float], float, float]:
    """Let each side do its first job: build, compile, take a few steps.

    Returns
    -------
    tuple
        The seconds of the first step of each side, compiling included. Of all sides together: the seconds of
        the whole job without its other steps, and of a step.
    """
    found, a_step, began = {}, 0.0, time.monotonic()
    for side, worker in session.started.items():
        worker.start(session.first_job(worker))
        answer = worker.finish()[0]
        found[side] = float(answer["first_seconds"])
        a_step += float(answer["seconds"])
    return found, time.monotonic() - began - (FIRST_STEPS - 1) * a_step, a_step


def measure(session: Session, agreement: Agreement, first: dict[str, float]) -> Measured:
    """Train everything in turn, as long as the budget allows; what is cut short is cut for all alike."""
    data, budget = session.data, session.budget
    found = Measured(features=data.features, first_steps=_more_first_steps(session, first))
    codes: dict[str, tuple[HostArray, HostArray]] = {}
    for name, share in SHARES.items():
        if name == FIT and "keras" in session.started and "xor_deep" in session.problems:
            with budget.part(FIT):
                found.fit_seconds = _fit_seconds(session)
        elif name in session.problems:
            step_seconds = sum(agreement.step_seconds[name].values())
            codes |= _train(session, found, session.problems[name], step_seconds, share)
    for name in AUTOENCODERS:
        found.test_mse[name] = {
            side: mean_squared_error(data.x_test, p) for side, p in found.predictions.get(name, {}).items()
        }
    for name in (CLASSIFIER, CONVOLUTIONAL):
        if name in found.predictions:
            found.accuracy[name] = {
                side: float(np.mean(p.argmax(axis=1) == data.y_test))
                for side, p in found.predictions[name].items()
            }
    codes = {side: codes[side] for side in session.coded() if side in codes}
    if codes:
        with budget.part("svm"):
            found.svm = classify(data, codes, budget, session.threads)
        scores = ", ".join(f"{side} {score:.4f}" for side, score in found.svm["accuracy"].items())
        session.progress(f"SVM on codes: {scores}")
    found.notes.append(_used(found, session.problems))
    if budget.spent() + budget.later > 1.1 * budget.total:
        found.notes.append(
            f"this took {budget.spent() / 60:.1f} minutes, more than the {budget.total / 60:g} asked for: "
            "the machine became busy after the plan was made"
        )
    return found


def _fit_seconds(session: Session) -> float:
    """Return the seconds of an epoch of Keras's `fit`."""
    worker, problem = session.started["keras"], session.problems["xor_deep"]
    worker.start(problem.job | {"task": "fit_epochs", "epochs": FIT_EPOCHS, "dtype": session.precision})
    return float(worker.finish()[0]["seconds"])


def _more_first_steps(session: Session, first: dict[str, float]) -> dict[str, list[float]]:
    """Take the first step again in fresh processes, if there is time."""
    found, budget = {side: [seconds] for side, seconds in first.items()}, session.budget
    if not budget.short and (FRESH - 1) * budget.took["starting"] < FRESH_SHARE * budget.free():
        for side, worker in session.started.items():
            found[side] += worker.first_step_seconds(session.first_job(worker), FRESH - 1)
    taken = ", ".join(f"{side} {np.median(seconds):.3f} s" for side, seconds in found.items())
    session.progress(f"first step in a fresh process: {taken}")
    return found


def _used(found: Measured, problems: dict[str, Problem]) -> str:
    """Return one line on how many epochs and rows the figures come from."""
    parts = [(f"{name} {times['nnx']['epochs']:,}", times["nnx"]["epochs"], problems[name].epochs, "epochs")
             for name, times in found.times.items()]  # fmt: skip
    if found.svm:
        rows, total = found.svm["rows"], found.svm["rows_in_all"]
        parts.append((f"SVM {rows:,}", rows, total, "rows"))
    for name, used in found.rows.items():
        if used < (whole := problems[name].job["rows"]):
            parts.append((f"{name} {used:,}", used, whole, "rows"))
    said = ", ".join(f"{part} of {whole:,} {unit}" for part, _, whole, unit in parts)
    cut = any(used < whole for _, used, whole, _ in parts)
    return f"used on each side: {said}{', to keep to the time (--minutes)' if cut else ''}"


def _train(
    session: Session, found: Measured, problem: Problem, step_seconds: float, share: float
) -> dict[str, tuple[HostArray, HostArray]]:
    """Train one problem on all sides, until its time is over; return the codes of each, if it has any."""
    name, budget = problem.name, session.budget
    with budget.part(name, share) as end:
        extra = end - budget.spent() - budget.least[name]
        problem, epochs = affordable(problem, step_seconds, extra)
        session.progress(f"{name}: up to {epochs:,} epochs on each side, in turn")
        job = problem.training(epochs, session.precision)
        least = job["stops"][TIMED]  # a median needs some parts
        sides = able(session.started, name)
        answers = in_turn(sides, job, lambda step: step >= least and budget.spent() > end)
    parts = len(answers["nnx"]["seconds"])
    job |= {"stops": job["stops"][:parts], "epochs": job["stops"][parts - 1] // problem.steps_an_epoch}
    found.times[name] = {side: _times(answer["seconds"], job) for side, answer in answers.items()}
    found.losses[name] = {side: answer["losses"] for side, answer in answers.items()}
    found.predictions[name] = {side: answer["predictions"] for side, answer in answers.items()}
    found.log_every[name] = (job["keep"], problem.log_every)
    found.rows[name] = job["rows"]
    for side, times in found.times[name].items():
        session.progress(
            f"{name}: {side} {step_time(times['microseconds_per_step'])} a step "
            f"(median of {times['repeats']}), last loss {answers[side]['losses'][-1]:.6g}"
        )
    return {side: (a["codes"], a["test_codes"]) for side, a in answers.items() if "codes" in a}


def affordable(problem: Problem, step_seconds: float, limit: float) -> tuple[Problem, int]:
    """Return the problem and its epochs for so many seconds: fewer epochs, then fewer rows."""
    batch = problem.job["batch_size"]
    steps = int(limit / step_seconds / problem.least_epochs)
    if steps < problem.steps_an_epoch and problem.job["rows"] > LEAST_BATCHES * batch:
        rows = min(problem.job["rows"], max(LEAST_BATCHES, steps) * batch)
        problem = replace(problem, job=problem.job | {"rows": rows})
    epochs = int(limit / (step_seconds * problem.steps_an_epoch))
    return problem, min(problem.epochs, max(problem.least_epochs, epochs))


def _times(seconds: list[float], job: Job) -> dict[str, Any]:
    """Return the times of the parts: the median of all but the first, which compiles, and the sum."""
    a_step = np.array(seconds) / np.diff(job["stops"], prepend=0)
    return {
        "microseconds_per_step": 1e6 * float(np.median(a_step[1:])),
        "repeats": len(seconds) - 1,
        "train_seconds": float(sum(seconds)),
        "epochs": job["epochs"],
        "steps": job["stops"][-1],
    }


def xor_accuracy(predictions: HostArray) -> float:
    """Return the share of the four cases that is right."""
    return accuracy(datasets.load_xor().y_train.ravel(), predictions)


def classify(
    data: datasets.Dataset, codes: dict[str, tuple[HostArray, HostArray]], budget: Budget, threads: int
) -> dict[str, Any]:
    """Fit the SVM of `nnx.experiments.svm` to each side's codes: test accuracies, and the rows of the fit."""
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
