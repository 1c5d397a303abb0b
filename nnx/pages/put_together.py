"""Put a page together from template, style, scripts and data, as one file that loads nothing."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import nnx
from nnx.libraries import needed
from nnx.pages.engine import engine_script


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
    with needed("reports", "a page"):
        from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("nnx.pages", ""), undefined=StrictUndefined,
        autoescape=True, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    loader = environment.loader
    assert loader is not None

    def text(path: str) -> str:
        return loader.get_source(environment, path)[0]

    script = engine_script() + '(() => {\n"use strict";\n' + "\n".join(map(text, scripts)) + "})();\n"
    return environment.get_template(page).render(
        version=nnx.__version__,
        style=text(style),
        script=script,
        # The browser runs this script only, even if another one gets into the page.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        given=json.dumps(given, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"),
    )
