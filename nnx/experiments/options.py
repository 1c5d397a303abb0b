"""Options of experiments: which values are allowed, on the command line, in a file or in Python."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from nnx.errors import ConfigurationError, nearest
from nnx.training.nonfinite import POLICIES

Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Rule:
    """The values that are allowed for an option.

    Attributes
    ----------
    kind : {"name", "names", "columns", "whole", "number", "size", "path", "flag"}
        A name is one of `known`, if there are any; names are a list, or a text with commas; columns are a
        list, or a text that is divided when the columns are known; a size is (height, width), or a text
        "HxW"; a path names an existing file or folder; a flag is true or false.
    low, high : float
        The range of numbers; `low` itself is not allowed if `above` is set.
    help : str
    option : str
        Its name on the command line, if it differs from the name of the entry.
    several : bool
        Whether the option may be given several times, once for each text of a list.
    """

    kind: str
    help: str
    known: tuple[str, ...] = ()
    low: float = 0.0
    high: float = math.inf
    above: bool = False
    metavar: str = ""
    option: str = ""
    several: bool = False

    def expected(self) -> str:
        """Describe in words which values are allowed."""
        if self.known:
            return f"one of {', '.join(self.known)}"
        if self.kind in ("whole", "number"):
            what = "a whole number" if self.kind == "whole" else "a number"
            least = f"{'above' if self.above else 'of at least'} {self.low:g}"
            return f"{what} {least}" + ("" if self.high == math.inf else f" and below {self.high:g}")
        return {
            "names": "a list of texts",
            "columns": "a list of texts",
            "size": "a height and a width, as 28x28",
            "flag": "true or false",
        }.get(self.kind, "a text")

    def parsed(self, text: Any) -> Any:
        """Convert a text of the command line to the value that a TOML file would have.

        Lists with commas that were given in several options become one. Other values, and texts that do not
        fit, are returned as they are; `checked` refuses them.
        """
        if isinstance(text, tuple) and self.kind == "names" and not self.several:
            return ",".join(text)
        if not isinstance(text, str):
            return text
        try:
            return {"whole": int, "number": float}.get(self.kind, str)(text)
        except ValueError:
            return text

    def checked(self, value: Any, where: str) -> Any:
        """Return the value for `Config`; the error for one that is not allowed begins with `where`."""
        if self.known and isinstance(value, str) and value not in self.known:
            raise ConfigurationError(f"{where}: {value[:40]!r} is unknown{nearest(value, self.known)}")
        found = getattr(self, f"_{self.kind}")(value)
        if found is None:
            said = f"{value:g}" if type(value) is float else f"{value!r:.60}"
            raise ConfigurationError(f"{where}: must be {self.expected()}, not {said}")
        return found

    def _name(self, value: Any) -> str | None:
        return value if isinstance(value, str) and value else None

    _path = _name

    def _names(self, value: Any) -> tuple[str, ...] | None:
        given = value.split(",") if isinstance(value, str) else value
        if not isinstance(given, list | tuple) or not all(isinstance(name, str) for name in given):
            return None
        names = tuple(name.strip() for name in given)
        return names if names and all(names) else None

    def _columns(self, value: Any) -> tuple[str, ...] | None:
        return self._names([value] if isinstance(value, str) else value)

    def _whole(self, value: Any) -> int | None:
        return value if type(value) is int and self._within(value) else None

    def _number(self, value: Any) -> float | None:
        return float(value) if type(value) in (int, float) and self._within(value) else None

    def _flag(self, value: Any) -> bool | None:
        return value if type(value) is bool else None

    def _within(self, value: float) -> bool:
        return (value > self.low if self.above else value >= self.low) and value < self.high

    def _size(self, value: Any) -> tuple[int, int] | None:
        given = value.lower().split("x") if isinstance(value, str) else value
        if not isinstance(given, list | tuple) or len(given) != 2:
            return None
        try:
            height, width = (int(side) if isinstance(side, str) else side for side in given)
        except ValueError:
            return None
        sides = (height, width)
        return sides if all(type(side) is int and 1 <= side < 2**12 for side in sides) else None


def choice(what: str, name: str, known: Mapping[str, Kind]) -> Kind:
    """Return the entry of that name; an error starts with `what` and names the nearest."""
    if name not in known:
        raise ConfigurationError(f"{what} {name!r}{nearest(name, known)}")
    return known[name]


def option_name(name: str, rule: Rule | None) -> str:
    """Return the option for an entry of a configuration: ``--batch-size``."""
    return "--" + ((rule.option if rule else "") or name).replace("_", "-")


EPOCHS = Rule(
    "whole", "Number of passes over the training data.  [default: the preset's]", low=1, metavar="N"
)
BATCH_SIZE = Rule("whole", "Rows in a batch.  [default: the preset's]", low=1, metavar="N")
DATASET = Rule(
    "name", "auto uses MNIST if it is available, else the embedded digits.", ("auto", "mnist", "digits")
)
ON_NONFINITE = Rule(
    "name",
    "If a loss or gradient is NaN or infinite: stop, skip that batch, or return to a checkpoint and continue "
    "with half the learning rate (rollback).",
    POLICIES,
)
