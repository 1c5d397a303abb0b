"""What nnx asks of CuPy, read from nnx's own code: functions, keywords, methods and attributes of arrays.

A name counts as CuPy's where it hangs on ``cupy``, ``cupyx`` or an array namespace (``xp``, ``backend.xp``),
also through a local name or attribute that was assigned from one. In modules whose code runs on both kinds of
array, every attribute that NumPy's arrays have is taken for one of a device array: some belong to host arrays
only, which asks too much rather than too little.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from support.device_code import NNX, for_devices

ARRAY = "cupy.ndarray"
HOST_ONLY = ("numpy_backend", "numba_backend", "blas", "small", "batches",
             "agreement", "supervisor", "roll_call", "rows")  # fmt: skip
HOST_ROOMS = ("cli", "reports", "datasets", "interop", "standalone")
# modules in which arrays of a device are handled, beside everything in these rooms
ROOMS = ("backends", "ops", "layers", "gradcheck")
MODULES = ("losses", "optimizers", "parameters", "samples", "feeding", "training", "network", "distributed")

BINARY = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "truediv", ast.Pow: "pow",
    ast.MatMult: "matmul", ast.FloorDiv: "floordiv", ast.Mod: "mod", ast.BitAnd: "and", ast.BitOr: "or",
    ast.BitXor: "xor", ast.LShift: "lshift",
    ast.RShift: "rshift",
}  # fmt: skip
COMPARED = {ast.Eq: "eq", ast.NotEq: "ne", ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge"}
UNARY = {ast.USub: "neg", ast.UAdd: "pos", ast.Invert: "invert"}


@dataclass(frozen=True)
class Use:
    """A name of CuPy's and how it is called: with how many arguments in place and which by keyword.

    Attributes
    ----------
    name : str
        ``"cupy.take"``; ``"cupy.ndarray.reshape"``; ``"cupy.cuda.Device().id"`` for what a call gives.
    called : bool
    positional : int or None
        None where arguments are unpacked (``*args``).
    keywords : tuple of str
    where : str
    """

    name: str
    called: bool
    positional: int | None
    keywords: tuple[str, ...]
    where: str


def gathered() -> list[Use]:
    """Every use in nnx."""
    found: list[Use] = []
    for path in sorted(NNX.rglob("*.py")):
        parts = path.relative_to(NNX).with_suffix("").parts
        if parts[0] in HOST_ROOMS or parts[-1] in HOST_ONLY or "numba" in parts[-1]:
            continue
        on_arrays = parts[0] in ROOMS or parts[0] in MODULES
        found += uses(path.read_text(encoding="utf-8"), "/".join(("nnx", *parts)) + ".py", on_arrays)
    return found


def uses(source: str, where: str, on_arrays: bool) -> list[Use]:
    """The uses in one module."""
    tree = for_devices(source)
    return list(dict.fromkeys(_Reader(tree, where, on_arrays).read()))


class _Reader:
    def __init__(self, tree: ast.Module, where: str, on_arrays: bool) -> None:
        self.tree, self.where, self.on_arrays = tree, where, on_arrays
        self.known = {"cupy": "cupy", "cupyx": "cupyx", "xp": "cupy"}
        self.modules = {  # json.dumps is no method of an array, though arrays have one of that name
            alias.asname or alias.name.partition(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
        }

    def read(self) -> Iterator[Use]:
        self._imports_and_aliases()
        calls = {id(node.func): node for node in ast.walk(self.tree) if isinstance(node, ast.Call)}
        inner = {
            id(node.value)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Attribute) and self.name(node) is not None
        }
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Attribute | ast.Name):
                name = self.name(node)
                rooted = name is not None and "." in name and id(node) not in inner
                if name is None and isinstance(node, ast.Attribute) and self._of_an_array(node):
                    name, rooted = f"{ARRAY}.{node.attr}", True
                if name is not None and rooted and not isinstance(node.ctx, ast.Store):
                    yield self._use(name, node, calls.get(id(node)))
            elif self.on_arrays:
                yield from (self._use(f"{ARRAY}.__{dunder}__", node, None) for dunder in _dunders(node))

    def _imports_and_aliases(self) -> None:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("cupy", "cupyx"):
                for alias in node.names:
                    self.known[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        for node in ast.walk(self.tree):  # runtime = cupy.cuda.runtime; pool = cupy.get_default_memory_pool()
            if isinstance(node, ast.Assign) and len(node.targets) == 1:
                name = self.name(node.value)
                target = node.targets[0]
                if name is not None and "." in name and isinstance(target, ast.Name | ast.Attribute):
                    self.known[ast.unparse(target)] = name

    def name(self, node: ast.AST) -> str | None:
        """The dotted name that an expression stands for, or None."""
        text = ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""
        if text in self.known:
            return self.known[text]
        if isinstance(node, ast.Attribute):
            if node.attr == "xp":
                return "cupy"
            if node.attr == "id" and isinstance(node.value, ast.Attribute) and node.value.attr == "device":
                return "cupy.cuda.Device().id"
            base = self.name(node.value)
            if base is None or base.endswith((".dtype", ".shape", ".strides")):  # those are the host's
                return None
            return f"{base}.{node.attr}"
        if isinstance(node, ast.Call):
            base = self.name(node.func)
            return None if base is None else f"{base}()"
        return None

    def _of_an_array(self, node: ast.Attribute) -> bool:
        root = ast.unparse(node.value).partition(".")[0].partition("(")[0]
        special = node.attr.startswith("__")  # every object's; operators are read as such
        known = hasattr(np.ndarray, node.attr) and not special
        return self.on_arrays and known and root not in self.modules

    def _use(self, name: str, node: ast.AST, call: ast.Call | None) -> Use:
        where = f"{self.where}:{getattr(node, 'lineno', 0)}"
        if call is None:
            return Use(name, False, None, (), where)
        starred = any(isinstance(argument, ast.Starred) for argument in call.args)
        keywords = tuple(keyword.arg for keyword in call.keywords if keyword.arg)
        return Use(name, True, None if starred else len(call.args), keywords, where)


def _dunders(node: ast.AST) -> Iterator[str]:
    """The special methods behind an operator, without their underscores."""
    if isinstance(node, ast.BinOp):
        yield BINARY[type(node.op)]
        if hasattr(operator, f"__{BINARY[type(node.op)]}__"):
            yield "r" + BINARY[type(node.op)]
    elif isinstance(node, ast.AugAssign):
        yield "i" + BINARY[type(node.op)]
    elif isinstance(node, ast.UnaryOp) and type(node.op) in UNARY:
        yield UNARY[type(node.op)]
    elif isinstance(node, ast.Compare):
        yield from (COMPARED[type(op)] for op in node.ops if type(op) in COMPARED)
    elif isinstance(node, ast.Subscript):
        yield "setitem" if isinstance(node.ctx, ast.Store) else "getitem"
