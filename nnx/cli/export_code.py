"""Write a trained model as code for ``nnx export``: with its scaling and its names, and rows to check it."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from nnx.errors import OutputError

LONGEST = 120  # seconds for the self-check


def write(network: Any, prepared: Any, x: Any, out: Path, form: str, title: str, **options: Any) -> str:
    """Write the file, and return a sentence on its size and on its self-check.

    Parameters
    ----------
    network : Network
    prepared : Preparation or None
    x : array
        Rows as they are in the user's data, for the self-check.
    out : path
    form : str
        The language.
    title : str
        The name of the model in the head of the file.
    **options
        Options of the language.

    Raises
    ------
    OutputError
        If the file cannot be written, or computes other numbers than nnx.
    """
    from nnx.files import make_folder, replacing
    from nnx.standalone import Examples, Meaning, examples_of, export

    x = x[: examples_of(network)]
    if prepared is None:
        meaning, y = Meaning(title=title), network.predict(x)
    else:
        meaning, y = meaning_of(prepared, network, title), prepared.predict(network, x, whole=True)
    make_folder(out.parent)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()  # through a link, Node.js would not know that it runs the file itself
        made = folder / out.name
        sentence = export(network, made, form, meaning=meaning, examples=Examples(x, y), **options)
        checked = _run(made.read_bytes(), folder / "self-check", form) or f"it checks itself on {len(x)} rows"
        with replacing(out) as file:
            file.write(made.read_bytes())
    return f"{sentence}; {checked}"


def _run(text: bytes, folder: Path, form: str) -> str:
    """Let a file check itself, and return what it says; nothing for a language that is not installed.

    It runs under a plain name, because Node.js refuses some, and takes .js for no module.

    Raises
    ------
    OutputError
        If the check fails.
    """
    program = {"python": sys.executable, "javascript": shutil.which("node")}.get(form)
    if program is None:
        return ""
    flags, name = (["-I"], "model.py") if form == "python" else ([], "model.mjs")
    folder.mkdir()
    made = folder / name
    made.write_bytes(text)
    try:
        done = subprocess.run(
            [program, *flags, str(made)], capture_output=True, text=True, timeout=LONGEST, check=False
        )
    except subprocess.TimeoutExpired:
        return f"its self-check was stopped after {LONGEST} seconds"
    if done.returncode:
        reason = " ".join(done.stderr.split())[-300:]
        raise OutputError(f"not written: the self-check of the {form} file failed: {reason}")
    return done.stdout.partition("\n")[0]


def meaning_of(prepared: Any, network: Any, title: str) -> Any:
    """Return the scaling and the names of a model that ``nnx train`` made."""
    from nnx.experiments.train.preparation import MEAN_AND_SPREAD
    from nnx.standalone import Meaning

    whole = prepared.task == "autoencoding" and network.encoder_length is not None
    return Meaning(
        inputs=prepared.inputs,
        outputs=prepared.inputs if whole else prepared.outputs,
        task=prepared.task,
        features=prepared.layout.names(),
        classes=prepared.classes,
        targets=tuple(prepared.names(math.prod(network.output_shape)) or ()),
        several=prepared.several,
        spread=prepared.several == MEAN_AND_SPREAD,
        title=title,
        cells=_cells(prepared.layout),
    )


def _cells(layout: Any) -> Any:
    """Return the cells of a table with named columns."""
    from nnx.standalone.program import Cell

    if layout.columns is None:
        return ()
    count = len(layout.columns)
    texts, fills = layout.categories or ((),) * count, layout.fills or (None,) * count
    return tuple(map(Cell, layout.columns, texts, fills))
