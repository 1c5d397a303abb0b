"""What all web pages of nnx share: each is one file that loads nothing and runs no script but its own."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nnx
from nnx.errors import ConfigurationError
from nnx.files import make_folder, replacing
from nnx.libraries import needed

if TYPE_CHECKING:
    from jinja2 import Environment

# A page sets its title and includes this. The browser runs only the script of this hash.
HEAD = """\
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="nnx {{ version }}">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src 'unsafe-inline'; script-src 'sha256-{{ script_hash }}'; base-uri 'none'; form-action 'none'">
<link rel="icon" href="data:,">
<title>{{ title }}</title>
<style>{{ style|safe }}</style>
</head>
"""


def page_path(path: str | os.PathLike[str], what: str) -> Path:
    """Return the path of a page; errors call the page `what`, such as "a report" or "the playground".

    Raises
    ------
    ConfigurationError
        If the file's name does not end in .html.
    """
    place = Path(path)
    if place.suffix.lower() not in (".html", ".htm"):
        raise ConfigurationError(f"{place}: {what} is a web page, so its name must end in .html")
    return place


def templates(package: str, folder: str) -> Environment:
    """Return the templates in a folder of a package, and ``head.html``, which all pages share.

    Raises
    ------
    MissingLibraryError
        If jinja2 is not installed.
    """
    with needed("reports", "a page"):
        from jinja2 import ChoiceLoader, DictLoader, Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=ChoiceLoader([PackageLoader(package, folder), DictLoader({"head.html": HEAD})]),
        undefined=StrictUndefined, autoescape=True,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip


def source(environment: Environment, name: str) -> str:
    """Return the text of a template, style sheet or script as it is in its file."""
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def rendered(environment: Environment, page: str, *, style: str, script: str, **values: Any) -> str:
    """Return the text of a page: a template with its values, a style sheet by name, and a script."""
    script_hash = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(page).render(
        version=nnx.__version__,
        style=source(environment, style),
        script=script,
        script_hash=script_hash,
        **values,
    )


def write_page(text: str, path: Path) -> Path:
    """Write the text of a page, with its folder if that does not exist, and return the path.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    make_folder(path.parent)
    with replacing(path) as file:
        file.write(text.encode("utf-8", "backslashreplace"))  # a file name may hold bytes that are not text
    return path
