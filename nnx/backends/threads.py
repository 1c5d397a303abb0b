"""Decide how many threads the CPU's backends use, and NumPy's BLAS during training and predictions.

The user sets the number (``--threads``, or a variable). Otherwise it is the number of cores that this process
may use, limited by the system's affinity and by a control group's quota of processor time. It never depends
on a measured time, because the last digits of results depend on it.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import Any

from nnx.backends import control_groups, openblas

# The variables that set the number of threads; for each library, the first one that is set counts.
OF_KERNELS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS")
OF_BLAS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
NOT_READ = {"openblas": "MKL_NUM_THREADS", "mkl": "OPENBLAS_NUM_THREADS"}  # what each BLAS does not read
VARIABLES = tuple(dict.fromkeys((*OF_BLAS, *OF_KERNELS)))
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


def given(names: Sequence[str] = VARIABLES) -> tuple[str, int] | None:
    """Return the variable by which the user set a number of threads, and the number; None if not set."""
    for name in names:
        with suppress(ValueError):  # OMP_NUM_THREADS may be a list, one number for each level of nesting
            if (count := int(os.environ.get(name, "").split(",")[0])) > 0:
                return name, count
    return None


def asked() -> int | None:
    """Return the number given to `use`, if any."""
    return _asked[-1] if _asked else None


def use(count: int) -> None:
    """Compute with `count` threads from now on; ``--threads`` calls this before a network is built."""
    _asked.append(count)
    os.environ.update(dict.fromkeys(VARIABLES, str(count)))  # for Numba, loaded later, and other processes
    from threadpoolctl import threadpool_limits

    threadpool_limits(count, user_api="blas")


def of_kernels(most: int | None = None) -> int:
    """Return how many threads the compiled kernels use, and not more than `most`."""
    known = given(OF_KERNELS)
    count = known[1] if known else cores()
    return count if most is None else min(count, most)


@contextmanager
def within_quota() -> Iterator[None]:
    """Return a context for training in which NumPy's BLAS uses no more threads than a quota allows.

    These threads wait for each other. If there are more threads than processors, a product takes many times
    as long. Nothing changes if there is no quota, or if the user set a number.
    """
    if cores() >= affinity() or given(variables_of_blas()):
        yield
        return
    from threadpoolctl import threadpool_limits

    with threadpool_limits(cores(), user_api="blas"):
        yield


def within_known_quota() -> AbstractContextManager[Any]:
    """As `within_quota`, for passes that may take microseconds: the quota is read at the first call only."""
    found = _limit()
    return nullcontext() if found is None else found[0].limit(limits=found[1])


@cache
def _limit() -> tuple[Any, int] | None:
    """Return what sets the threads of NumPy's BLAS, and the number that a quota allows; None without one."""
    if cores() >= affinity() or given(variables_of_blas()):
        return None
    from threadpoolctl import ThreadpoolController

    places = [pool["filepath"] for pool in _pools()]
    return ThreadpoolController().select(filepath=places), cores()


def of_blas() -> int:
    """Return the number of threads of NumPy's BLAS during training."""
    found = min((int(pool["num_threads"]) for pool in _pools()), default=1)
    return found if given(variables_of_blas()) else min(found, cores())


def variables_of_blas() -> tuple[str, ...]:
    """Return the variables that NumPy's BLAS reads: OpenBLAS does not read MKL's, nor MKL OpenBLAS's."""
    unread = {NOT_READ.get(pool["internal_api"]) for pool in _pools()}
    return tuple(name for name in OF_BLAS if unread != {name})


def name_of_blas() -> str:
    """Return the library, version and kernels of NumPy's BLAS, such as ``"OpenBLAS 0.3.31 (SkylakeX)"``."""
    names = {"openblas": "OpenBLAS", "mkl": "MKL", "blis": "BLIS", "flexiblas": "FlexiBLAS"}
    for pool in _pools():
        library = names.get(pool["internal_api"], pool["internal_api"])
        version = ".".join(str(pool["version"] or "").split(".")[:3])
        kernels = pool.get("architecture")
        return f"{library} {version}".strip() + (f" ({kernels})" if kernels else "")
    return "unknown"


def _pools() -> list[dict[str, Any]]:
    """Return the pools of threads of NumPy's BLAS as threadpoolctl describes them."""
    from threadpoolctl import threadpool_info

    package = Path(sys.modules["numpy"].__file__ or "").parent
    places = (package, package.with_name("numpy.libs"))
    found = [
        (Path(pool["filepath"]).parents, pool) for pool in threadpool_info() if pool["user_api"] == "blas"
    ]
    near = [pool for parents, pool in found if any(place in parents for place in places)]
    if near:
        return near
    # conda's BLAS lies elsewhere; the private one of the compiled kernels may lie next to it
    return [pool for parents, pool in found if not any(place.name == openblas.PACKAGE for place in parents)]


def source(count: int, names: Sequence[str], root: Path = control_groups.ROOT) -> str:
    """Return in words why a library uses `count` threads; `names` are its variables."""
    known = given(names)
    if count != (known[1] if known else cores(root)):
        return "set by the library itself, or in this process"
    if known:
        return "--threads" if asked() == count else f"{known[0]}={os.environ[known[0]]}"
    quota, allowed, every = control_groups.processors(root), affinity(), os.cpu_count() or 1
    if quota is not None and cores(root) < allowed:
        return f"a control group has a quota of {quota:g} processor{'s' * (quota != 1)}"
    if allowed < every:
        return f"this process may use {allowed} of {every} cores (affinity)"
    return "one for each core"
