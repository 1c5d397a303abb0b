"""cuBLASLt as `nnx.backends.cublaslt` calls it: in its place, functions that check their arguments.

Sizes of attributes must be those of the header. What a product computes with must be as it was described when
its algorithm was chosen: shapes, types, alignments, workspace. NumPy multiplies.
"""

from __future__ import annotations

import ctypes
import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cupy import _streams, _world
from cupy._array import launch
from cupy._cublas import BFLOAT16, INVALID, KINDS, SUCCESS, _matrix, _memory, _widened, handles

ATTRIBUTES: dict[str, dict[int, int]] = {  # of each kind of descriptor, and their bytes
    "cublasLtMatmulDesc": {7: 4, 8: 8},  # the epilogue, and the bias's address
    "cublasLtMatrixLayout": {},
    "cublasLtMatmulPreference": {1: 8, 5: 4, 6: 4, 7: 4, 8: 4},  # the workspace's limit, and alignments
}
RELU, BIAS = 2, 4
NOT_SUPPORTED = 15
described: dict[int, Any] = {}  # every descriptor that was made and not destroyed
numbers = itertools.count(1)
# what a test may change; the last are the sizes of batches, in bits, whose algorithm hides NaN
behaviour: dict[str, Any] = {"keeps_nan": True, "supported": True, "adds_bias": True, "hide_nan": ()}


def install() -> None:
    """Let the binding load this instead of NVIDIA's library."""
    from nnx.backends import cublaslt

    cublaslt.load = lambda major: Library()  # type: ignore[assignment]


@dataclass
class Described:
    """A descriptor: the numbers that it was made with, and its attributes."""

    kind: str
    given: tuple[int, ...]
    attributes: dict[int, int] = field(default_factory=dict)
    recommended: dict[tuple[int, ...], list[int]] = field(
        default_factory=dict
    )  # by matrices, of an operation


class Library:
    """The functions that the binding calls."""

    def __getattr__(self, name: str) -> Any:
        for what, sizes in ATTRIBUTES.items():
            if name == f"{what}Create":
                return lambda made, *given: _made(made, what, given)
            if name == f"{what}Destroy":
                return lambda one: SUCCESS if described.pop(_number(one), None) else INVALID
            if name == f"{what}SetAttribute":
                return lambda one, *given, sizes=sizes: _set(_of(one, what), sizes, *given)
        raise AttributeError(name)

    def cublasLtMatmulAlgoGetHeuristic(
        self, handle: Any, operation: Any, a: Any, b: Any, c: Any, out: Any, preference: Any, wanted: int,
        found: Any, count: Any,
    ) -> int:  # fmt: skip
        """Recommend one algorithm: for batches of similar sizes, it is the same."""
        if handle.value not in handles or wanted != 1 or ctypes.sizeof(found._obj) != 96:
            return INVALID
        known = _of(preference, "cublasLtMatmulPreference").attributes
        compute, scale = _of(operation, "cublasLtMatmulDesc").given
        if (scale, compute) not in KINDS or not behaviour["supported"]:
            count._obj.value = 0
            return NOT_SUPPORTED
        size = _of(out, "cublasLtMatrixLayout").given[2].bit_length()
        algorithm = [size, 0, 0, 0, *(known.get(place, 256) for place in (5, 6, 8, 1))]
        found._obj.algorithm[:] = algorithm
        matrices = tuple(map(_number, (a, b, out)))
        _of(operation, "cublasLtMatmulDesc").recommended[matrices] = algorithm
        found._obj.status, count._obj.value = SUCCESS, 1
        return SUCCESS

    def cublasLtMatmul(
        self, handle: Any, operation: Any, alpha: Any, a: int, of_a: Any, b: int, of_b: Any, beta: Any,
        c: int, of_c: Any, out: int, of_out: Any, algorithm: Any, workspace: int, size: int, stream: int,
    ) -> int:  # fmt: skip
        """D = f(α A B + β C + bias), by columns."""
        if handles[handle.value]["device"] != _world.current():
            raise ValueError("a handle of cuBLAS is used on another device")
        if stream != _streams.get_current_stream().ptr:
            raise ValueError("a product runs on another stream than CuPy's current one")
        if (alpha._obj.value, beta._obj.value, c, _number(of_c)) != (1.0, 0.0, out, _number(of_out)):
            return INVALID
        chosen = list(algorithm._obj.algorithm)
        known = _of(operation, "cublasLtMatmulDesc")
        matrices = tuple(map(_number, (of_a, of_b, of_out)))
        if known.recommended.get(matrices) != chosen or size > chosen[7]:
            raise ValueError("the algorithm was recommended for another product")
        if any(address % need for address, need in zip((a, b, out), chosen[4:7], strict=True)):
            raise ValueError("a matrix is aligned less than was said")
        if known.attributes[8] % 16:  # nothing says how a bias is aligned, and kernels read 16 bytes at once
            raise ValueError("the bias is not aligned")
        compute, scale = known.given
        layouts = [_of(one, "cublasLtMatrixLayout").given for one in (of_a, of_b, of_out)]
        perform, reads, into = _product(
            layouts, (a, b, out), known.attributes, np.dtype(KINDS[scale, compute])
        )
        room = _memory(workspace, size)
        launch("cublasLtMatmul", (*reads, room), (into, room), perform=perform)
        return SUCCESS


def _product(
    layouts: list[tuple[int, ...]], places: tuple[int, int, int], attributes: dict[int, int], dtype: Any
) -> tuple[Any, tuple[Any, ...], Any]:
    """What computes the product, the memory that it reads, and the memory that it writes."""
    halves = layouts[0][0] == layouts[1][0] == BFLOAT16
    types = [np.dtype("uint16") if halves else dtype] * 2 + [dtype]
    (x, from_x), (y, from_y), (out, into) = (
        _matrix(place, rows, columns, stride, kind)
        for place, (_, rows, columns, stride), kind in zip(places, layouts, types, strict=True)
    )
    bias, from_bias = _matrix(attributes[8], out.shape[0], 1, out.shape[0], dtype)
    if any(np.may_share_memory(out, one) for one in (x, y, bias)):
        raise ValueError("cuBLAS reads what it writes")
    epilogue = attributes[7]
    assert epilogue & BIAS

    def perform() -> None:
        with np.errstate(all="ignore"):
            right, left = (_widened(one.T) if halves else one.T for one in (y, x))
            found = np.matmul(right, left)
            found += bias[:, 0] if behaviour["adds_bias"] else 0
            if epilogue & RELU:
                keeps = behaviour["keeps_nan"] and len(found).bit_length() not in behaviour["hide_nan"]
                found = (np.maximum if keeps else np.fmax)(found, 0)
            out[...] = found.T

    return perform, (from_x, from_y, from_bias), into


def _made(made: Any, kind: str, given: tuple[int, ...]) -> int:
    made._obj.value = number = next(numbers)
    described[number] = Described(kind, given)
    return SUCCESS


def _set(one: Described, sizes: dict[int, int], attribute: int, value: Any, size: int) -> int:
    if sizes.get(attribute) != size or ctypes.sizeof(value._obj) != size:
        return INVALID
    one.attributes[attribute] = value._obj.value
    return SUCCESS


def _number(one: Any) -> int:
    return int(one.value)


def _of(one: Any, kind: str) -> Described:
    found: Described = described[_number(one)]
    if found.kind != kind:
        raise ValueError(f"a {found.kind} is given in place of a {kind}")
    return found
