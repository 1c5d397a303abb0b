"""The slow parts of an experiment besides training; the caller may show that they are in progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

# Gets the name of a stage and its expected seconds (None: unknown); the context lasts as long as the stage.
Show = Callable[[str, "float | None"], AbstractContextManager[object]]

_show: ContextVar[Show] = ContextVar("nnx_stages", default=lambda what, seconds: nullcontext())


def stage(what: str, seconds: float | None = None) -> AbstractContextManager[object]:
    """Return a context for a part of an experiment, such as "fitting PCA", and its expected seconds."""
    return _show.get()(what, seconds)


@contextmanager
def shown_by(show: Show) -> Iterator[None]:
    """Within the context, call `show` for a context around each stage."""
    token = _show.set(show)
    try:
        yield
    finally:
        _show.reset(token)
