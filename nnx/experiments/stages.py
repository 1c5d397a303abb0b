"""The parts of an experiment that take time besides training: who runs it may show that it is at work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

# Takes what is done and how many seconds it is expected to take (None: unknown); shown while it lasts.
Show = Callable[[str, "float | None"], AbstractContextManager[object]]

_show: ContextVar[Show] = ContextVar("nnx_stages", default=lambda what, seconds: nullcontext())


def stage(what: str, seconds: float | None = None) -> AbstractContextManager[object]:
    """A context for a part of an experiment.

    Parameters
    ----------
    what : str
        For a reader, such as "fitting PCA".
    seconds : float, optional
        How long it is expected to take.
    """
    return _show.get()(what, seconds)


@contextmanager
def shown_by(show: Show) -> Iterator[None]:
    """Within the context, `show` is asked for a context around each stage."""
    token = _show.set(show)
    try:
        yield
    finally:
        _show.reset(token)
