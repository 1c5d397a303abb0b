"""Capture and restore the whole state of a training run, as arrays on the host and as JSON values.

The state holds no random generators: shuffles, masks and augmentations are drawn from the seed and the count
of steps. It holds the parameters and running statistics, the average of parameters, the optimizer's slots,
the counts, the losses of the current epoch, the history, the state of the callbacks, and the settings that
callbacks changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from nnx import model_files
from nnx.errors import ConfigurationError, plain
from nnx.training.checkpoints import settings
from nnx.training.run import Callback, Run

HostArray = np.ndarray[Any, Any]
Arrays = dict[str, HostArray]


def capture(run: Run) -> tuple[Arrays, Arrays, dict[str, Any]]:
    """Return the weights by name, the arrays of the training and its other values, between two steps."""
    arena, history = run.network.arena, run.history
    to_numpy = arena.backend.to_numpy
    kept, _ = run.optimizer.state_for(run.network)
    arrays: Arrays = {f"slot.{name}": to_numpy(slot) for name, slot in kept.slots.items()}
    arrays |= {f"history.{name}": np.array(values) for name, values in history.metrics.items()}
    arrays |= {f"statistics.{name}": np.array(values) for name, values in history.statistics.items()}
    if run.batch:
        arrays["losses"] = to_numpy(run.losses[: run.batch])
        if run.terms.size:
            arrays["terms"] = to_numpy(run.terms[: run.batch])
    of_them, callbacks = of_callbacks(run)
    arrays |= of_them
    if run.average is None:
        weights = run.network.weights()
    else:  # `nnx.load` reads the averages; the trained parameters belong to the training
        with run.average.shown():
            weights = run.network.weights()
        arrays["trained"] = to_numpy(arena.values)
    return weights, arrays, {
        "arena_step": arena.step, "optimizer_step": kept.step, "scale": kept.scale,
        "left_out": history.left_out, "rollbacks": history.rollbacks,
        "step": run.step, "epoch": run.epoch, "batch": run.batch, "stop": run.stop,
        "training_seconds": history.training_seconds, "first_step_seconds": history.first_step_seconds,
        "metrics": list(history.metrics), "statistics": list(history.statistics),
        "callbacks": callbacks, "settings": settings.changed(run),
    }  # fmt: skip


def of_callbacks(run: Run) -> tuple[Arrays, dict[str, dict[str, Any]]]:
    """Return the arrays in the callbacks' states, and their other values.

    Raises
    ------
    ConfigurationError
        If a checkpoint cannot store a value.
    """
    arrays: Arrays = {}
    callbacks: dict[str, dict[str, Any]] = {}
    for name, callback in stateful(run):
        counted = {}
        for key, value in callback.state().items():
            if isinstance(value, np.ndarray):
                model_files.check_type(f"the state of {name}: {key!r}", value)
                arrays[f"{name}.{key}"] = value
            else:
                counted[key] = value
        callbacks[name] = plain(f"the state of {name}", counted)
    return arrays, callbacks


def restore(run: Run, weights: Arrays, arrays: Arrays, counts: dict[str, Any]) -> None:
    """Put a run into a state that `capture` returned for a run with the same network, data and options.

    Raises
    ------
    ConfigurationError
        If the state has more finished epochs than the run asks for.
    LookupError, TypeError, ValueError
        If the state is not valid. The checksum finds damage, but not a file that was changed on purpose.
    """
    _check(run, counts)
    if counts["epoch"] > run.epochs:
        raise ConfigurationError(
            f"{counts['epoch']} epochs are already finished, but epochs={run.epochs}: ask for more"
        )
    arena, history = run.network.arena, run.history
    kept, _ = run.optimizer.state_for(run.network)
    run.network.set_weights(weights)
    if run.average is not None:
        run.average.restore(arrays["trained"], counts["step"])
    settings.restore(run, counts.get("settings", {}))  # a checkpoint of version 0.1 has none
    with arena.backend.hold():
        for name, slot in kept.slots.items():
            slot[...] = arena.backend.asarray(arrays[f"slot.{name}"])
        if counts["batch"]:
            run.losses[: counts["batch"]] = arena.backend.asarray(arrays["losses"])
            if run.terms.size:
                run.terms[: counts["batch"]] = arena.backend.asarray(arrays["terms"])
    arena.step, kept.step, kept.scale = (counts[n] for n in ("arena_step", "optimizer_step", "scale"))
    history.left_out, history.rollbacks = counts["left_out"], counts["rollbacks"]
    run.step, run.epoch, run.batch, run.stop = (counts[name] for name in ("step", "epoch", "batch", "stop"))
    history.epochs[:] = range(1, run.epoch + 1)
    history.metrics.clear()
    history.metrics |= {name: arrays[f"history.{name}"].tolist() for name in counts["metrics"]}
    history.statistics.clear()  # a checkpoint of an older version has none
    history.statistics |= {n: arrays[f"statistics.{n}"].tolist() for n in counts.get("statistics", ())}
    history.training_seconds = counts["training_seconds"]
    history.first_step_seconds = counts["first_step_seconds"]
    for name, callback in stateful(run):
        prefix = f"{name}."
        kept_arrays = {key.removeprefix(prefix): v for key, v in arrays.items() if key.startswith(prefix)}
        callback.restore(counts["callbacks"][name] | kept_arrays)


def _check(run: Run, counts: dict[str, Any]) -> None:
    """Check that the counts are valid counts."""
    for name in ("arena_step", "optimizer_step", "step", "epoch", "batch", "left_out", "rollbacks"):
        if type(counts[name]) is not int or not 0 <= counts[name] < 2**62:
            raise ValueError(f"{name} is {counts[name]!r:.40}, not a count")
    if counts["batch"] >= max(1, run.batches) or not isinstance(counts["stop"], str):
        raise ValueError("batch or stop is not valid")
    for name in ("training_seconds", "first_step_seconds", "scale"):
        if not 0.0 <= float(counts[name]) < 1e18:
            raise ValueError(f"{name} is {counts[name]!r:.40}, not a number from 0 to 1e18")


def stateful(run: Run) -> Iterator[tuple[str, Callback]]:
    """Yield the callbacks that have a state, with their names: the class, and a number if there are several.

    Arrays of the training are called ``slot.…``, ``history.…`` and ``statistics.…``, so a class with one of
    these names also gets a number.
    """
    seen: Counter[str] = Counter({"slot": 1, "history": 1, "statistics": 1})
    for callback in run.callbacks:
        if type(callback).state is not Callback.state:
            kind = type(callback).__name__
            seen[kind] += 1
            yield (f"{kind}-{seen[kind]}" if seen[kind] > 1 else kind), callback
