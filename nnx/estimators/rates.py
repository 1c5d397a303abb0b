"""How the estimators change the learning rate: a schedule by its name, over all steps of a fit."""

from __future__ import annotations

from typing import Any

import nnx
from nnx.errors import ConfigurationError, nearest, number, whole
from nnx.estimators.validation import Monitor
from nnx.schedules import BY_NAME, TRAININGS


def check(estimator: Any) -> None:
    """Refuse invalid parameters.

    Raises
    ------
    ConfigurationError
        If `schedule`, `accumulate` or `average` is invalid, or the schedule does not fit the optimizer.
    """
    schedule = estimator.schedule
    if schedule is not None and schedule not in BY_NAME:
        raise ConfigurationError(f"unknown schedule {schedule!r:.80}{nearest(str(schedule), BY_NAME)}")
    has_own = not isinstance(estimator.optimizer, str) or isinstance(estimator.learning_rate, nnx.Schedule)
    if schedule in TRAININGS and has_own:
        raise ConfigurationError(
            f"schedule={schedule!r} makes a schedule from a number, but the optimizer or learning_rate has "
            "its own: give the optimizer by its name, and learning_rate as a number"
        )
    if schedule not in (None, "constant") and _is_lbfgs(estimator.optimizer):
        raise ConfigurationError(f"schedule={schedule!r}: lbfgs has no learning rate: set schedule=None")
    whole("accumulate", estimator.accumulate)
    if estimator.average is not None:
        number("average", estimator.average, "(0, 1)")


def spread(estimator: Any, optimizer: nnx.Optimizer, rows: int) -> nnx.Optimizer:
    """Give a new optimizer the estimator's schedule, over the steps of all epochs of `rows` rows."""
    if estimator.schedule in TRAININGS:
        of_a_step = estimator._rows_of_a_batch(rows) * estimator.accumulate
        steps = estimator.epochs * -(-rows // of_a_step)
        optimizer.learning_rate = TRAININGS[estimator.schedule](optimizer.schedule(0), steps)
    return optimizer


def check_not_ended(estimator: Any, network: nnx.Network, optimizer: nnx.Optimizer) -> None:
    """Refuse to continue with a schedule that has reached 0: nothing would change.

    Raises
    ------
    ConfigurationError
        If it has.
    """
    kept = network.arena.states.get(optimizer)
    if kept and estimator.schedule in TRAININGS and optimizer.schedule(kept.step) == 0.0:
        raise ConfigurationError(
            f"schedule={estimator.schedule!r} has ended with a learning rate of 0, so partial_fit would "
            "change nothing: use schedule=None or 'plateau'"
        )


def lowering(estimator: Any, followed: Monitor, validated: bool) -> list[nnx.Callback]:
    """Return the callback of ``schedule="plateau"``; without validation data, it follows the loss."""
    if estimator.schedule != "plateau":
        return []
    patience = max(1, estimator.patience // 2)  # lowered before early stopping ends the training
    if not validated:
        return [nnx.ReduceOnPlateau("loss", patience=patience)]
    return [nnx.ReduceOnPlateau(followed.name, patience=patience, mode=estimator.mode)]


def _is_lbfgs(optimizer: Any) -> bool:
    return isinstance(optimizer, nnx.LBFGS) or optimizer == "lbfgs"
