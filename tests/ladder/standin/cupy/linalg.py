"""`cupy.linalg`: names that array-api-compat imports; the stand-in computes none of them."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)

    def not_here(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"the stand-in does not compute cupy.linalg.{name}")

    return not_here
