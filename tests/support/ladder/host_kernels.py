"""The CUDA kernels of `nnx.ops`, compiled by g++ and run on NumPy arrays.

``compile("adam", "float32")`` gives a callable. An elementwise kernel takes its inputs, then its outputs, as
arrays of any strides that broadcast together, or Python numbers. A raw kernel takes a grid, a block and a
tuple of arguments as CuPy's does, and either runs every thread of the launch, each up to the next
``__syncthreads`` in turn, or all of the work on one thread, which a grid-stride loop allows and which is much
faster.

All kernels are compiled into one library, kept on disk under the hash of its source; `Elementwise` and `Raw`
take any other source too.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import math
import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FLAGS = (
    "-std=c++17",
    "-O2",
    "-fno-math-errno",
    "-ffp-contract=off",
    "-U_FORTIFY_SOURCE",
    "-shared",
    "-fPIC",
    "-w",
)
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "nnx-host-kernels"
NUMBERS = {
    "float": "float32", "double": "float64", "bool": "bool", "long long": "int64", "unsigned int": "uint32",
    "int": "int32", "unsigned char": "uint8", "short": "int16", "unsigned short": "uint16",
    "signed char": "int8", "unsigned long long": "uint64",
}  # fmt: skip
C_NAMES = {dtype: name for name, dtype in NUMBERS.items()}
CHECKED = {
    "float32": ctypes.c_float, "float64": ctypes.c_double, "int64": ctypes.c_longlong,
    "uint32": ctypes.c_uint, "int32": ctypes.c_int, "bool": ctypes.c_bool, "uint8": ctypes.c_ubyte,
    "int16": ctypes.c_short, "uint16": ctypes.c_ushort, "int8": ctypes.c_byte,
    "uint64": ctypes.c_ulonglong,
}  # fmt: skip
RUNTIME = Path(__file__).with_name("host_runtime.hpp")


@dataclass(frozen=True)
class Parameter:
    """A kernel's parameter.

    Attributes
    ----------
    name, dtype : str
    array : bool
        Always an array: raw, an output, or a pointer.
    raw : bool
        Indexed by the body itself, and no part of the broadcast.
    written : bool
    """

    name: str
    dtype: str
    array: bool
    raw: bool
    written: bool


def _elementwise_parameters(text: str, types: dict[str, str], output: bool) -> list[Parameter]:
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        *words, kind, name = part.split()
        raw = "raw" in words
        found.append(Parameter(name, types.get(kind, kind), output or raw, raw, output))
    return found


class Elementwise:
    """A kernel in the form that `cupy.ElementwiseKernel` takes.

    Parameters
    ----------
    inputs, outputs, body, preamble : str
    types : dict
        What its placeholders stand for: ``{"T": "float32"}``.
    """

    def __init__(
        self, inputs: str, outputs: str, body: str, preamble: str = "", types: dict[str, str] | None = None
    ) -> None:
        types = types or {}
        self.inputs = _elementwise_parameters(inputs, types, False)
        self.outputs = _elementwise_parameters(outputs, types, True)
        self.parameters = self.inputs + self.outputs
        self.symbol, self.source = self._written(body, preamble, types)
        self._layouts: dict[Any, tuple[Any, ...]] = {}

    def _written(self, body: str, preamble: str, types: dict[str, str]) -> tuple[str, str]:
        lines = [f"typedef {C_NAMES[dtype]} {letter};" for letter, dtype in types.items()]
        lines += [
            preamble,
            "static inline void body(ptrdiff_t i, char* const* nnx_at, const long long* nnx_step) {",
        ]
        for index, one in enumerate(self.parameters):
            kind = C_NAMES[one.dtype]
            const = "" if index >= len(self.inputs) else "const "
            if one.raw:
                lines.append(f"{const}{kind}* {one.name} = ({const}{kind}*)nnx_at[{index}];")
            else:
                lines.append(
                    f"{const}{kind}& {one.name} = *({const}{kind}*)(nnx_at[{index}] + i * nnx_step[{index}]);"
                )
        lines += [f"{{ {body}; }}", "}"]
        return _named("\n".join(lines), f"NNX_ELEMENTWISE({{symbol}}, {len(self.parameters)})")

    def __call__(self, *arguments: Any) -> None:
        """Run on arrays and numbers: inputs, then outputs, which are written."""
        if len(arguments) != len(self.parameters):
            raise TypeError(f"{len(self.parameters)} arguments are wanted, not {len(arguments)}")
        numbers, pointers, key, held = [], [], [], []
        for one, value in zip(self.parameters, arguments, strict=True):
            if isinstance(value, np.ndarray):
                if value.dtype != one.dtype:
                    raise TypeError(f"{one.name} is {one.dtype}, not {value.dtype}")
                if one.raw and not value.flags.c_contiguous:
                    if one.written:
                        raise ValueError(f"raw {one.name} is not contiguous")
                    value = np.ascontiguousarray(value)  # CuPy's x[i] is element i of any array
                    held.append(value)
                pointers.append(value.ctypes.data)
                key.append(None if one.raw else (value.shape, value.strides))
            elif one.array:
                raise TypeError(f"{one.name} must be an array, not {type(value).__name__}")
            else:
                number = CHECKED[one.dtype](value)
                numbers.append(number)
                pointers.append(ctypes.addressof(number))
                key.append(None)
        layout = self._layouts.get(found := tuple(key))
        if layout is None:
            layout = self._layouts[found] = self._layout(found)
        size, dimensions, shape, strides = layout
        if size:
            data = (ctypes.c_void_p * len(pointers))(*pointers)
            _function(self)(size, dimensions, shape, data, strides)

    def _layout(self, key: tuple[Any, ...]) -> tuple[Any, ...]:
        """(size, dimensions, shape, strides of every parameter): one dimension where all lie the same way."""
        shape = np.broadcast_shapes(*(one[0] for one in key if one))
        for one, parameter in zip(key[len(self.inputs) :], self.outputs, strict=True):
            if one and one[0] != shape:
                raise ValueError(f"{parameter.name} of shape {one[0]} does not hold {shape}")
        rows = []
        for one in key:
            if one is None:
                rows.append((0,) * len(shape))
                continue
            own = (0,) * (len(shape) - len(one[0]))
            own += tuple(0 if length == 1 else step for length, step in zip(*one, strict=True))
            rows.append(own)
        merged = list(shape)
        for axis in range(len(shape) - 2, -1, -1):  # the row ends where the next begins, in every array
            if all(row[axis] == row[axis + 1] * merged[axis + 1] for row in rows):
                merged[axis : axis + 2] = [merged[axis] * merged[axis + 1]]
                rows = [row[:axis] + row[axis + 1 :] for row in rows]
        lengths = (ctypes.c_longlong * max(len(merged), 1))(*(merged or [1]))
        steps = (ctypes.c_longlong * (len(rows) * max(len(merged), 1)))(
            *(step for row in rows for step in (row or (0,)))
        )
        return math.prod(shape), max(len(merged), 1), lengths, steps


class Raw:
    """A kernel in the form that `cupy.RawKernel` takes: CUDA source, and the name of a function in it."""

    def __init__(self, source: str, name: str) -> None:
        match = re.search(rf'extern "C" __global__ void (?:\w+ )?{name}\(([^)]*)\)', source)
        if match is None:
            raise ValueError(f'there is no extern "C" __global__ void {name}(…)')
        types = {letter: kind for kind, letter in re.findall(r"typedef (\w+) (\w+);", source)}
        self.parameters = []
        for part in match[1].split(","):
            *words, parameter = part.replace("*", " * ").split()
            kind = " ".join(word for word in words if word not in ("const", "*"))
            self.parameters.append(
                Parameter(parameter, NUMBERS[types.get(kind, kind)], "*" in words, True, "const" not in words)
            )
        values = ", ".join(
            f"*({C_NAMES[one.dtype]}{'*' if one.array else ''}*)arguments[{index}]"
            for index, one in enumerate(self.parameters)
        )
        plain = source.replace('extern "C" __global__', "static")
        self.symbol, self.source = _named(
            f"{plain}\nstatic void body(void** arguments) {{ {name}({values}); }}", "NNX_RAW({symbol})"
        )

    def __call__(
        self, grid: Sequence[int], block: Sequence[int], arguments: Sequence[Any], *, threads: bool = True,
        backwards: bool = False,
    ) -> None:  # fmt: skip
        """Launch.

        Parameters
        ----------
        grid, block : sequence of int
        arguments : sequence
            Contiguous arrays of the parameters' types; numbers of exactly their types (an int is a ``long
            long``, a float is a ``double``), since CUDA takes the bytes as they are.
        threads : bool
            False runs a grid of one block of one thread, whatever was asked for.
        backwards : bool
            The last thread first: nothing may depend on it.

        Raises
        ------
        RuntimeError
            If some threads of a block end while others wait at ``__syncthreads``.
        """
        if len(arguments) != len(self.parameters):
            raise TypeError(f"{len(self.parameters)} arguments are wanted, not {len(arguments)}")
        held = [self._held(one, value) for one, value in zip(self.parameters, arguments, strict=True)]
        launch = [*grid, *(1,) * (3 - len(grid)), *block, *(1,) * (3 - len(block))] if threads else [1] * 6
        if not all(length >= 1 for length in launch) or math.prod(launch[3:]) > 1024:
            raise ValueError(f"no such launch: grid {grid}, block {block}")
        sizes = (ctypes.c_longlong * 7)(*launch, backwards)
        pointers = (ctypes.c_void_p * len(held))(*(ctypes.addressof(one) for one in held))
        if _function(self)(sizes, pointers):
            raise RuntimeError(f"{self.symbol}: some threads end while others wait at __syncthreads")

    @staticmethod
    def _held(one: Parameter, value: Any) -> Any:
        if one.array:
            if not isinstance(value, np.ndarray) or value.dtype != one.dtype:
                raise TypeError(f"{one.name} must be an array of {one.dtype}, not {value!r}")
            if not value.flags.c_contiguous:
                raise ValueError(f"{one.name} is not contiguous")
            return ctypes.c_void_p(value.ctypes.data)
        given = {bool: "bool", int: "int64", float: "float64"}.get(type(value)) or str(
            getattr(value, "dtype", type(value).__name__)
        )
        if given != one.dtype:
            raise TypeError(f"{one.name} is {one.dtype}, but {given} was given: CUDA would take its bytes")
        return CHECKED[one.dtype](value)


# ------------------------------------------------------------------- libraries


def _named(source: str, entry: str) -> tuple[str, str]:
    """A name made of the source's hash, and the source in a namespace of that name with an entry point."""
    symbol = "k" + hashlib.sha256((source + entry).encode()).hexdigest()[:16]
    return symbol, f"namespace {symbol} {{\n{source}\n{entry.format(symbol=symbol)}\n}}\n"


