"""The file of a task, solved: the functions of the reference in place of the empty ones."""

from __future__ import annotations

import ast

from nnx.course.files import starting_text
from nnx.course.task import Task


def solved(one: Task, seed: int = 0) -> str:
    """The file that a student starts from, with the functions of the reference."""
    text = starting_text(one, seed)
    for node in ast.parse(one.solution).body:
        if isinstance(node, ast.FunctionDef) and node.name in one.returns:
            found = next(n for n in ast.parse(text).body if getattr(n, "name", "") == node.name)
            lines = text.splitlines()
            written = ast.get_source_segment(one.solution, node)
            lines[found.lineno - 1 : found.end_lineno] = written.splitlines()
            text = "\n".join(lines) + "\n"
    return text
