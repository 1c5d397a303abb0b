"""Who is missing, where ranks wait for one that does not come.

While all is well this costs a counter. A rank that has waited for long calls the others by one small message
each; whoever waits in the same place answers, and who has not answered in the end is missing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

PATIENCE = 0.25  # seconds of waiting before messages are looked for


class RollCall:
    """Counts the places where ranks meet, and calls the roll of one.

    Parameters
    ----------
    mpi : module
    world : communicator
        Of its own, so that its messages meet no others.
    """

    def __init__(self, mpi: Any, world: Any) -> None:
        self.mpi, self.world = mpi, world
        self.rank, self.size = world.Get_rank(), world.Get_size()
        self.place = 0
        self.heard = np.full(self.size, -1, np.int64)  # the last place that a rank has called from
        self.sent: list[tuple[Any, Any]] = []

    def meeting(self, timeout: float) -> Meeting:
        """The next place, where this rank has arrived."""
        self.place += 1
        return Meeting(self, timeout)

    def listen(self) -> bool:
        """Take what was sent here; whether anything was."""
        heard = False
        status = self.mpi.Status()
        while self.world.Iprobe(source=self.mpi.ANY_SOURCE, status=status):
            message = np.empty(1, np.int64)
            self.world.Recv(message, source=status.Get_source())
            self.heard[status.Get_source()] = message[0]
            heard = True
        return heard

    def call(self) -> None:
        """Tell the others where this rank waits."""
        message = np.array([self.place], np.int64)
        for other in range(self.size):
            if other != self.rank:
                self.sent.append((self.world.Isend(message, other), message))
        self.sent = [(request, kept) for request, kept in self.sent if not request.Test()]


class Meeting:
    """One wait at one place.

    Attributes
    ----------
    over : bool
        Whether it is time to give up: after the timeout; after twice of it where all have come, for then the
        exchange itself is slow.
    """

    def __init__(self, roll: RollCall, timeout: float) -> None:
        self.roll, self.timeout = roll, timeout
        self.called = self.over = False

    def __enter__(self) -> Meeting:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def attend(self, waited: float) -> None:
        """To be called now and then while waiting."""
        if waited < min(PATIENCE, self.timeout / 4):
            return
        asked = self.roll.listen() and (self.roll.heard >= self.roll.place).any()
        if not self.called and (asked or waited > self.timeout / 2):
            self.roll.call()
            self.called = True
        self.over = waited > (self.timeout if self._missing() else 2 * self.timeout)

    def _missing(self) -> list[int]:
        here = self.roll.heard >= self.roll.place
        here[self.roll.rank] = True
        return [int(rank) for rank in np.flatnonzero(~here)]

    def missing(self) -> str:
        """Who has not come, as the beginning of a sentence."""
        absent = self._missing()
        if not absent:
            return f"all {self.roll.size} ranks have come, but did not end"
        names = ("rank " if len(absent) == 1 else "ranks ") + ", ".join(map(str, absent[:8]))
        return f"{names}{f' and {len(absent) - 8} more' if len(absent) > 8 else ''} did not come to"
