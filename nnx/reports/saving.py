"""Save figures to files: whole or not at all, and with the same bytes for the same figure."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from matplotlib.figure import Figure

from nnx.errors import ConfigurationError
from nnx.files import make_folder, replacing
from nnx.reports.style import drawing_style

# Fields that would otherwise hold the time or the version of the drawing program.
_METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    "svg": {"Date": None, "Creator": None},
}


@drawing_style()
def save_figure(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure to a file, whole or not at all; create missing folders.

    The file is written under another name in the same folder and then renamed. So a reader never sees half a
    picture, and a failure leaves an older file unchanged. The file has no time stamp.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        What to draw.
    path : path-like
        The file. Its suffix, ``.png``, ``.pdf`` or ``.svg``, chooses the format; no suffix means PNG.

    Returns
    -------
    pathlib.Path
        The path that was written.

    Raises
    ------
    ConfigurationError
        If the suffix is another one.
    OutputError
        If the file cannot be written.
    """
    target = Path(path)
    kind = target.suffix.lower().removeprefix(".") or "png"
    if kind not in _METADATA:
        raise ConfigurationError(f"{target}: unknown picture format .{kind}: use .png, .pdf or .svg")
    make_folder(target.parent)
    with replacing(target) as file, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # missing letters are drawn as boxes
        figure.savefig(file, format=kind, metadata=_METADATA[kind])
    return target
