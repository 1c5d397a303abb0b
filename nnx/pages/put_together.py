"""Put a page together from template, style, scripts and data, as one file that loads nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from nnx.pages.engine import engine_script
from nnx.web_pages import rendered, source, templates


def filled(page: str, style: str, scripts: Sequence[str], given: Mapping[str, Any]) -> str:
    """Return the text of a page.

    Parameters
    ----------
    page, style : str
        The template and the style sheet, as paths in `nnx/pages`.
    scripts : sequence of str
        Scripts that use the engine, in the order in which they run. They share the scope of one function.
    given : mapping
        Data for the scripts, as JSON can hold it. They find it in the element ``given``.
    """
    environment = templates("nnx.pages", "")
    parts = "\n".join(source(environment, script) for script in scripts)
    return rendered(
        environment,
        page,
        style=style,
        script=engine_script() + f'(() => {{\n"use strict";\n{parts}}})();\n',
        given=json.dumps(given, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"),
    )
