"""Formulas of the site: a ``math`` block of LaTeX becomes MathML, which browsers draw without a script."""

from __future__ import annotations

from typing import Any

from latex2mathml.converter import convert


def fence(source: str, language: str, css_class: str, options: Any, md: Any, **_: Any) -> str:
    """MathML of one block, in the signature that pymdownx.superfences calls."""
    return f'<div class="{css_class}">{convert(source, display="block")}</div>'
