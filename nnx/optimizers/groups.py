"""Parameter groups: settings of an optimizer for some parameters only, chosen by their names.

``groups={"*.b": {"weight_decay": 0.0}, "dense_1.*": {"learning_rate": 1e-4}}`` gives the biases no weight
decay, and the first dense layer its own learning rate.

- A pattern works as for file names (`fnmatch`): ``*`` is any text, ``?`` any character, ``[12]`` 1 or 2.
  It is compared with the names of ``network.parameters()``. A pattern that has no effect is an error.
- A group may set ``learning_rate`` (a number or a schedule, in place of the optimizer's), ``weight_decay``
  and ``l2``. Other settings are the same for all parameters; ``clip_norm`` limits the norm of all gradients.
- If several patterns match a parameter, each setting comes from the first pattern that sets it:
  ``dense_1.b`` above has both settings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from nnx.errors import ConfigurationError, nearest, number
from nnx.schedules import Schedule, as_schedule, describe

SETTINGS = ("learning_rate", "weight_decay", "l2")  # what a group may set
Settings = tuple[tuple[str, Any], ...]  # (name, value); a learning rate is a Schedule
Groups = tuple[tuple[str, Settings], ...]  # (pattern, settings) in the order given


def read(owner: str, given: Mapping[str, Mapping[str, Any]], others: Iterable[str]) -> Groups:
    """Check groups as the caller gives them.

    Parameters
    ----------
    owner : str
        Name of the optimizer, for messages.
    given : mapping of patterns to mappings of settings
    others : iterable of str
        The optimizer's settings that are the same for all parameters.

    Raises
    ------
    ConfigurationError
        If a setting is unknown or outside its range.
    """
    if not isinstance(given, Mapping):
        raise ConfigurationError(
            f"{owner}: groups must be a dict of patterns, such as {{'*.b': {{'weight_decay': 0.0}}}}, "
            f"not {given!r:.60}"
        )
    return tuple((pattern, _settings(owner, pattern, chosen, others)) for pattern, chosen in given.items())


def _settings(owner: str, pattern: Any, chosen: Any, others: Iterable[str]) -> Settings:
    what = f"{owner}: groups[{pattern!r}]"
    if not isinstance(pattern, str) or not isinstance(chosen, Mapping) or not chosen:
        raise ConfigurationError(
            f"{what} must be a pattern with a dict of settings, such as {{'weight_decay': 0.0}}, "
            f"not {chosen!r:.60}"
        )
    for name in chosen:
        if name in SETTINGS:
            continue
        if name in others:
            raise ConfigurationError(
                f"{what}: {name} is the same for all parameters; a group may set {', '.join(SETTINGS)}"
            )
        raise ConfigurationError(f"{what}: unknown setting {name!r}{nearest(str(name), SETTINGS)}")
    return tuple(
        (name, as_schedule(chosen[name], what) if name == "learning_rate" else
         number(f"{what}: {name}", chosen[name], "[0, inf)"))
        for name in SETTINGS if name in chosen
    )  # fmt: skip


def config(groups: Groups) -> dict[str, dict[str, Any]]:
    """Return groups in the form in which the caller gives them, with values that JSON can hold."""
    return {
        pattern: {name: describe(value) if isinstance(value, Schedule) else value for name, value in settings}
        for pattern, settings in groups
    }


def choose(owner: str, groups: Groups, names: list[str]) -> list[Settings | None]:
    """Return the settings of each parameter that the groups set; None if they set none.

    Each setting comes from the first matching pattern that sets it.

    Raises
    ------
    ConfigurationError
        If a pattern has no effect: it matches no name, or earlier patterns set the same settings.
    """
    found: dict[str, dict[str, Any]] = {name: {} for name in names}
    for pattern, settings in groups:
        matched = [name for name in names if fnmatchcase(name, pattern)]
        if not matched:
            raise ConfigurationError(
                f"{owner}: groups[{pattern!r}] matches no parameter{nearest(pattern, names)}"
            )
        if all(setting in found[name] for name in matched for setting, _ in settings):
            raise ConfigurationError(
                f"{owner}: groups[{pattern!r}] changes nothing, because patterns before it set the same for "
                f"{', '.join(matched[:3])}: put it first"
            )
        for name in matched:
            found[name] = dict(settings) | found[name]
    return [
        tuple((setting, found[name][setting]) for setting in SETTINGS if setting in found[name]) or None
        for name in names
    ]
