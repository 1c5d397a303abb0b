"""The option ``--precision`` of experiments: its values, and the older option ``--dtype``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nnx.errors import ConfigurationError, nearest
from nnx.experiments.options import Rule
from nnx.network.precision import PRECISIONS

PRECISION = Rule(
    "name",
    "Number type of the computation. bfloat16 rounds the factors of matrix products, the rest stays float32; "
    "auto: bfloat16 if the processor has instructions that make it faster, else float32.  "
    "[default: float32]",
    PRECISIONS,
)
DTYPE = Rule("name", "The same as --precision, for these two types.", ("float32", "float64"))


class Precise:
    """Give a configuration with the fields ``precision`` and ``dtype`` a value for both.

    A subclass is a frozen dataclass in which both are "" by default. `precision` then becomes that of
    `dtype`, or float32, and `dtype` the type of the stored numbers.

    Raises
    ------
    ConfigurationError
        If a value is unknown, or the two contradict each other.
    """

    precision: str
    dtype: str

    def __post_init__(self) -> None:
        precision = self.precision or self.dtype or "float32"
        if precision not in PRECISIONS:
            raise ConfigurationError(
                f"there is no precision {precision!r}{nearest(str(precision), PRECISIONS)}"
            )
        dtype = stored_type(precision)
        if self.dtype and self.dtype != dtype:
            raise ConfigurationError(
                f"--precision {precision} and --dtype {self.dtype} contradict each other: leave --dtype out"
            )
        object.__setattr__(self, "precision", precision)
        object.__setattr__(self, "dtype", dtype)


def stored_type(precision: str) -> str:
    """Return the type of weights and data: with bfloat16, only factors of products are rounded."""
    return "float64" if precision == "float64" else "float32"


def dtype_alone(precision: str | None, dtype: str | None) -> str:
    """Return the dtype of an experiment whose configuration has no field ``precision``.

    Raises
    ------
    ConfigurationError
        If it is no precision for such an experiment, or the two contradict each other.
    """
    if precision == "bfloat16":
        raise ConfigurationError("this experiment computes with --precision float32 or float64 only")
    chosen = "float32" if precision == "auto" else precision
    if chosen and dtype and chosen != dtype:
        raise ConfigurationError(
            f"--precision {precision} and --dtype {dtype} contradict each other: leave --dtype out"
        )
    return chosen or dtype or "float32"


def newest_given(options: Mapping[str, Any], older: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a file, without the one of the two that `options` replaces by the other."""
    pair = {"precision": "dtype", "dtype": "precision"}
    replaced = {other for name, other in pair.items() if name in options}
    return {name: value for name, value in older.items() if name not in replaced}
