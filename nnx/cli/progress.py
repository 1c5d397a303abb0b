"""Show the progress of a run: a bar on a terminal, plain lines at growing intervals elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

from nnx.callbacks import Callback, Run
from nnx.cli.console import say

PLAIN_LINES = 20  # most lines at the ends of epochs, without a terminal
GAP, SHARE = 20.0, 0.1  # time without a line: 20 seconds, or a tenth of the time so far if that is more
REFRESH = 8  # how often a bar is drawn in a second


def clock(seconds: float) -> str:
    """Format a time as 0:07, 12:34 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Work(ABC):
    """Work in progress; another thread asks how far it is."""

    measured = ""  # the last measured values
    first = 10.0  # seconds before the first line in a log

    def __init__(self) -> None:
        self.began = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Return the seconds since it began."""
        return time.monotonic() - self.began

    @abstractmethod
    def label(self) -> str:
        """Return what is done now."""

    @abstractmethod
    def remaining(self) -> float | None:
        """Return the seconds that are left, or None if that is unknown."""

    @abstractmethod
    def share(self) -> float | None:
        """Return how much is done, from 0 to 1, or None if that is unknown."""

    def times(self) -> tuple[str, str]:
        """Return the elapsed and the remaining time, each with a label."""
        left = self.remaining()
        return f"elapsed {clock(self.elapsed)}", "" if left is None else f"remaining {clock(left)}"

    def line(self, *more: str) -> str:
        """Return everything in one line."""
        return "  ".join(filter(None, (self.label(), *self.times(), *more)))


class Training(Work):
    """The progress of a call of `fit`."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run, self.total = run, run.epochs * run.batches
        self._first = run.step
        self._since: tuple[float, int] | None = None  # when the first step ended: it may compile code

    def label(self) -> str:
        """Return the current epoch, or between two epochs the one that ended."""
        epoch = self.run.epoch + bool(self.run.batch)
        return f"epoch {max(1, epoch)}/{self.run.epochs}"

    def line(self, *more: str) -> str:
        """Return the line; within an epoch, it includes the step."""
        batch = self.run.batch
        return super().line(*([f"step {batch:,}/{self.run.batches:,}"] if batch else more))

    def share(self) -> float:
        """Return the share of the steps that are done."""
        return self.run.step / self.total

    def remaining(self) -> float | None:
        """Estimate the time for the remaining steps from the time of those before."""
        step, now = self.run.step, time.monotonic()
        if step <= self._first:  # the first step has not ended, or training returned to a checkpoint
            self._first, self._since = step, None
            return None
        if self._since is None:
            self._since = now, step
        since, first = self._since if step > self._since[1] else (self.began, self._first)
        return (now - since) / (step - first) * (self.total - step)


class Stage(Work):
    """A part of an experiment that does not report how far it is."""

    first = 30.0

    def __init__(self, what: str, seconds: float | None) -> None:
        super().__init__()
        self.what, self.seconds = what, seconds

    def label(self) -> str:
        """Return what is done."""
        return self.what

    def remaining(self) -> float | None:
        """Return what is left of the expected time; None after it has passed."""
        left = (self.seconds or 0.0) - self.elapsed
        return left if left > 0.0 else None

    def share(self) -> float | None:
        """Return the elapsed share of the expected time; None after it has passed."""
        return self.elapsed / self.seconds if self.seconds and self.elapsed < self.seconds else None


# ------------------------------------------------------------------- two ways to show it


