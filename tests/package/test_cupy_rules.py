"""Rules for code that also runs on CuPy, checked by reading the code; CuPy is not needed.

Each rule is a function that returns the violations in a parsed module. It is also tried on a line that breaks
it.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.device_code import NNX, OPS, for_devices, for_gpu

from nnx.backends import Backend
from nnx.ops.activations import ACTIVATIONS
from nnx.ops.cuda import Elementwise, Raw
from nnx.ops.losses import LOSSES
from nnx.ops.losses_cuda import ROW_LOSS

UPPER = [
    *sorted((NNX / "layers").glob("*.py")),
    *sorted((NNX / "losses").glob("*.py")),
    *sorted((NNX / "optimizers").glob("*.py")),
]
PLAIN = [NNX / "backends" / "base.py", *OPS]
CUPY = [NNX / "backends" / "cupy_backend.py"]
GPU = [*CUPY, *OPS]
REDUCTIONS = {
    "sum",
    "mean",
    "max",
    "min",
    "all",
    "any",
    "prod",
    "std",
    "var",
    "argmax",
    "argmin",
    "dot",
    "clip",
}
NAMESPACES = {"xp", "cupy", "numpy", "math"}
EXCHANGES = {"communicator"}  # its sum is over ranks, and no method of an array
HOST_FUNCTIONS = {"check_targets", "_check_bounds"}  # they are handed host arrays
HOST_READS = {"float", "bool", "int", "item", "get", "asnumpy", "tolist"}


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def array_libraries_imported(tree: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(node.module or "")
    return [name for name in found if name.partition(".")[0] in ("numpy", "cupy", "cupyx", "scipy")]


def forbidden_keywords(tree: ast.AST) -> list[str]:
    """NumPy's ufunc keywords that CuPy lacks."""
    return [
        f"line {call.lineno}: {keyword.arg}="
        for call in calls(tree)
        for keyword in call.keywords
        if keyword.arg in ("where", "initial", "casting", "order", "subok")
    ]


def fused(tree: ast.AST) -> list[str]:
    return [
        f"line {node.lineno}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "fuse" and ast.unparse(node.value) in NAMESPACES
    ]


def method_reductions(tree: ast.AST) -> list[str]:
    """Reductions written as methods of arrays; those of a namespace (``xp.sum``) are right."""
    host = {id(node) for f in functions(tree) if f.name in HOST_FUNCTIONS for node in ast.walk(f)}
    found = []
    for call in calls(tree):
        method = call.func
        if id(call) in host or not isinstance(method, ast.Attribute) or method.attr not in REDUCTIONS:
            continue
        if ast.unparse(method.value).rpartition(".")[2] not in NAMESPACES | EXCHANGES:
            found.append(f"line {call.lineno}: {ast.unparse(method)}")
    return found


def numpy_on_arrays(tree: ast.AST, allowed: tuple[str, ...] = ("asarray", "to_numpy", "erfc")) -> list[str]:
    """Calls of NumPy's functions outside the two doors between host and device; each device has its erfc."""
    doors = {id(node) for f in functions(tree) if f.name in allowed for node in ast.walk(f)}
    return [
        f"line {call.lineno}: {ast.unparse(call.func)}"
        for call in calls(tree)
        if id(call) not in doors and ast.unparse(call.func).startswith(("np.", "numpy."))
    ]


def host_reads(tree: ast.AST, allowed: tuple[str, ...] = ("__init__", "to_numpy")) -> list[str]:
    """What makes the host wait for a value: ``float(x)``, ``x.item()``, … of anything computed on arrays."""
    doors = {id(node) for f in functions(tree) if f.name in allowed for node in ast.walk(f)}
    found = []
    for call in calls(tree):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if name not in HOST_READS or id(call) in doors:
            continue
        if name == "int" and not any(isinstance(node, ast.Subscript) for node in ast.walk(call)):
            continue  # of a Python number
        found.append(f"line {call.lineno}: {ast.unparse(call)}")
    return found


def bare_floats(source: str) -> list[str]:
    """Floating-point literals outside ``T(…)``: they are doubles, and make their expression one."""
    literal = re.compile(r"(?<![\w.])(?:\d+\.\d*(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+)f?")
    return [
        match[0] for match in literal.finditer(source) if not re.search(r"\bT\(-?$", source[: match.start()])
    ]


RULES = [
    (array_libraries_imported, UPPER, "import numpy as np"),
    (forbidden_keywords, UPPER + PLAIN + CUPY, "xp.sum(x, where=y)"),
    (forbidden_keywords, UPPER + PLAIN + CUPY, "xp.max(x, initial=0.0)"),
    (fused, UPPER + PLAIN + CUPY, "cupy.fuse(f)"),
    (method_reductions, UPPER + PLAIN + CUPY, "y = (x * x).sum(axis=1)"),
    (numpy_on_arrays, UPPER + PLAIN + CUPY, "y = numpy.exp(x)"),
    (host_reads, GPU, "y = float(x[0])"),
]


@pytest.mark.parametrize(("rule", "paths", "offence"), RULES, ids=lambda part: getattr(part, "__name__", ""))
def test_the_code_keeps_the_rule(rule: Any, paths: list[Path], offence: str) -> None:
    assert rule(ast.parse(offence)), "the rule does not see what it is for"
    read = for_gpu if paths is GPU else for_devices
    found = {str(path.relative_to(NNX)): rule(read(path.read_text(encoding="utf-8"))) for path in paths}
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


