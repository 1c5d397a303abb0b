"""Things made from their names: losses, optimizers, layers, schedules and initializers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nnx.errors import ConfigurationError, nearest


def make(what: str, known: Mapping[str, type], given: Any, arguments: Mapping[str, Any]) -> Any:
    """Make the thing that `given` describes.

    Parameters
    ----------
    what : str
        Its kind, for messages: ``"loss"``.
    known : mapping of names to classes
    given : str or dict
        A name, or ``{"name": …}`` with arguments of the constructor.
    arguments : mapping
        More arguments of the constructor.

    Raises
    ------
    ConfigurationError
        If the name is unknown (the text names the nearest), or an argument does not fit.
    """
    found = dict(given) if isinstance(given, Mapping) else {"name": given}
    name = found.pop("name", None)
    if not isinstance(name, str) or name not in known:
        raise ConfigurationError(f"unknown {what} {name!r}{nearest(str(name), known)}")
    twice = sorted(set(found) & set(arguments))
    if twice:
        raise ConfigurationError(f"{what} {name!r}: {twice[0]} is given twice")
    try:
        return known[name](**found, **arguments)
    except TypeError as error:
        raise ConfigurationError(f"{what} {name!r}: {error}") from error


def unchanged(what: str, given: Any, arguments: Mapping[str, Any]) -> Any:
    """Return an object that is already made.

    Raises
    ------
    ConfigurationError
        If there are arguments, which it cannot take any more.
    """
    if arguments:
        raise ConfigurationError(f"{what} {given!r} is already made: {next(iter(arguments))} comes too late")
    return given
