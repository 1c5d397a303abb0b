"""Draw the figures of a run, and save figures: whole or not at all, the same bytes for the same figure."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from matplotlib.figure import Figure

from nnx import experiments
from nnx.errors import ConfigurationError
from nnx.experiments import Result
from nnx.files import make_folder, replacing
from nnx.reports.curves import learning_curve
from nnx.reports.statistics import weight_statistics
from nnx.reports.style import drawing_style

FIGURES = "figures"
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


def draw(result: Result, folder: Path) -> dict[str, str]:
    """Draw an experiment's figures in ``folder/figures`` and add their paths to the result's artifacts.

    Returns
    -------
    dict of str to str
        Paths in the folder, by name.

    Raises
    ------
    OutputError
        If a figure cannot be written.
    """
    drawn: dict[str, str] = {}
    for name, figure in figures(result).items():
        save_figure(figure, folder / FIGURES / f"{name}.png")
        drawn[name] = f"{FIGURES}/{name}.png"
    result.artifacts.update(drawn)
    return drawn


def figures(result: Result) -> dict[str, Figure]:
    """Return the figures of a result, by name."""
    from nnx import reports

    experiment = experiments.get(result.experiment)
    drawn: dict[str, Figure] = {}
    if result.history is not None and result.history.epochs:
        title = f"{result.experiment} {result.preset} on {result.dataset}"
        drawn["loss"] = learning_curve(result.history, title=title, log_scale=experiment.log_scale)
        if result.history.statistics:
            drawn["statistics"] = weight_statistics(result.history, title=title)
    return drawn | experiment.figures(result, reports)