# ------------------------------------------------------------------- kernels


def parameters(text: str) -> list[tuple[str, str]]:
    """(type, name) of each parameter of an elementwise kernel."""
    return [(part.split()[-2], part.split()[-1]) for part in text.split(",")]


def test_no_kernel_has_a_parameter_that_cupy_uses_itself() -> None:
    for name, kernel in Elementwise.known.items():
        names = [parameter for _, parameter in parameters(f"{kernel.inputs}, {kernel.outputs}")]
        assert not {"i", "n", "_ind"} & set(names), name
        assert not any(parameter.startswith("_") for parameter in names), name
        assert len(set(names)) == len(names), name


def test_kernels_have_known_types_and_write_every_output() -> None:
    for name, kernel in Elementwise.known.items():
        for kind, _ in parameters(f"{kernel.inputs}, {kernel.outputs}"):
            assert kind in ("T", "float32", "int64", "int32", "uint32", "uint16", "uint8", "bool"), name
        for _, parameter in parameters(kernel.outputs):
            assert re.search(rf"\b{parameter}\b", kernel.body), f"{name} leaves {parameter} as it was"


def test_no_kernel_holds_a_double_literal() -> None:
    assert bare_floats("T(0.5) * x * T(-1e-7) + T(2)") == []
    assert bare_floats("x * 0.5 + 1e-7 + 2.f") == ["0.5", "1e-7", "2.f"]
    for name, kernel in Elementwise.known.items():
        assert bare_floats(kernel.preamble + kernel.body) == [], name
    for name, raw in Raw.known.items():
        assert bare_floats(raw.source) == [], name


def test_raw_kernels_stride_by_the_launch_and_add_nothing_by_atomics() -> None:
    for name, raw in Raw.known.items():
        body = raw.source[raw.source.index(f" {raw.function}(") :]
        by_loops = "NNX_PARTS_OF(" in body or "nnx_columns(" in body  # which stride by both
        assert by_loops or "blockDim" in body or "NNX_PARTS" in body, name  # parts of 4 · blockDim.x numbers
        assert by_loops or "gridDim" in body or "blockIdx.x == 0" in body, name
        counted = raw.source.replace("atomicAdd(done, 1u)", "", 1)  # of blocks, see losses_cuda.py
        assert "atomic" not in counted, name
        assert "__restrict__" not in raw.source, name  # outputs may be inputs


def test_every_activation_and_loss_has_its_kernels() -> None:
    """The plain form over CuPy computes where there is no CUDA text; of nnx's own, all have one."""
    for kind, activation in ACTIVATIONS.items():
        if activation.cuda_rows is not None:
            assert {kind, f"{kind}_backward"} <= set(Raw.known)
            continue
        assert {f"{kind}_forward", f"{kind}_backward"} <= set(Elementwise.known)
        assert f"{kind}_bias" in Raw.known
        assert (f"{kind}_bias_gradient" in Raw.known) is activation.from_output
        if activation.from_output:
            assert not re.search(r"\bx\b", activation.cuda_backward), f"{kind}: the gradient needs x"
    assert set(ROW_LOSS) == set(LOSSES)


# ---------------------------------------------------------------- signatures


WITHOUT_DEVICE = {"bfloat16_fault", "hold", "holds", "quiet", "owns", "reserve", "buffers", "small_loop",
                  "blas_threads", "team", "blas_name", "within_quota"}  # fmt: skip
ON_CPU = {"sparse_forward", "sparse_backward", "sgd_rows", "adam_rows"}  # a GPU gets dense batches and copies


def classes(paths: list[Path]) -> dict[str, ast.ClassDef]:
    """The classes of these files, by name."""
    return {
        node.name: node
        for path in paths
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
    }


def methods(found: list[ast.ClassDef]) -> dict[str, ast.FunctionDef]:
    return {node.name: node for one in found for node in one.body if isinstance(node, ast.FunctionDef)}


def test_the_gpu_takes_what_the_plain_backend_takes() -> None:
    of_backend = {base.__name__ for base in Backend.__mro__}
    plain = methods([node for name, node in classes(PLAIN).items() if name in of_backend])
    gpu = methods([node for name, node in classes(GPU).items() if name.endswith(("CuPy", "CupyBackend"))])
    shared = set(plain) & set(gpu)
    assert {"dense_forward", "dense_backward", "loss", "adam_step", "dropout", "asarray"} <= shared
    for name in shared:
        assert ast.unparse(gpu[name].args) == ast.unparse(plain[name].args), name
    own = set(gpu) - set(plain) - {"__init__", "hardware", "versions", "describe"}
    assert all(name.startswith("_") for name in own)


def test_every_operation_makes_its_device_current() -> None:
    """An operation that is inherited would run on whichever device is current."""
    gpu = methods([node for name, node in classes(GPU).items() if name.endswith(("CuPy", "CupyBackend"))])
    for name, _ in inspect.getmembers(Backend, callable):
        if name.startswith("_") or name in WITHOUT_DEVICE | ON_CPU:
            continue
        assert name in gpu, f"{name} has no form on CuPy that makes the device current"
        held = [node for node in ast.walk(gpu[name]) if isinstance(node, ast.With)]
        assert any("self._hold" in ast.unparse(node.items[0]) for node in held), name
