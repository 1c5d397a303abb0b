"""Decide how many threads the CPU's backends use, and NumPy's BLAS during training.

The user sets the number (``--threads``, or a variable of `VARIABLES`). Otherwise it is the number of cores
that this process may use, limited by the system's affinity and by a control group's quota of processor time.
It never depends on a measured time, because the last digits of results depend on it.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nnx.backends import control_groups

VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_asked: list[int] = []


def affinity() -> int:
    """Return the number of cores that the system allows this process."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cores(root: Path = control_groups.ROOT) -> int:
    """Return the number of cores that this process may use; a quota of 2.5 processors counts as 2."""
    quota = control_groups.processors(root)
    return affinity() if quota is None else max(min(affinity(), math.floor(quota)), 1)


def given() -> bool:
    """Return whether the user set a number of threads."""
    return any(os.environ.get(name) for name in VARIABLES)


def asked() -> int | None:
    """Return the number given to `use`, if any."""
    return _asked[-1] if _asked else None


def use(count: int) -> None:
    """Compute with `count` threads from now on; ``--threads`` calls this before a network is built."""
    _asked.append(count)
    os.environ.update(dict.fromkeys(VARIABLES, str(count)))  # for Numba, loaded later, and other processes
    from threadpoolctl import threadpool_limits

    threadpool_limits(count, user_api="blas")


@contextmanager
def within_quota() -> Iterator[None]:
    """Return a context for training in which NumPy's BLAS uses no more threads than a quota allows.

    These threads wait for each other. If there are more threads than processors, a product takes many times
    as long. Nothing changes if there is no quota, or if the user set a number.
    """
    if given() or cores() >= affinity():
        yield
        return
    from threadpoolctl import threadpool_limits

    with threadpool_limits(cores(), user_api="blas"):
        yield


def of_blas() -> int:
    """Return the number of threads of NumPy's BLAS during training."""
    from threadpoolctl import threadpool_info

    numpy = str(Path(sys.modules["numpy"].__file__ or "").parent.parent)
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    own = [pool for pool in pools if pool["filepath"].startswith((numpy, str(Path(numpy) / "numpy.libs")))]
    found = min((int(pool["num_threads"]) for pool in own or pools), default=1)
    return found if given() else min(found, cores())
