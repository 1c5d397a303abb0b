"""The options that a user gave, and whether a finished run was trained with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from nnx.errors import ConfigurationError

_BY_USER = click.core.ParameterSource.COMMANDLINE


def given(config: dict[str, Any], usual: dict[str, Any] | None = None) -> dict[str, Any]:
    """The part of a configuration that the command line or its ``--config`` file gives, without the device.

    Of the file's values those count that are not the defaults, `usual`.
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
    """Refuse options that a finished run was not trained with: its result is not what they ask for.

    Raises
    ------
    ConfigurationError
        If there are any; the text names them, and the run's.
    """
    known, asked = found.config, dict(options)
    if (
        "batch_size" in asked and "rows" in found.metrics
    ):  # the run has noted fewer where there are fewer rows
        asked["batch_size"] = min(asked["batch_size"], found.metrics["rows"])
    said = [
        f"{named(name)} {_plain(value)} (the run has {_plain(known[name])})"
        for name, value in asked.items()
        if value != "auto" and name in known and json.loads(json.dumps(value)) != known[name]
    ]
    if said:
        raise ConfigurationError(
            f"the run in {folder} is finished, and these options are not its own: {', '.join(said)}: leave "
            "them out, or train anew: choose another --out, without --resume"
        )


def named(option: str) -> str:
    """An entry of a configuration as the command line names it."""
    return "DATA" if option == "data" else "--" + option.replace("_", "-")


def _plain(value: Any) -> str:
    """A value as the command line has it."""
    if value in (None, [], ()):
        return "none"
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
