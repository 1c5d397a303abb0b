"""Ctrl-C and SIGTERM, held back until training is between two steps."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interrupts:
    """As a context: the first signal is noted, a second one does what it would have done outside.

    Only the main thread is told of signals; elsewhere nothing is held back.

    Parameters
    ----------
    wanted : bool
        False leaves signals alone.

    Attributes
    ----------
    wanted : bool
    number : int
        The signal that came and waits; 0 before.
    """

    def __init__(self, wanted: bool) -> None:
        self.number = 0
        self.wanted = wanted
        self._usual: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if self.wanted and threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                usual = signal.getsignal(number)
                if usual not in (None, signal.SIG_IGN):  # ignored, or not Python's to handle: so it stays
                    self._usual[number] = signal.signal(number, self._hold)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._give_back()
        if self.number and error is None:  # it came too late to be looked at
            self.deliver(self.number)

    def deliver(self, number: int) -> None:
        """Let a signal do what it would have done outside."""
        self._give_back()
        self.number = 0
        signal.raise_signal(number)

    def _hold(self, number: int, frame: FrameType | None) -> None:
        if self.number:
            self.deliver(number)
        self.number = number

    def _give_back(self) -> None:
        while self._usual:
            signal.signal(*self._usual.popitem())