@functools.cache
def library(source: str) -> ctypes.CDLL:
    """`source`, which needs only the runtime's header, compiled and loaded; kept on disk by its hash.

    Raises
    ------
    RuntimeError
        What g++ says, if it refuses.
    """
    whole = RUNTIME.read_text(encoding="utf-8") + source
    place = CACHE / (hashlib.sha256((whole + repr(FLAGS)).encode()).hexdigest()[:24] + ".so")
    if not place.is_file():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            made = Path(folder) / "kernels.so"
            command = ["g++", *FLAGS, "-x", "c++", "-", "-o", str(made)]
            done = subprocess.run(command, input=whole, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"g++ refuses a kernel:\n{done.stderr}")
            made.replace(place)  # another process may have been faster: then with the same
    return ctypes.CDLL(str(place))


def _function(kernel: Elementwise | Raw) -> Any:
    function = kernel.__dict__.get("function")
    if function is None:
        known = _nnx()
        whole = known[1] if kernel.symbol in known[0] else kernel.source
        function = kernel.__dict__["function"] = getattr(library(whole), kernel.symbol)
        function.restype = ctypes.c_int
        if isinstance(kernel, Elementwise):
            function.argtypes = [ctypes.c_longlong, ctypes.c_longlong] + [ctypes.c_void_p] * 3
    return function


@functools.cache
def _nnx() -> tuple[frozenset[str], str]:
    """The symbols of all of nnx's kernels in both float types, and their source together."""
    import nnx.backends  # noqa: F401 - it imports every kernel
    from nnx.ops import cuda

    names = [*cuda.Elementwise.known, *cuda.Raw.known]
    made = [compile(name, dtype) for name in names for dtype in ("float32", "float64")]
    sources = {one.symbol: one.source for one in made}
    return frozenset(sources), "\n".join(sources.values())


@functools.cache
def compile(name: str, dtype: str) -> Elementwise | Raw:
    """One of nnx's kernels for ``"float32"`` or ``"float64"``, by its name."""
    import nnx.backends  # noqa: F401 - it imports every kernel
    from nnx.ops import cuda

    known = cuda.Elementwise.known.get(name)
    if known is not None:
        return Elementwise(known.inputs, known.outputs, known.body, known.preamble, {"T": dtype})
    raw = cuda.Raw.known[name]
    return Raw(f"typedef {C_NAMES[dtype]} T;\n{raw.source}", raw.function)
