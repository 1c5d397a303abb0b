"""A strict stand-in for CuPy: for tests, on machines without a GPU.

Names and signatures are the real wheel's (`_wheel`), arithmetic is NumPy's, kernels are compiled by g++. It
refuses what CuPy refuses, and what CuPy would do in silence; it counts what moves and what is launched
(`_world`). What it cannot compute raises NotImplementedError.
"""

from __future__ import annotations

from typing import Any

from cupy import _cublas, _cublaslt, _functions, _wheel, _world
from cupy import cuda as cuda
from cupy._array import ndarray as ndarray
from cupy._kernels import ElementwiseKernel as ElementwiseKernel
from cupy._kernels import RawKernel as RawKernel

__version__ = _wheel.described()["version"]
newaxis = None
_functions.complete()
_cublas.install()
_cublaslt.install()
recorded, machine = _world.recorded, _world.machine  # the tests' own


def get_default_memory_pool() -> cuda.MemoryPool:
    """The one pool there is."""
    return cuda.memory.default_pool


def __getattr__(name: str) -> Any:
    if name == "__all__":  # of `from cupy import *`
        return ["cuda", "ndarray", "newaxis", *_functions.computed()]
    if name.startswith("__"):
        raise AttributeError(name)
    return _functions.lookup(name)
