"""Call a student's functions in a separate process, and store what they return or raise.

This file runs as a program: ``python calls.py FOLDER``. It does not import nnx, and makes ``import nnx``
fail: a student's file must not use the layers that the student is to write.
"""

from __future__ import annotations

import contextlib
import copy
import faulthandler
import json
import os
import sys
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

MEMORY = 2**30  # bytes for a student's arrays
OUTPUT = 2**24  # bytes in a file, printed text too
LARGEST = 2**14  # numbers in a result; larger ones are stored as their shape, so that all fit in OUTPUT
EMPTY = "Empty"  # in place of an error's type: the file has no text
_STARTS_A_PROCESS = (
    "os.fork", "os.forkpty", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn",
    "subprocess.Popen",
)  # fmt: skip


# ------------------------------------------------------------------------- one call


def call(function: Callable[..., Any], arguments: dict[str, Any], file: str = "") -> dict[str, Any]:
    """Call a function with copies of its arguments; return its results or error, and changed arguments."""
    copies = copy.deepcopy(arguments)
    outcome: dict[str, Any]
    try:
        with np.errstate(all="ignore"):
            outcome = {"result": described(function(*copies.values()))}
    except BaseException as error:  # SystemExit and KeyboardInterrupt too: they are a student's mistakes
        outcome = {"error": failure(error, file)}
        code = getattr(function, "__code__", None)
        outcome["error"]["line"] = outcome["error"]["line"] or getattr(code, "co_firstlineno", None)
    outcome["changed"] = [name for name, value in copies.items() if not same(value, arguments[name])]
    return outcome


def described(value: Any, inner: bool = False) -> Any:
    """Return a result in a form to store: an array, None, a tuple, or a dict with the shape or the type."""
    if value is None:
        return None
    if isinstance(value, tuple) and not inner:
        return tuple(described(one, inner=True) for one in value)
    if isinstance(value, (bool, int, float, list, np.generic)) or type(value) is np.ndarray:
        try:
            array = np.asarray(value)
        except (OverflowError, ValueError, TypeError):
            return {"type": type(value).__name__}
        if array.dtype.kind not in "biuf":
            return {"type": f"array of type {array.dtype}"}
        if array.size > LARGEST:
            return {"shape": list(array.shape)}
        return (
            np.asarray(array, np.float64) if array.dtype.kind in "bu" or array.itemsize > 8 else array.copy()
        )
    return {"type": type(value).__name__}


def failure(error: BaseException, file: str) -> dict[str, Any]:
    """Return an error's type, its text, and the last line of the student's file in its traceback."""
    lines = [one.lineno for one in traceback.extract_tb(error.__traceback__) if one.filename == file]
    if isinstance(error, SyntaxError) and error.filename == file:
        lines = [error.lineno]
    text = error.msg if isinstance(error, SyntaxError) else _text(error)
    return {"type": type(error).__name__, "text": text[:500], "line": lines[-1] if lines else None}


def _text(error: BaseException) -> str:
    try:
        return " ".join(str(error).split())
    except Exception:  # a class of the student's, with a wrong __str__
        return ""


def same(one: Any, other: Any) -> bool:
    """Return whether an argument has its value from before the call."""
    if isinstance(other, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(other, np.ndarray):
        alike = isinstance(one, np.ndarray) and one.shape == other.shape and one.dtype == other.dtype
        return alike and np.array_equal(one, other, equal_nan=True)
    return type(one) is type(other) and bool(one == other)


# ------------------------------------------------------------------- stored calls and results


def stored(value: Any, arrays: dict[str, Any]) -> Any:
    """Return a value for JSON; its arrays go to `arrays`, by name."""
    if isinstance(value, np.ndarray):
        name = f"a{len(arrays)}"
        arrays[name] = value
        return {"array": name}
    if isinstance(value, (list, tuple)):
        return {type(value).__name__: [stored(one, arrays) for one in value]}
    if isinstance(value, dict):
        return {"dict": {name: stored(one, arrays) for name, one in value.items()}}
    return value


def restored(value: Any, arrays: Any) -> Any:
    """Return the value that `stored` converted."""
    if not isinstance(value, dict):
        return value
    ((kind, inner),) = value.items()
    if kind == "array":
        return arrays[inner]
    if kind == "dict":
        return {name: restored(one, arrays) for name, one in inner.items()}
    values = [restored(one, arrays) for one in inner]
    return tuple(values) if kind == "tuple" else values


def write(folder: Path, name: str, value: Any) -> None:
    """Write a value as NAME.npz, then NAME.json; the second appears only when it is complete."""
    arrays: dict[str, Any] = {}
    text = json.dumps(stored(value, arrays))
    np.savez(folder / f"{name}.npz", **arrays)
    (folder / f"{name}.part").write_text(text, encoding="utf-8")
    (folder / f"{name}.part").replace(folder / f"{name}.json")


def read(folder: Path, name: str) -> Any:
    """Read what `write` wrote."""
    with np.load(folder / f"{name}.npz", allow_pickle=False) as arrays:
        return restored(json.loads((folder / f"{name}.json").read_text(encoding="utf-8")), arrays)


# --------------------------------------------------------------------------- the process


def main(folder: Path) -> None:
    """Load the file that ``calls.json`` names, call its functions, and write the outcomes."""
    asked = read(folder, "calls")
    with (folder / "where.txt").open("w", encoding="utf-8") as where:
        faulthandler.enable(where)
        faulthandler.dump_traceback_later(asked["seconds"], exit=True, file=where)
        limit()
        answer = answered(asked)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        write(folder, "answer", answer)
    _leave(0)  # the student's threads do not keep the process alive


_leave = os._exit


def limit() -> None:
    """Limit memory and file sizes; make os._exit and starting a process raise an error."""
    for name in [*sys.modules]:
        if name.partition(".")[0] == "nnx":
            del sys.modules[name]
    sys.modules["nnx"] = None  # type: ignore[assignment]  # `import nnx` is then an error
    sys.addaudithook(_refuse)
    os._exit = sys.exit  # type: ignore[assignment]
    try:
        import resource
    except ImportError:  # Windows: only the time is limited
        return
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (_used() + MEMORY,) * 2)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_FSIZE, (OUTPUT,) * 2)


def _used() -> int:
    """Return the address space in use, in bytes; 1 GiB if the system does not say it."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
    except OSError:
        return 2**30
    return pages * os.sysconf("SC_PAGE_SIZE")


def _refuse(event: str, arguments: Any) -> None:
    if event in _STARTS_A_PROCESS:
        raise PermissionError("a task must not start another process")


def answered(asked: dict[str, Any]) -> dict[str, Any]:
    """Return the outcome of loading the file, and that of each call."""
    file = asked["file"]
    module = types.ModuleType("student")
    module.__file__ = file
    sys.modules["student"] = module
    sys.path.insert(0, str(Path(file).parent))
    try:
        text = Path(file).read_bytes()
        if not text.strip():
            return {"loading": {"type": EMPTY, "text": "", "line": None}}
        exec(compile(text, file, "exec"), vars(module))
    except BaseException as error:
        return {"loading": failure(error, file)}
    outcomes, lines = [], {}
    for name, arguments in asked["calls"]:
        function = getattr(module, name, None)
        if not callable(function):
            outcomes.append({"missing": name})
            continue
        lines[name] = getattr(getattr(function, "__code__", None), "co_firstlineno", None)
        outcomes.append(call(function, arguments, file))
    return {"outcomes": outcomes, "lines": lines}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
