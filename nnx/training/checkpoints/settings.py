"""Store the settings that a callback can change during training, so that a resumed run has them too.

Settings are attributes of the layers (`trainable`, a dropout rate), the network, the optimizer and its
schedule, the loss, the run, and of a user's callbacks without `state`. A checkpoint stores only those that
changed since the start of the fit, because a resumed run has the same settings at its start.
"""

from __future__ import annotations

import logging
import zlib
from collections import Counter, deque
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from nnx.errors import ConfigurationError, nearest
from nnx.layers.base import walk
from nnx.schedules import Schedule
from nnx.training.run import Callback, Run

logger = logging.getLogger("nnx.checkpoints")
MOST = 10_000  # longer lists and mappings are not stored
SAMPLE = 2**20  # about how many elements of an array are compared
OPAQUE = "of another kind"  # the key of a value that is compared, but cannot be stored
Plain = dict[str, dict[str, Any]]


def begun(run: Run) -> Plain:
    """Return the settings at the start of a fit, by owner and name."""
    return {name: _attributes(name, owner) for name, owner in _owners(run)}


def changed(run: Run) -> Plain:
    """Return the settings that changed since the start of the fit, as values for JSON."""
    found: Plain = {}
    for name, owner in _owners(run) if run.begun else ():
        first = run.begun.get(name, {})
        now = {key: value for key, value in _attributes(name, owner).items() if first.get(key) != value}
        lost = sorted(key for key, value in now.items() if _opaque(value))
        if lost:
            _warn(run, type(owner).__name__, lost)
        kept = {key: value for key, value in now.items() if key not in lost}
        if kept:
            found[name] = kept
    return found


def restore(run: Run, kept: Plain) -> None:
    """Restore the settings that `changed` returned, and set all others as they were at the start of the fit.

    A rollback during a fit does not change a user's callback: it may have counted what really happened.

    Raises
    ------
    ConfigurationError
        If a schedule has an unknown class.
    TypeError, ValueError, AttributeError
        If the settings are damaged.
    """
    rolls_back = run.step > 0  # a resumed fit has taken no step yet
    for name, owner in _owners(run) if run.begun else ():
        if rolls_back and _is_own(owner):
            continue
        now, first = _attributes(name, owner), run.begun.get(name, {})
        for key, value in (first | kept.get(name, {})).items():
            if (key in now and value == now[key]) or _opaque(value):
                continue
            found = _decoded(value)
            attribute = _NAMES.get(name, {}).get(key, key)
            if type(owner).__module__.startswith("nnx."):  # a user's class may add attributes of any type
                if key not in now:
                    raise ValueError(f"{name} has no {key}")
                if not _may_replace(getattr(owner, attribute, None), found):
                    raise TypeError(f"{name}.{key} is {found!r:.40}")
            setattr(owner, attribute, found)


def _owners(run: Run) -> Iterator[tuple[str, Any]]:
    network = run.network
    yield "run", run
    yield "network", network
    yield "the seed in use", network.arena
    for number, layer in enumerate(walk(network.layers)):
        yield f"layer {number + 1}", layer
    yield "optimizer", run.optimizer
    yield "loss", run.loss
    seen: Counter[str] = Counter()
    for callback in run.callbacks:
        if _is_own(callback):
            kind = type(callback).__qualname__
            seen[kind] += 1
            yield f"callback {kind} {seen[kind]}", callback


def _is_own(owner: Any) -> bool:
    """Return whether it is a user's callback without `state`."""
    kind = type(owner)
    return isinstance(owner, Callback) and not kind.__module__.startswith("nnx.") and (
        kind.state is Callback.state
    )  # fmt: skip


_NAMES = {  # for each owner: the name in a checkpoint, and the attribute
    "run": {"epochs": "epochs", "on_nonfinite": "on_nonfinite"},
    "network": {"seed": "seed", "fuse": "fuse", "code": "encoder_length"},
    "the seed in use": {"seed": "seed"},
}
_OF_A_LAYER = {
    *("arena", "owned", "inputs", "outputs", "input_shape", "output_shape", "input_dtype", "branches"),
    *("index", "name", "_trainable", "_plan", "_late", "_given", "_partner"),
}