class Bar:
    """A bar on a terminal, drawn by a thread of rich."""

    def __init__(self, work: Work, transient: bool) -> None:
        from rich.console import Console
        from rich.live import Live

        self.work = work
        self.live = Live(get_renderable=self._drawn, console=Console(stderr=True), transient=transient,
                         refresh_per_second=REFRESH)  # fmt: skip
        self.live.start()

    def _drawn(self) -> Any:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        share, (elapsed, remaining) = self.work.share(), self.work.times()
        row = Table.grid(padding=(0, 2, 0, 0), expand=True)
        row.add_column(no_wrap=True)
        row.add_column(ratio=1)
        row.add_column(no_wrap=True)
        row.add_column(no_wrap=True)
        bar = ProgressBar(completed=share or 0.0, total=1.0, pulse=share is None)
        row.add_row(Text(self.work.label()), bar, Text(elapsed), Text(remaining))
        measured = Text(self.work.measured, no_wrap=True, overflow="ellipsis")
        return Group(row, measured) if self.work.measured else row

    def say(self, *more: str) -> None:
        """Do nothing: the bar shows new values by itself."""

    def close(self) -> None:
        """Draw the bar for the last time, before anything else is printed."""
        self.live.stop()


class Lines:
    """Print lines to a file or a pipe: when asked, and after some time without a line."""

    def __init__(self, work: Work, transient: bool) -> None:
        self.work = work
        self._due = work.first
        self._over, self._lock = threading.Event(), threading.Lock()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self._over.wait(0.2):
            with self._lock:
                if self.work.elapsed >= self._due and not self._over.is_set():
                    self._say()

    def say(self, *more: str) -> None:
        """Print a line now."""
        with self._lock:
            self._say(*more)

    def _say(self, *more: str) -> None:
        say(self.work.line(*more))
        self._due = self.work.elapsed + max(GAP, SHARE * self.work.elapsed)

    def close(self) -> None:
        """Print no more lines."""
        with self._lock:
            self._over.set()


_nested: ContextVar[bool] = ContextVar("nnx_nested", default=False)  # a terminal has room for one bar


def _view(work: Work, transient: bool = False) -> Bar | Lines:
    return (Bar if sys.stderr.isatty() else Lines)(work, transient)


class Shown(Callback):
    """Show the progress of a training."""

    every_rank = False

    def __init__(self) -> None:
        self._view: Bar | Lines | None = None

    def on_train_begin(self, run: Run) -> None:
        """Start to show it."""
        self._work = Training(run)
        self._every = -(-run.epochs // PLAIN_LINES)  # for lines; a bar shows more epochs
        self._view = _view(self._work)
        self.every_n_epochs = self._every if isinstance(self._view, Lines) else max(1, run.epochs // 1000)
        self._said = 0

    def on_epoch_end(self, run: Run) -> None:
        """Show the values of the epoch."""
        if run.epoch % self.every_n_epochs == 0 or run.over:
            self._show(run)

    def on_train_end(self, run: Run) -> None:
        """Show the last epoch, also if another callback ended training after this one ran."""
        if self._view is None:
            return
        if run.epoch != self._said and not run.failed and run.history.epochs:
            self._show(run)
        self._view.close()
        self._view = None

    def _show(self, run: Run) -> None:
        assert self._view is not None
        values = "  ".join(f"{name} {value:#.5g}" for name, value in run.history.last().items())
        self._work.measured, self._said = f"after epoch {run.epoch}: {values}", run.epoch
        self._view.say(values)


class Ended(Callback):
    """Note when a callback, such as early stopping, ended a training, and why."""

    every_rank = False

    def __init__(self, note: Callable[[str], None]) -> None:
        self.note = note
        self.notes: list[str] = []

    def on_train_end(self, run: Run) -> None:
        """Print a note if a callback ended training, and store it."""
        if run.stop and not run.failed:
            self.notes.append(f"training ended after epoch {run.epoch} of {run.epochs}: {run.stop}")
            self.note(self.notes[-1])


@contextmanager
def stage(what: str, seconds: float | None) -> Iterator[None]:
    """Show a part of an experiment while it runs."""
    if _nested.get():
        yield
        return
    token, view = _nested.set(True), _view(Stage(what, seconds), transient=True)
    try:
        yield
    finally:
        view.close()
        _nested.reset(token)


def silent(what: str, seconds: float | None) -> AbstractContextManager[object]:
    """Show nothing."""
    return nullcontext()
