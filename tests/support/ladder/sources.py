"""The CUDA source that CuPy makes of nnx's kernels and hands to the compiler, recorded without a driver.

For an elementwise kernel CuPy writes a loop around nnx's body, for the types and layouts of the arrays it is
called with. `elementwise` has CuPy's own code write it; `recorded` goes through CuPy's own functions up to
the compiler. Both reach into CuPy's private modules: a CuPy that changed there fails here and is looked at.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from cupy import ndarray
from cupy._core import _carray, _kernel, _scalar, core
from cupy.cuda import compiler

import nnx.backends
import nnx.ops.convolution_cuda
import nnx.ops.losses_cuda  # noqa: F401
from nnx.ops.cuda import OF_COLUMNS, OF_ELEMENTS, THREADS, Elementwise, Raw

DTYPES = ("float32", "float64")
LAYOUTS = ("contiguous", "strided")
ARRAYS = (  # inputs that nnx gives as arrays, beside raw ones
    "x", "y", "dy", "product", "b", "gradient", "mean", "variance", "gamma", "beta", "dgamma", "dbeta",
    "next",
)  # fmt: skip
NDARRAY, INDEXER, SCALAR = 1, 2, 3  # CuPy's _ArgKind


@dataclass(frozen=True)
class Source:
    """A kernel as CuPy compiles it.

    Attributes
    ----------
    name, dtype, layout : str
    function : str
        The ``__global__`` function.
    text : str
        With the includes that CuPy puts before it.
    options : tuple of str
        For NVRTC, without the architecture.
    threads : int
        The most that nnx, or CuPy for it, launches in a block.
    """

    name: str
    dtype: str
    layout: str
    function: str
    text: str
    options: tuple[str, ...]
    threads: int

    def __str__(self) -> str:
        return f"{self.name} {self.dtype} {self.layout}"


def sources() -> list[Source]:
    """Every kernel of nnx, in each dtype, and elementwise ones for arrays of each layout."""
    found = []
    with recording():
        for dtype in DTYPES:
            for name in Elementwise.known:
                for layout in LAYOUTS:
                    text, options = recorded(elementwise(name, dtype, layout), headers=True)
                    found.append(Source(name, dtype, layout, f"nnx_{name}", text, options, 128))
            for name, raw in Raw.known.items():
                text, options = recorded(raw.of(np.dtype(dtype)).code, headers=False)
                found.append(Source(name, dtype, "raw", raw.function, text, options, _threads(raw)))
    return found


def _threads(raw: Raw) -> int:
    """The most threads of a block of a raw kernel: over columns, over elements, or over rows."""
    if "NNX_OF_COLUMNS" in raw.source:
        return OF_COLUMNS
    alone = "NNX_PARTS_OF(size" in raw.source and "nnx_block_sum" not in raw.source
    return OF_ELEMENTS if alone else THREADS


def elementwise(name: str, dtype: str, layout: str) -> str:
    """What CuPy writes for the kernel of that name, called as nnx calls it.

    Contiguous arrays, which CuPy flattens; or matrices of any strides and more than 2³¹ bytes.
    """
    kernel = Elementwise.known[name].kernel
    number = np.dtype(dtype)
    strided = layout == "strided"
    ndim = 2 if strided else 1

    def argument(parameter: Any) -> Any:
        kind = parameter.dtype or number
        if parameter.raw:
            return _kernel._ArgInfo(NDARRAY, ndarray, kind, 1, True, True)
        if parameter.name in ARRAYS or not parameter.is_const:
            return _kernel._ArgInfo(NDARRAY, ndarray, kind, ndim, not strided, not strided)
        return _kernel._ArgInfo(SCALAR, _scalar.CScalar, kind, 0, True, True)

    types = [tuple(p.dtype or number for p in group) for group in (kernel.in_params, kernel.out_params)]
    index = _kernel._ArgInfo(INDEXER, _carray.Indexer, None, ndim, True, not strided)
    arguments = (*map(argument, kernel.in_params + kernel.out_params), index)
    type_map = kernel._decide_params_type(*types)[2]
    return _kernel._get_elementwise_kernel_code(
        arguments, type_map, kernel.params, kernel.operation, kernel.name, kernel.preamble
    )


class Recorded(Exception):  # noqa: N818 - no error: it carries what was to be compiled
    """Raised in the compiler's place."""


class Recorder(compiler._NVRTCProgram):
    def compile(self, options: tuple[str, ...] = (), log_stream: Any = None) -> Any:
        if not self.src:  # CuPy asks for the compiler's version by compiling nothing
            return super().compile(options, log_stream)
        raise Recorded(self.src, tuple(one for one in options if not one.startswith("-arch")))


@contextlib.contextmanager
def recording() -> Iterator[None]:
    """CuPy compiles nothing, and does not ask the device which architecture it has."""
    names = ("_NVRTCProgram", "_get_arch_for_options_for_nvrtc")
    before = {name: getattr(compiler, name) for name in names}
    compiler._NVRTCProgram = Recorder
    compiler._get_arch_for_options_for_nvrtc = compiler._get_arch_for_options_for_nvrtc.__wrapped__
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(compiler, name, value)


def recorded(code: str, headers: bool) -> tuple[str, tuple[str, ...]]:
    """What CuPy would compile for `code`, inside `recording`: the whole source, and the options."""
    try:
        core.compile_with_cache(code, (), "80", headers)
    except Recorded as what:
        return what.args
    raise AssertionError("CuPy compiled nothing")