def _attributes(called: str, owner: Any) -> dict[str, Any]:
    """Return the attributes of an owner that a checkpoint may store, as values for JSON."""
    if called in _NAMES:
        return {key: _encoded(getattr(owner, name)) for key, name in _NAMES[called].items()}
    found = dict(getattr(owner, "__dict__", {}))
    if called == "optimizer":
        found.pop("slots", None)
    if hasattr(owner, "parameter_shapes"):  # a layer: the checkpoint has its arrays already
        found = {
            name: value for name, value in found.items()
            if name not in _OF_A_LAYER and (isinstance(value, np.generic) or not hasattr(value, "shape"))
        }  # fmt: skip
        found["trainable"] = owner.trainable
    return {name: _encoded(value) for name, value in found.items()}


def _encoded(value: Any, depth: int = 0) -> Any:
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        return {"numpy": value.dtype.str, "value": value.item()}
    if value is None or type(value) in (bool, int, float, str):
        return value
    if depth < 9 and type(value) in (list, tuple) and len(value) <= MOST:
        return {type(value).__name__: [_encoded(inner, depth + 1) for inner in value]}
    if depth < 9 and type(value) in (set, frozenset) and len(value) <= MOST:  # equal sets give equal JSON
        return {type(value).__name__: sorted((_encoded(inner, depth + 1) for inner in value), key=repr)}
    if depth < 9 and type(value) is dict and len(value) <= MOST and all(type(key) is str for key in value):
        return {"dict": {key: _encoded(inner, depth + 1) for key, inner in value.items()}}
    if depth < 9 and isinstance(value, Schedule):
        inner = {name: _encoded(inner, depth + 1) for name, inner in vars(value).items()}
        return {"schedule": type(value).kind, "attributes": inner}
    return {OPAQUE: [id(value), _content(value, depth)]}


def _content(value: Any, depth: int) -> Any:
    """Return a value that changes if an array or a collection is changed in place; samples large ones."""
    if isinstance(value, np.ndarray):
        step = -(-value.size // SAMPLE) or 1
        part = value.reshape(-1)[::step] if value.flags.c_contiguous else value.ravel()[::step]
        return zlib.crc32(repr(part.tolist()).encode() if value.dtype.hasobject else part.tobytes())
    if depth < 9 and isinstance(value, dict | list | tuple | set | frozenset | deque):
        entries = value.items() if isinstance(value, dict) else value
        return [len(value), [_encoded(entry, depth + 1) for entry in islice(entries, MOST)]]
    return None


def _opaque(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_opaque, value))
    return isinstance(value, dict) and (OPAQUE in value or any(map(_opaque, value.values())))


def _decoded(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if "numpy" in value:
        return np.dtype(value["numpy"]).type(value["value"])
    if "schedule" in value:
        kind = value["schedule"]
        if kind not in Schedule.registry:
            raise ConfigurationError(f"unknown schedule {kind!r}{nearest(kind, Schedule.registry)}")
        schedule = Schedule.registry[kind].__new__(Schedule.registry[kind])
        schedule.__dict__.update({name: _decoded(inner) for name, inner in value["attributes"].items()})
        return schedule
    for kind in (list, tuple, set, frozenset):
        if kind.__name__ in value:
            return kind(_decoded(inner) for inner in value[kind.__name__])
    return {name: _decoded(inner) for name, inner in value["dict"].items()}


def _may_replace(value: Any, found: Any) -> bool:
    """Return whether a stored value may replace one: a schedule stays a schedule, a number a number."""
    if isinstance(value, Schedule):
        return isinstance(found, Schedule)
    return not _number(value) or found is None or _number(found)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float, np.generic))


def _warn(run: Run, owner: str, names: list[str]) -> None:
    text = f"{owner}: {', '.join(names)}"
    if text not in run.warned:
        run.warned.add(text)
        logger.warning(
            "%s changed while training, and checkpoints do not hold it: a resumed run can differ, unless the "
            "callback has state() and restore()", text,
        )  # fmt: skip
