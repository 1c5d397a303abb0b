"""Every name, keyword and method of CuPy that nnx uses exists in CuPy's wheel.

The list is read from the code (`names`), the answers come from the wheel (`wheel`), and no driver is asked.
"""

from __future__ import annotations

import ast
import inspect
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.ladder import names, wheel

gathered = cache(names.gathered)  # takes seconds, which only those spend who run these tests
ERRORS = Path(names.NNX / "backends" / "cupy_errors.py")


def trouble(use: names.Use) -> str | None:
    """What the wheel has against a use, or None."""
    try:
        member = wheel.resolve(use.name)
    except AttributeError as error:
        return f"{use.where}: {use.name} does not exist ({error})"
    if not use.called:
        return None
    if wheel.is_ufunc(member):
        wrong = set(use.keywords) - set(wheel.ufunc_keywords(use.name))
        many = use.positional is not None and not member.nin <= use.positional <= member.nargs
        return f"{use.where}: {use.name} refuses {wrong or use.positional}" if wrong or many else None
    signature = wheel.signature(member)
    if signature is None:
        return (
            None
            if not use.keywords
            else f"{use.where}: nothing tells whether {use.name} takes {use.keywords}"
        )
    try:
        if use.positional is None:
            signature.bind_partial(**dict.fromkeys(use.keywords))
        else:
            signature.bind(*[None] * use.positional, **dict.fromkeys(use.keywords))
    except TypeError as error:
        return f"{use.where}: {use.name}{signature}: {error}"
    return None


@pytest.mark.filterwarnings(r"ignore:\s*nccl library could not be loaded")  # only the names are asked for
def test_everything_that_nnx_asks_for_is_in_the_wheel() -> None:
    assert [text for use in gathered() if (text := trouble(use))] == []


@pytest.mark.parametrize(
    "name",
    [
        "cupy.dot", "cupy.take", "cupy.where", "cupy.sum", "cupy.clip", "cupy.ElementwiseKernel",
        "cupy.RawKernel", "cupy.cuda.runtime.getDeviceCount", "cupy.cuda.runtime.driverGetVersion",
        "cupy.cuda.Device().__enter__", "cupy.cuda.Device().synchronize", "cupy.cuda.Device().id",
        "cupy.get_default_memory_pool().used_bytes", "cupyx.scipy.special.erfc", "cupy.ndarray.reshape",
        "cupy.ndarray.copy", "cupy.ndarray.base", "cupy.ndarray.__imul__", "cupy.ndarray.__setitem__",
        "cupy.ndarray.T", "cupy.ndarray.size",
    ],
)  # fmt: skip
def test_the_list_holds_what_a_reader_of_the_code_finds(name: str) -> None:
    assert name in {use.name for use in gathered()}


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("xp.softmax(x)", "cupy.softmax does not exist"),
        ("self.xp.add(x, y, where=z)", "cupy.add refuses {'where'}"),
        ("xp.exp(x, y, z)", "cupy.exp refuses 3"),
        ("backend.xp.max(x, initial=0.0)", "unexpected keyword argument 'initial'"),
        ("xp.take(x, i, mode='clip')", "unexpected keyword argument 'mode'"),
        ("x.sum(axis=0, where=m)", "unexpected keyword argument 'where'"),
        ("x.setflags(write=False)", "cupy.ndarray.setflags does not exist"),
        ("from cupyx.scipy.special import erfoo\nerfoo(x)", "cupyx.scipy.special.erfoo does not exist"),
        ("r = cupy.cuda.runtime\nr.getDeviceNumber()", "cupy.cuda.runtime.getDeviceNumber does not exist"),
        ("p = cupy.get_default_memory_pool()\np.bytes()", "get_default_memory_pool().bytes does not exist"),
        ("self.d = cupy.cuda.Device(i)\nself.d.leave()", "cupy.cuda.Device().leave does not exist"),
        ("cupy.ElementwiseKernel('T x', 'T y', 'y = x', 'f', 1, 2, 3, 4, 5, 6, 7)", "ElementwiseKernel"),
    ],
)
def test_a_name_that_cupy_lacks_is_found(source: str, told: str) -> None:
    found = [text for use in names.uses(source, "example.py", True) if (text := trouble(use))]
    assert len(found) == 1
    assert told in found[0]


def test_every_error_told_apart_by_its_class_is_one_of_cupys() -> None:
    import cuda.pathfinder  # what CuPy finds CUDA's libraries with
    import cupy_backends.cuda.api.driver
    import cupy_backends.cuda.api.runtime
    from cupy.cuda import compiler, memory

    known: dict[str, Any] = dict(vars(__builtins__) if inspect.ismodule(__builtins__) else __builtins__)
    modules = (cupy_backends.cuda.api.runtime, cupy_backends.cuda.api.driver, memory, compiler)
    for module in (*modules, cuda.pathfinder):
        known |= vars(module)
    told = {
        node.value
        for node in ast.walk(ast.parse(ERRORS.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.endswith(("Error", "Exception"))
        and node.value[:1].isupper()
    }
    assert told >= {"OutOfMemoryError", "CUDARuntimeError", "CompileException"}
    of_libraries = {"CUBLASError", "CURANDError", "CUSOLVERError", "NVRTCError"}  # loading these needs them
    assert {name for name in told - of_libraries if not inspect.isclass(known.get(name))} == set()


def test_cupys_parser_accepts_every_elementwise_kernel() -> None:
    """Its parameters, their types and names: CuPy reads them when the kernel is made, before any device."""
    from nnx.ops.cuda import Elementwise, Raw

    for name, own in Elementwise.known.items():
        kernel = own.kernel
        for parameters, text in ((kernel.in_params, own.inputs), (kernel.out_params, own.outputs)):
            assert [one.name for one in parameters] == [one.split()[-1] for one in text.split(",")], name
    for raw in Raw.known.values():
        for dtype in ("float32", "float64"):
            assert raw.of(np.dtype(dtype)).name.startswith("nnx_")
