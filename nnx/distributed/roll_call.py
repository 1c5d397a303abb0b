"""Find out which rank is missing when the others wait for it.

In a healthy job this costs nothing. A rank that has waited for half of its timeout sends every other rank one
small question. A rank that waits answers, because it is held up too, at this step or the one before. A rank
that does not answer is the one they wait for.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nnx.distributed.agreement import ranks

PATIENCE = 0.25  # seconds of waiting before a rank looks for messages
ANSWER, QUESTION = 0, 1


class RollCall:
    """Ask the other ranks whether they wait, and answer their questions.

    Parameters
    ----------
    mpi : module
    world : communicator
        A separate communicator, so that its messages do not mix with others.
    """

    def __init__(self, mpi: Any, world: Any) -> None:
        self.mpi, self.world = mpi, world
        self.rank, self.size = world.Get_rank(), world.Get_size()
        self._sent: list[tuple[Any, Any]] = []

    def listen(self) -> set[int]:
        """Answer the questions that arrived, and return the ranks that sent a message."""
        heard = set()
        status = self.mpi.Status()
        while self.world.Iprobe(source=self.mpi.ANY_SOURCE, status=status):
            message = np.empty(1, np.int64)
            self.world.Recv(message, source=status.Get_source())
            heard.add(status.Get_source())
            if message[0] == QUESTION:
                self._send(ANSWER, status.Get_source())
        return heard

    def ask(self) -> None:
        """Ask every other rank whether it waits."""
        for other in range(self.size):
            if other != self.rank:
                self._send(QUESTION, other)

    def _send(self, text: int, other: int) -> None:
        message = np.array([text], np.int64)
        self._sent = [(request, kept) for request, kept in self._sent if not request.Test()]
        self._sent.append((self.world.Isend(message, other), message))


class Wait:
    """One wait for the others.

    Attributes
    ----------
    over : bool
        Whether to give up: after the timeout, or after twice the timeout if all ranks wait, because then the
        exchange itself is slow.
    """

    def __init__(self, roll: RollCall, timeout: float) -> None:
        self.roll, self.timeout = roll, timeout
        self.asked = self.over = False
        self.waiting = {roll.rank}

    def attend(self, waited: float) -> None:
        """Look for answers. Call this now and then, with the seconds waited so far."""
        if waited < min(PATIENCE, self.timeout / 4):
            return
        heard = self.roll.listen()
        if self.asked:
            self.waiting |= heard
        elif waited > self.timeout / 2:  # earlier messages may be old
            self.roll.ask()
            self.asked = True
        self.over = waited > (self.timeout if len(self.waiting) < self.roll.size else 2 * self.timeout)

    def missing(self) -> str:
        """Return which ranks do not wait, as the start of a sentence."""
        absent = sorted(set(range(self.roll.size)) - self.waiting)
        if not absent:
            return f"all {self.roll.size} ranks wait, and none finished"
        return f"{ranks(absent)} did not reach"
