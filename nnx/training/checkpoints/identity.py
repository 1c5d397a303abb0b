"""Describe a loss and an optimizer by `config`, to compare a resumed run with its checkpoint."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from nnx.distributed.agreement import fingerprint
from nnx.errors import ConfigurationError, plain
from nnx.schedules import NAMES as SCHEDULES


def described(thing: Any) -> dict[str, Any]:
    """Return the class and the ``config()`` of a loss or an optimizer, as values that JSON can hold."""
    return {"kind": type(thing).__name__, "config": {k: _plain(k, v) for k, v in thing.config().items()}}


def _plain(name: str, value: Any) -> Any:
    """Return a value that JSON can store, or for other values a description that distinguishes them."""
    if isinstance(value, np.ndarray) and value.ndim:
        return {"array": fingerprint(value)}
    if isinstance(value, dict):
        return {str(key): _plain(name, inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(name, inner) for inner in value]
    try:
        return plain(name, value)
    except ConfigurationError:
        named = getattr(value, "__qualname__", "")
        return {"object": " ".join(part for part in (type(value).__qualname__, named) if part)}


def difference(name: str, then: Any, now: Any) -> str:
    """Return what differs between two values of one fact: ``"batch_size 8, not 9"``."""
    name = {"code": "encoder_length", "dtype": "precision"}.get(name, name)  # files have names of version 0.1
    if isinstance(then, dict) and isinstance(now, dict):
        if then.get("kind") != now.get("kind"):
            then, now = then.get("kind"), now.get("kind")
        elif "config" in then and "config" in now:
            same = then["config"] == now["config"]
            old, new = (then, now) if same else (then["config"], now["config"])
            key = next(key for key in {**old, **new} if old.get(key) != new.get(key))
            return difference(f"{name}: {key}", old.get(key), new.get(key))
    if _described(then) and _described(now):
        pairs = enumerate(zip(then, now, strict=False), 1)
        place = next((place for place, (old, new) in pairs if old != new), None)
        if place is None:
            return f"{len(then)} {name}, not {len(now)}"
        return difference(f"{name}, number {place}", then[place - 1], now[place - 1])
    return f"{name} {short(then)}, not {short(now)}"


def _described(value: Any) -> bool:
    """Return whether a value is a list of descriptions, as of layers."""
    return isinstance(value, list) and all(isinstance(one, dict) for one in value)


def without_initial_weights(layers: Any) -> Any:
    """Return descriptions of layers without initializers: a resumed run has the weights of its checkpoint."""
    if isinstance(layers, list):
        return [without_initial_weights(one) for one in layers]
    if isinstance(layers, dict):
        return {key: without_initial_weights(one) for key, one in layers.items() if key != "initializer"}
    return layers


def short(value: Any) -> str:
    """Return a value as JSON, shortened to 100 characters."""
    text = json.dumps(value)
    return text if len(text) <= 100 else f"{text[:97]}…"


def as_in_0_1(description: dict[str, Any]) -> str:
    """Return a description from `described` as version 0.1 wrote it: as text."""
    config = dict(description["config"])
    if not config.get("from_logits", True):  # version 0.1 did not have it
        del config["from_logits"]
    texts = {name: repr(value) for name, value in config.items()}
    if "learning_rate" in config:
        texts["learning_rate"] = _schedule(config["learning_rate"])
    return f"{description['kind']}({', '.join(f'{name}={text}' for name, text in texts.items())})"


def _schedule(value: Any) -> str:
    if not isinstance(value, dict):
        return f"Constant(learning_rate={value!r})"
    name, *arguments = value.items()
    kind = SCHEDULES[name[1]].__name__ if name[1] in SCHEDULES else str(name[1]).rpartition(".")[2]
    inner = (f"{k}={_schedule(v) if k == 'after' or isinstance(v, dict) else repr(v)}" for k, v in arguments)
    return f"{kind}({', '.join(inner)})"
