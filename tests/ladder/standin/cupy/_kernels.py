"""Kernels of one's own: their CUDA sources compiled by g++ (`host_kernels`) and run on the arrays' values."""

from __future__ import annotations

import functools
import importlib.util
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

from cupy import _wheel
from cupy._array import launch, ndarray, owned, unwrap


def _host_kernels() -> Any:
    name = "host_kernels"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            name, Path(__file__).resolve().parents[3] / "support" / "ladder" / f"{name}.py"
        )
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


THREAD_BY_THREAD = 1 << 14  # launches of fewer threads run as they are, larger ones on one thread


class ElementwiseKernel:
    """`cupy.ElementwiseKernel`."""

    def __init__(
        self, in_params: str, out_params: str, operation: str, name: str = "kernel", *args: Any, **kwargs: Any
    ) -> None:
        _wheel.call("cupy.ElementwiseKernel").check((in_params, out_params, operation, name, *args), kwargs)
        self._source = (in_params, out_params, operation, kwargs.get("preamble", ""))
        self.name = name
        self._in = [part.split() for part in in_params.split(",") if part.strip()]
        self._out = [part.split() for part in out_params.split(",") if part.strip()]
        self.nin, self.nout = len(self._in), len(self._out)
        self._compiled: dict[Any, Any] = {}

    def __call__(self, *args: Any) -> Any:
        if len(args) not in (self.nin, self.nin + self.nout):
            raise TypeError(f"Wrong number of arguments for {self.name!r}: {len(args)}")
        hosts = [unwrap(one) for one in args]
        types = self._types(args)
        if len(args) == self.nin:
            shape = np.broadcast_shapes(
                *(
                    h.shape
                    for h, p in zip(hosts, self._in, strict=True)
                    if isinstance(h, np.ndarray) and "raw" not in p
                )
            )
            made = [owned(np.empty(shape, types.get(p[-2], p[-2]))) for p in self._out]
            args, hosts = (*args, *made), [*hosts, *(one._host for one in made)]
        for one, parameter in zip(args[self.nin :], self._out, strict=True):
            if not isinstance(one, ndarray):
                raise TypeError("Output arguments type must be cupy.ndarray")
            for source, words in zip(
                args, self._in, strict=False
            ):  # a thread must not read what another writes
                if (
                    isinstance(source, ndarray)
                    and "raw" not in (*words, *parameter)
                    and _shifted(source._host, one._host)
                ):
                    raise ValueError(f"{self.name}: {words[-1]} and {parameter[-1]} overlap")
        key = tuple(types.items())
        kernel = self._compiled.get(key)
        if kernel is None:
            kernel = self._compiled[key] = _host_kernels().Elementwise(*self._source, types)
        launch(
            self.name,
            tuple(one._memory for one in args if isinstance(one, ndarray)),
            tuple(one._memory for one in args[self.nin :]),
            perform=functools.partial(kernel, *hosts),
        )
        outputs = args[self.nin :]
        return outputs[0] if len(outputs) == 1 else outputs

    def _types(self, args: tuple[Any, ...]) -> dict[str, str]:
        """What the placeholders stand for: by outputs first, then by inputs that are arrays, as in CuPy."""
        types: dict[str, str] = {}
        words = [*self._in, *self._out]
        order = [*range(self.nin, len(args)), *range(self.nin)]
        for index in order:
            if isinstance(args[index], ndarray):
                kind, dtype = words[index][-2], args[index].dtype
                expected = types.setdefault(kind, dtype.name) if len(kind) == 1 else kind
                if dtype != expected:
                    raise TypeError(f"Type is mismatched. {words[index][-1]} {dtype} {expected} {kind}")
        return types


def _shifted(a: Any, b: Any) -> bool:
    """Whether two arrays share memory otherwise than element by element."""
    if not np.may_share_memory(a, b):
        return False
    same = a.ctypes.data == b.ctypes.data and a.shape == b.shape and a.strides == b.strides
    return not same and bool(np.shares_memory(a, b))


class RawKernel:
    """`cupy.RawKernel`."""

    def __init__(self, code: str, name: str, *args: Any, **kwargs: Any) -> None:
        _wheel.call("cupy.RawKernel").check((code, name, *args), kwargs)
        self.code, self.name = code, name
        self._kernel: Any = None

    def __call__(self, grid: Any, block: Any, args: Any, *, shared_mem: int = 0) -> None:
        if self._kernel is None:
            self._kernel = _host_kernels().Raw(self.code, self.name)
        reads, writes, held = [], [], []
        for parameter, one in zip(self._kernel.parameters, args, strict=True):
            if isinstance(one, ndarray):
                (writes if parameter.written else reads).append(one._memory)
                held.append(unwrap(one))
            else:
                held.append(one)
        threads = math.prod(grid) * math.prod(block) <= THREAD_BY_THREAD
        perform = functools.partial(self._kernel, grid, block, held, threads=threads)
        launch(self.name, tuple(reads), tuple(writes), perform=perform)
