"""Find out which options the user gave, and whether a finished run was trained with them."""

from __future__ import annotations

import json
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any

import click

from nnx.errors import ConfigurationError

_BY_USER = click.core.ParameterSource.COMMANDLINE


def identity(config: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a resumed run must have in common with its checkpoint, by option, and the usual values.

    If several options differ, the first is named: the precision comes before the older `dtype`.
    """
    about = {"precision": getattr(config, "precision", config.dtype)} | asdict(config)
    usual = {entry.name: entry.default for entry in fields(config) if entry.default is not MISSING}
    usual |= {"precision": "float32", "dtype": "float32"}
    return {name: value for name, value in about.items() if name not in ("device", "epochs")}, usual


def given(config: dict[str, Any], usual: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return what the user set of a configuration, without the device.

    This is what the command line gives, and what a ``--config`` file sets to other values than the defaults,
    `usual`.
    """
    context = click.get_current_context(silent=True)
    if context is None:
        return {}
    defaults = usual if usual and context.params.get("file") is not None else {}
    return {
        name: value
        for name, value in config.items()
        if name != "device"
        and (context.get_parameter_source(name) is _BY_USER or defaults.get(name, value) != value)
    }


def refuse_others(found: Any, folder: Path, options: dict[str, Any]) -> None:
    """Check that a finished run was trained with these options.

    Raises
    ------
    ConfigurationError
        If some differ; the text names them and the values of the run.
    """
    # a run from before there was the option has only the dtype
    known, asked = {"precision": found.config.get("dtype")} | found.config, dict(options)
    if "batch_size" in asked and "rows" in found.metrics:  # a run with fewer rows has stored the smaller size
        asked["batch_size"] = min(asked["batch_size"], found.metrics["rows"])
    said = [
        f"{named(name)} {_plain(value)} (the run has {_plain(known[name])})"
        for name, value in asked.items()
        if value != "auto" and name in known and json.loads(json.dumps(value)) != known[name]
    ]
    if said:
        raise ConfigurationError(
            f"the run in {folder} is finished, and was trained with other options: {', '.join(said)}: remove "
            "these options, or train a new run: choose another --out, and remove --resume"
        )


def named(option: str) -> str:
    """Return the option for an entry of a configuration."""
    return "DATA" if option == "data" else "--" + option.replace("_", "-")


def _plain(value: Any) -> str:
    """Return a value in the form for the command line."""
    if value in (None, [], ()):
        return "none"
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
