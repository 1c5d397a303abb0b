"""Hold back Ctrl-C and SIGTERM until the current training step has ended."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interrupts:
    """A context that remembers the first signal; a second signal has its usual effect.

    Python handles signals in the main thread only. In other threads, the context does nothing.

    Parameters
    ----------
    wanted : bool
        False to leave signals as they are.

    Attributes
    ----------
    wanted : bool
    number : int
        The signal that waits; 0 if there is none.
    """

    def __init__(self, wanted: bool) -> None:
        self.number = 0
        self.wanted = wanted
        self._usual: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if self.wanted and threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                usual = signal.getsignal(number)
                if usual not in (None, signal.SIG_IGN):  # else: ignored, or not handled by Python
                    self._usual[number] = signal.signal(number, self._hold)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._give_back()
        if self.number and error is None:  # it arrived after the last check
            self.deliver(self.number)

    def deliver(self, number: int) -> None:
        """Let a signal have its usual effect."""
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
