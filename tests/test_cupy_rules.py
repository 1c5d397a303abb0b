"""What code that also runs on CuPy must not do, as far as reading it can tell; no CuPy is needed for it.

Each rule is a function from a parsed module to what it found wrong, and is itself tried on a line that
breaks it.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from nnx.ops.activations import ACTIVATIONS
from nnx.ops.losses import LOSSES

NNX = Path(__file__).resolve().parents[1] / "nnx"
UPPER = [*sorted((NNX / "layers").glob("*.py")), NNX / "losses.py", NNX / "optimizers.py"]
PLAIN = [NNX / "backends" / "base.py", *sorted((NNX / "ops").glob("*.py"))]
CUPY = [NNX / "backends" / "cupy_backend.py"]
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
    (host_reads, CUPY, "y = float(x[0])"),
]


@pytest.mark.parametrize(("rule", "paths", "offence"), RULES, ids=lambda part: getattr(part, "__name__", ""))
def test_the_code_keeps_the_rule(rule: Any, paths: list[Path], offence: str) -> None:
    assert rule(ast.parse(offence)), "the rule does not see what it is for"
    found = {str(path.relative_to(NNX)): rule(ast.parse(path.read_text(encoding="utf-8"))) for path in paths}
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


# ------------------------------------------------------------------- kernels


@pytest.fixture(scope="module")
def kernels() -> Iterator[Any]:
    """The module of kernel sources, which asks CuPy for nothing until a kernel is used."""
    path = NNX / "backends" / "cupy_kernels.py"
    spec = importlib.util.spec_from_file_location("kernel_sources", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get("cupy")
    sys.modules["cupy"] = ModuleType("cupy")
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        if before is None:
            del sys.modules["cupy"]
        else:
            sys.modules["cupy"] = before


def parameters(text: str) -> list[tuple[str, str]]:
    """(type, name) of each parameter of an elementwise kernel."""
    return [(part.split()[-2], part.split()[-1]) for part in text.split(",")]


def test_no_kernel_has_a_parameter_that_cupy_uses_itself(kernels: Any) -> None:
    for name, (inputs, outputs, _, _) in kernels.elementwise_sources().items():
        names = [parameter for _, parameter in parameters(f"{inputs}, {outputs}")]
        assert not {"i", "n", "_ind"} & set(names), name
        assert not any(parameter.startswith("_") for parameter in names), name
        assert len(set(names)) == len(names), name


def test_kernels_have_known_types_and_write_every_output(kernels: Any) -> None:
    for name, (inputs, outputs, body, _) in kernels.elementwise_sources().items():
        for kind, _ in parameters(f"{inputs}, {outputs}"):
            assert kind in ("T", "int64", "uint32", "uint8", "bool"), name
        for _, parameter in parameters(outputs):
            assert re.search(rf"\b{parameter}\b", body), f"{name} leaves {parameter} as it was"


def test_no_kernel_holds_a_double_literal(kernels: Any) -> None:
    assert bare_floats("T(0.5) * x * T(-1e-7) + T(2)") == []
    assert bare_floats("x * 0.5 + 1e-7 + 2.f") == ["0.5", "1e-7", "2.f"]
    for name, (_, _, body, preamble) in kernels.elementwise_sources().items():
        assert bare_floats(preamble + body) == [], name
    for name, (_, source) in kernels.raw_sources().items():
        assert bare_floats(source) == [], name


def test_raw_kernels_stride_by_the_launch_and_use_no_atomics(kernels: Any) -> None:
    for name, (function, source) in kernels.raw_sources().items():
        body = source[source.index(f"void {function}(") :]
        assert "blockDim" in body, name
        assert "gridDim" in body or "blockIdx.x == 0" in body, name
        assert "atomic" not in source, name
        assert "__restrict__" not in source, name  # outputs may be inputs


def test_every_activation_and_loss_has_its_kernels(kernels: Any) -> None:
    assert set(kernels.ACTIVATIONS) == set(ACTIVATIONS) - {"softmax"}
    assert set(kernels.LOSSES) == set(LOSSES) - {"categorical_cross_entropy_from_logits"}
    elementwise, raw = kernels.elementwise_sources(), kernels.raw_sources()
    for kind, activation in ACTIVATIONS.items():
        if kind == "softmax":
            continue
        assert {f"{kind}_forward", f"{kind}_backward", f"{kind}_bias"} <= set(elementwise)
        assert (f"{kind}_bias_gradient" in raw) is activation.from_output
        if activation.from_output:
            assert not re.search(r"\bx\b", kernels.ACTIVATIONS[kind][1]), f"{kind}: the gradient needs x"
    assert {f"{kind}_loss" for kind in LOSSES} <= set(raw)


def test_the_kernels_asked_for_exist(kernels: Any) -> None:
    tree = ast.parse(CUPY[0].read_text(encoding="utf-8"))
    known = {"elementwise": kernels.elementwise_sources(), "raw": kernels.raw_sources()}
    asked = [
        (call.func.attr, call.args[0].value)
        for call in calls(tree)
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in known
        and isinstance(call.args[0], ast.Constant)
    ]
    assert len(asked) >= 10
    for table, name in asked:
        assert name in known[table]


# ---------------------------------------------------------------- signatures


def methods(paths: list[Path]) -> dict[str, ast.FunctionDef]:
    """The methods of all classes in these files."""
    classes = [
        node
        for path in paths
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
    ]
    return {node.name: node for one in classes for node in one.body if isinstance(node, ast.FunctionDef)}


def test_the_gpu_takes_what_the_plain_backend_takes() -> None:
    plain, gpu = methods(PLAIN), methods(CUPY)
    shared = set(plain) & set(gpu)
    assert {"dense_forward", "dense_backward", "loss", "adam_step", "dropout", "asarray"} <= shared
    for name in shared:
        assert ast.unparse(gpu[name].args) == ast.unparse(plain[name].args), name
    own = set(gpu) - set(plain) - {"__init__", "hardware", "versions", "describe"}
    assert all(name.startswith("_") for name in own)
